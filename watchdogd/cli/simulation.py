"""What ``simulate`` prints: a recorded log read from a file, and the decisions taken on it."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from watchdogd.adapters.event_files import raw_lines
from watchdogd.cli import output
from watchdogd.core.commands import Apply, Fact, Publish
from watchdogd.core.model import Policy
from watchdogd.eventlog import (
    Missed,
    Numbered,
    Opened,
    Stepped,
    Unreadable,
    encode,
    numbered,
    without_words,
)
from watchdogd.sim import News, Taken, Unplayable, replay, what_if
from watchdogd.sinks.sentences import fact_line


class Log:
    """A recorded log. Read once, by ``steps``; what is known of it then stands in its fields."""

    def __init__(self, file: str, target: str | None) -> None:
        """``file``: ``-`` is standard input. ``target``: steps of others are passed over."""
        self.file = file
        self.versions: list[str] = []
        self.targets: set[str] = set()
        self.events = 0
        self.first: float | None = None
        """Wall time of the first event."""
        self.last: float | None = None
        self._target = target
        self._seen = set[str]()
        self._notes: list[str] = []

    def notes(self) -> list[str]:
        """What is odd about it, a sentence each."""
        return list(self._notes)

    def note(self, sentence: str) -> None:
        """Add one."""
        self._notes.append(sentence)

    def steps(self) -> Iterator[Numbered]:
        """Its lines. Only inside ``reading``."""
        return (one for one in numbered(raw_lines(self.file), self._half) if self._wanted(one))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Ends the verb (``ExitWith``) if the log cannot be read, or has no such target."""
        try:
            yield
        except (Unreadable, Unplayable) as error:
            raise output.ExitWith(f"{self._name()}: {error}", output.CONFIG) from error
        except OSError as error:
            why = error.strerror or str(error)
            newest = os.path.join(self.file, "events.jsonl")
            mend = f"watchdogd simulate {shlex.quote(newest)}" if os.path.isfile(newest) else ""
            told = f"{self._name()} cannot be read: {why}"
            raise output.ExitWith(told, output.CONFIG, mend) from error
        if self._target is not None and self._target not in self.targets:
            output.pick(self._target, sorted(self._seen))

    def _name(self) -> str:
        return "standard input" if self.file == "-" else self.file

    def _wanted(self, one: Numbered) -> bool:
        line = one.line
        if isinstance(line, Stepped):
            self._seen.add(line.target)
        if isinstance(line, Opened):
            self.versions.append(line.version)
        elif isinstance(line, Missed):
            self.note(f"line {one.number}: {line.steps} events before it were not recorded")
        elif self._target is not None and line.target != self._target:
            return False
        elif isinstance(line, Stepped):
            self.targets.add(line.target)
            self.events += 1
            self.last = line.env.wall
            self.first = self.last if self.first is None else self.first
        return True

    def _half(self, number: int) -> None:
        self.note(f"line {number}, the last one, is only half there and was left out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One published decision."""

    at: str
    """UTC."""
    wall: float
    target: str
    line: int
    fact: Fact
    under: str = "both"
    """``both``, ``recorded`` or ``new``: which settings lead to it."""

    @property
    def text(self) -> str:
        """In plain words."""
        return fact_line(self.fact).text

    def plain(self) -> dict[str, Any]:
        """For programs."""
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self.fact).__name__).lower()
        told = {"at": self.at, "target": self.target, "line": self.line, "kind": kind}
        return {**told, "text": self.text, "fact": encode(type(self.fact), self.fact)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """All that was decided now."""

    told: tuple[Told, ...]
    different: int
    """How many steps were decided differently."""
    first: dict[str, Any] | None
    """The first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderBoth:
    """All that the recorded settings and the others decide."""

    told: tuple[Told, ...]
    changes: dict[str, dict[str, list[Any]]]
    """By target and setting: as recorded last, and now."""
    applied: dict[str, dict[str, int]]
    """How often each remedy, under ``recorded`` and ``new``."""


def replayed(log: Log) -> Replayed:
    """The log, decided again. Raises ``ExitWith``."""
    news, told, different = News(), list[Told](), 0
    first: dict[str, Any] | None = None
    with log.reading():
        for taken in replay(log.steps()):
            told += [_told(taken, fact) for fact in news.of(taken)]
            if not taken.same():
                different += 1
                first = first or _difference(taken)
    return Replayed(told=tuple(told), different=different, first=first)


def under_both(log: Log, policies: Mapping[str, Policy]) -> UnderBoth:
    """The log under its own settings and under ``policies``; what both decide at the same step comes
    once. Raises ``ExitWith``."""
    then, now, told = News(), News(), list[Told]()
    changes: dict[str, dict[str, list[Any]]] = {}
    applied = {"recorded": Counter[str](), "new": Counter[str]()}
    odd = 0
    with log.reading():
        for other in what_if(log.steps(), policies):
            recorded = other.recorded
            changes[recorded.target] = _changes(recorded.policy, policies[recorded.target])
            odd = odd or (0 if recorded.same() else recorded.line)
            applied["recorded"] += _applied((recorded,))
            applied["new"] += _applied(other.instead)
            ours = [_told(one, fact) for one in other.instead for fact in now.of(one)]
            told += _merged([_told(recorded, fact) for fact in then.of(recorded)], ours)
    if odd:
        log.note(f"line {odd}: this version decides otherwise than the recording, settings apart")
    for name in sorted(log.targets - changes.keys()):
        log.note(f"{name} is no target of the configuration, and was left out")
    counts = {under: dict(counter) for under, counter in applied.items()}
    return UnderBoth(told=tuple(told), changes=changes, applied=counts)


def moment(wall: float) -> str:
    """A time for people, UTC."""
    try:
        told = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # no date, but what the log says
        return str(wall)
    return told.replace("+00:00", "Z")


def _told(taken: Taken, fact: Fact) -> Told:
    wall = taken.env.wall
    return Told(at=moment(wall), wall=wall, target=taken.target, line=taken.line, fact=fact)


def _merged(then: list[Told], now: list[Told]) -> list[Told]:
    """What both decide once, the rest marked, by time."""
    left, found = list(now), list[Told]()
    for one in then:
        twin = next((each for each in left if _same(one, each)), None)
        if twin is None:
            found.append(replace(one, under="recorded"))
        else:
            left.remove(twin)
            found.append(one)
    found += [replace(one, under="new") for one in left]
    return sorted(found, key=lambda one: one.wall)


def _same(one: Told, other: Told) -> bool:
    return without_words([Publish(fact=one.fact)]) == without_words([Publish(fact=other.fact)])


def _applied(steps: Iterable[Taken]) -> Counter[str]:
    return Counter(
        str(command.intent.remedy)
        for taken in steps
        for command in taken.commands
        if isinstance(command, Apply)
    )


def _changes(old: Policy, new: Policy) -> dict[str, list[Any]]:
    before, after = encode(Policy, old), encode(Policy, new)
    keys = dict.fromkeys([*before, *after])  # what is empty is not there
    pairs = {key: [before.get(key), after.get(key)] for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _difference(taken: Taken) -> dict[str, Any]:
    recorded, now = taken.differences()
    return {
        "line": taken.line,
        "at": moment(taken.env.wall),
        "target": taken.target,
        "event": type(taken.event).__name__,
        "recorded": recorded,
        "now": now,
    }
