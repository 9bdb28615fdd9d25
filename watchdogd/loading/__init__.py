"""Configuration: TOML, ``conf.d`` and the environment -> ``Settings``, or all problems at once.

The first step of the data flow: it happens at the start and again on each reload, and nothing starts
from a configuration that is not whole. ``files`` reads, ``keys`` is the table of all keys, ``values``
parses, ``table`` applies the one to the other, ``build`` makes records and ties keys together,
``show`` is the way back to TOML, ``warn`` and ``mismatch`` say what is allowed and likely not meant.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from watchdogd.errors import ConfigError, Problem
from watchdogd.loading.build import (
    agent_settings,
    notify_settings,
    shared_ports,
    target_settings,
)
from watchdogd.loading.files import Leaf, config_files, config_path, read
from watchdogd.loading.keys import AGENT, NOTIFY, TARGET, TARGET_NAME
from watchdogd.loading.paths import config_candidates, state_folder
from watchdogd.loading.show import as_toml, config_secrets
from watchdogd.loading.source import Source
from watchdogd.loading.table import Table, dotted, parse_table
from watchdogd.loading.values import duration
from watchdogd.loading.warn import cautions
from watchdogd.settings import Settings, TargetSettings

__all__ = [
    "Source",
    "as_toml",
    "cautions",
    "config_files",
    "config_path",
    "config_secrets",
    "duration",
    "load",
    "source",
    "state_dir",
]

_TOP = ("agent", "defaults", "notify", "targets")


@dataclass(slots=True)
class _Parts:
    """The leaves of all files, by what they belong to."""

    agent: list[Leaf] = field(default_factory=list)
    defaults: list[Leaf] = field(default_factory=list)
    notify: list[Leaf] = field(default_factory=list)
    targets: dict[str, list[Leaf]] = field(default_factory=dict)
    misnamed: dict[str, list[Leaf]] = field(default_factory=dict)
    """Those that no target can be, and whose keys a person may have mistyped as well."""


def load(path: str | None, environ: Mapping[str, str]) -> Settings:
    """Read the configuration that ``path`` (or the environment, or the usual places) names.

    Raises ``ConfigError`` with every problem of every file. No message shows a secret. Files that
    are named are looked at; nothing is resolved, contacted or written.
    """
    problems: list[Problem] = []
    main = config_path(path, environ)
    files = config_files(main)
    if not (path or environ.get("WATCHDOGD_CONFIG") or os.path.exists(main)):
        looked = ", ".join(str(place) for place in config_candidates(environ))
        found = f"no configuration file; looked for {looked}"
        allowed = f"--config FILE, $WATCHDOGD_CONFIG, or that file; make it: {_make(main)}"
        problems.append(Problem(str(main), "", found, allowed))
        files = ()
    leaves: list[Leaf] = []
    for file in files:
        read_leaves, broken = read(file)
        leaves.extend(read_leaves)
        problems.extend(broken)
    settings = _settings(leaves, environ, problems, tuple(str(file) for file in files))
    if problems:
        raise ConfigError(tuple(problems))
    return settings


def _make(main: Path) -> str:
    """The command that makes the least configuration; its two names are to be replaced."""
    lines = '[targets.a100]\\nssh.host = "SERVER"\\nruntime.container.image = "IMAGE"\\n'
    folder, file = shlex.quote(str(main.parent)), shlex.quote(str(main))
    return f"mkdir -p {folder} && printf '{lines}' > {file}"


def source(path: str | None, environ: Mapping[str, str]) -> Source:
    """The configuration that ``load`` reads with the same arguments, to be read again later."""
    return Source(path=path, environ=environ, read=load)


def state_dir(path: str | None, environ: Mapping[str, str]) -> str:
    """The state folder, also of a configuration that is otherwise refused: a running agent keeps its
    old settings, and must still be found. Never raises; in doubt the platform's folder."""
    found = ""
    for file in config_files(config_path(path, environ)):
        for leaf in read(file)[0]:
            if leaf.path == ("agent", "state_dir"):
                table = parse_table(AGENT, [leaf], 1, environ, [])
                found = str(table.values.get("state_dir") or "") or found
    return found or state_folder(environ)


def _settings(
    leaves: Sequence[Leaf],
    environ: Mapping[str, str],
    problems: list[Problem],
    files: tuple[str, ...],
) -> Settings:
    parts = _sorted(leaves, problems)
    told = any(not problem.key or problem.key.startswith("targets") for problem in problems)
    agent_table = parse_table(AGENT, parts.agent, 1, environ, problems)
    notify = notify_settings(parse_table(NOTIFY, parts.notify, 1, environ, problems), problems)
    defaults = parse_table(TARGET, parts.defaults, 1, environ, problems)
    agent = agent_settings(agent_table, environ, problems)
    tables: dict[str, Table] = {}
    targets: dict[str, TargetSettings] = {}
    for name, own in parts.targets.items():
        tables[name] = parse_table(TARGET, own, 2, environ, problems).over(defaults)
        tables[name].file = own[0].file
        target = target_settings(name, own[0].file, tables[name], problems)
        if target is not None:
            targets[name] = target
    for own in parts.misnamed.values():
        parse_table(TARGET, own, 2, environ, problems)
    shared_ports(tables, agent, problems)
    if not parts.targets and not told:
        where = files[0] if files else ""
        problems.append(Problem(where, "targets", "no target", "at least one table [targets.NAME]"))
    return Settings(agent=agent, targets=targets, notify=notify, files=files)


def _sorted(leaves: Sequence[Leaf], problems: list[Problem]) -> _Parts:
    parts = _Parts()
    bad = set[tuple[str, ...]]()
    for leaf in leaves:
        top = leaf.path[0] if leaf.path else ""
        if not leaf.path or (len(leaf.path) == 1 and top in _TOP and leaf.value == {}):
            continue
        if top not in _TOP or len(leaf.path) == 1:
            if leaf.path[:1] not in bad:
                problems.append(_top_problem(leaf))
            bad.add(leaf.path[:1])
        elif top == "targets":
            _target_leaf(leaf, parts, bad, problems)
        else:
            {"agent": parts.agent, "defaults": parts.defaults, "notify": parts.notify}[top].append(
                leaf
            )
    return parts


def _top_problem(leaf: Leaf) -> Problem:
    top = leaf.path[0]
    if top in _TOP:
        return Problem(leaf.file, dotted([top]), "a value", f"a table: [{top}]")
    near = difflib.get_close_matches(top, _TOP, n=1)
    allowed = f"{near[0]} (the nearest known name)" if near else ", ".join(_TOP)
    return Problem(leaf.file, dotted([top]), "an unknown table", allowed)


def _target_leaf(
    leaf: Leaf, parts: _Parts, bad: set[tuple[str, ...]], problems: list[Problem]
) -> None:
    stem, name = leaf.path[:2], leaf.path[1]
    problem: Problem | None = None
    is_value = len(leaf.path) == 2 and leaf.value != {}
    badly_named = not re.fullmatch(TARGET_NAME, name)
    if badly_named:
        allowed = "1 to 32 of a-z, 0-9, _ and -, first a letter or digit"
        problem = Problem(leaf.file, dotted(stem), "a name that no target can have", allowed)
    elif is_value:
        problem = Problem(leaf.file, dotted(stem), "a value", f"a table: [targets.{name}]")
    elif name in parts.targets and parts.targets[name][0].file != leaf.file:
        first = parts.targets[name][0].file
        stem = (*stem, leaf.file)
        problem = Problem(
            leaf.file, f"targets.{name}", f"a target that {first} defines too", "one of the two"
        )
    if problem is None:
        parts.targets.setdefault(name, []).append(leaf)
    elif badly_named and not is_value:
        parts.misnamed.setdefault(name, []).append(leaf)
    if problem is not None and stem not in bad:
        bad.add(stem)
        problems.append(problem)
