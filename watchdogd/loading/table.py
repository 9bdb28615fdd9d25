"""From leaves to values: each leaf against the table of keys, every problem noted, nothing raised."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from watchdogd.core.ladders import unbuilt
from watchdogd.core.words import Remedy
from watchdogd.errors import Problem
from watchdogd.loading.files import Leaf
from watchdogd.loading.keys import ENV, ENV_NAME, ENV_TOKEN, Key, sections
from watchdogd.loading.paths import FileRule, checked, program
from watchdogd.loading.values import Refused, shown, text

_BARE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENV_DEPTH = ENV.count(".") + 1


@dataclass(slots=True)
class Table:
    """What one table said: values by dotted key, where each stands, and which were refused."""

    values: dict[str, object] = field(default_factory=dict)
    origin: dict[str, Leaf] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    own: frozenset[str] = frozenset()
    """Keys that the target's own table wrote, not ``[defaults]``."""
    file: str = ""
    """Where the table itself stands: for problems with a key that is not written anywhere."""

    def over(self, lower: Table) -> Table:
        """This table's keys on top of ``lower``'s."""
        return Table(
            values={**lower.values, **self.values},
            origin={**lower.origin, **self.origin},
            refused=self.refused | (lower.refused - set(self.values)),
            own=frozenset(self.values) | frozenset(self.refused),
        )


def dotted(parts: Iterable[str]) -> str:
    """A key path as a person may read it; odd parts quoted and cut."""
    return ".".join(part if _BARE.fullmatch(part) else shown(part) for part in parts)


def parse_table(
    keys: Mapping[str, Key],
    leaves: Iterable[Leaf],
    prefix: int,
    environ: Mapping[str, str],
    problems: list[Problem],
) -> Table:
    """The values of one table. ``prefix``: how many parts of each path name the table itself."""
    table = Table()
    known = sections(keys)
    reported = set[tuple[str, ...]]()
    for leaf in leaves:
        inner = leaf.path[prefix:]
        name = ".".join(inner)
        key = keys.get(name)
        if key is not None and all("." not in part for part in inner):
            _take(table, name, key, leaf, environ, problems)
        elif ENV in known and name.startswith(f"{ENV}.") and leaf.value != {}:
            _take_env(table, inner, leaf, problems)
        elif (name in known or not inner) and leaf.value == {}:
            continue
        else:
            _unknown(keys, known, leaf, prefix, reported, problems)
    return table


def _take(
    table: Table,
    name: str,
    key: Key,
    leaf: Leaf,
    environ: Mapping[str, str],
    problems: list[Problem],
) -> None:
    try:
        value = key.parse(leaf.value)
        if key.file is FileRule.PROGRAM:
            value = program(value, environ) if isinstance(value, tuple) and value else None
        elif key.file is not None:
            value = checked(str(value), key.file, environ) if value else None
    except Refused as refused:
        table.refused.add(name)
        allowed = refused.allowed or key.allowed
        problems.append(Problem(leaf.file, dotted(leaf.path), refused.found, allowed))
    else:
        table.values[name] = value
        table.origin[name] = leaf


def _take_env(table: Table, inner: tuple[str, ...], leaf: Leaf, problems: list[Problem]) -> None:
    names = inner[_ENV_DEPTH:]
    where = dotted(leaf.path)
    if len(names) != 1 or not re.fullmatch(ENV_NAME, names[0]):
        problems.append(
            Problem(
                leaf.file, where, "no name of a variable", "letters, digits and _, no digit first"
            )
        )
    elif names[0] in ENV_TOKEN:
        allowed = "runtime.token_file, which names a file of mode 0600"
        problems.append(Problem(leaf.file, where, "a token in the file", allowed))
    else:
        try:
            table.values[".".join(inner)] = text(leaf.value)
            table.origin[".".join(inner)] = leaf
        except Refused:
            # Values of variables are not shown: they may be secrets.
            problems.append(Problem(leaf.file, where, "no plain text", "a text on one line"))


def _unknown(
    keys: Mapping[str, Key],
    known: frozenset[str],
    leaf: Leaf,
    prefix: int,
    reported: set[tuple[str, ...]],
    problems: list[Problem],
) -> None:
    end = prefix + 1
    while end < len(leaf.path) and ".".join(leaf.path[prefix:end]) in known:
        end += 1
    stem = leaf.path[:end]
    if stem in reported:
        return
    reported.add(stem)
    inner = ".".join(stem[prefix:])
    if inner in keys and "." not in stem[-1]:
        problem = Problem(leaf.file, dotted(stem), "a table", keys[inner].allowed)
    elif inner in known:
        problem = Problem(leaf.file, dotted(stem), shown(leaf.value), f"a table: [{dotted(stem)}]")
    else:
        problem = Problem(leaf.file, dotted(stem), "an unknown key", _nearest(inner, keys, known))
    problems.append(problem)


def _nearest(inner: str, keys: Mapping[str, Key], known: frozenset[str]) -> str:
    parent, _, last = inner.rpartition(".")
    if any(remedy.value == last and unbuilt(remedy) for remedy in Remedy):
        return f"not built yet: the remedy {last}; leave the key out"
    depth = inner.count(".")
    here = {name.split(".")[depth] for name in [*keys, *known] if _inside(name, parent, depth)}
    near = difflib.get_close_matches(last, sorted(here), n=1)
    if near:
        return f"{near[0]} (the nearest known name)"
    elsewhere = [name for name in keys if name.rpartition(".")[2] == last]
    if elsewhere:
        return f"{elsewhere[0]} (that is where {dotted([last])} belongs)"
    return ", ".join(sorted(here))


def _inside(name: str, parent: str, depth: int) -> bool:
    return name.count(".") >= depth and (not parent or name.startswith(f"{parent}."))
