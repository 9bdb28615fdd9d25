"""A recorded event log of the small world, for tests: in memory, or as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from tests.core.world import World
from watchdogd.core.commands import Command
from watchdogd.core.events import Event
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.words import Cause
from watchdogd.eventlog import (
    SCHEMA,
    Began,
    Line,
    Numbered,
    Opened,
    Retuned,
    Stepped,
    numbered,
    written,
)
from watchdogd.ports import Recorder


@dataclass
class Tape:
    """Implements ``ports.Recorder``: the lines of a log, for ever."""

    lines: list[Line] = field(
        default_factory=lambda: [Opened(schema=SCHEMA, version="0.0", wall=0.0)]
    )
    last: dict[str, tuple[TargetState, Policy]] = field(default_factory=dict)
    kept: tuple[list[Line], bytes] = field(default_factory=lambda: ([], b""))
    """Lines and their text, as far as they are known: to write them takes long."""

    def stepped(
        self,
        target: str,
        before: TargetState,
        event: Event,
        policy: Policy,
        env: Env,
        after: TargetState,
        commands: Sequence[Command],
    ) -> None:
        state, known = self.last.get(target, (None, None))
        if state is not before:
            self.lines.append(Began(target=target, policy=policy, state=before))
        elif known != policy:
            self.lines.append(Retuned(target=target, policy=policy))
        self.lines.append(Stepped(target=target, event=event, env=env, did=tuple(commands)))
        self.last[target] = (after, policy)

    def text(self) -> bytes:
        """As it stands in a file."""
        if self.lines != self.kept[0]:
            self.kept = [*self.lines], b"".join(map(written, self.lines))
        return self.kept[1]

    def read_back(self) -> list[Numbered]:
        """As it is read from a file."""
        return lines_of(self.text())


def lines_of(text: bytes) -> list[Numbered]:
    """All lines of a whole log; read once for each text."""
    return list(_lines_of(text))


@lru_cache(maxsize=16)
def _lines_of(text: bytes) -> tuple[Numbered, ...]:
    return tuple(numbered(text.splitlines(keepends=True), lambda number: None))


def outages(policy: Policy | None = None) -> Tape:
    """The log of ``play_outages``, on a tape of one's own; played once for each policy."""
    known = _outages(policy or Policy())
    known.text()
    return Tape(lines=[*known.lines], last=dict(known.last), kept=known.kept)


@cache
def _outages(policy: Policy) -> Tape:
    tape = Tape()
    play_outages(policy, tape)
    return tape


def play_outages(policy: Policy, recorder: Recorder) -> None:
    """An hour and a half: a container that exits, a runtime that hangs, a link that dies, a sleep."""
    world = World(policy=policy, recorder=recorder).start()
    world.play(300)
    world.container = Cause.CONTAINER_EXITED
    world.play(300)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(1800)
    world.kill_link()
    world.play(300).sleep(3600).kill_link().play(300)
    assert world.broken == []


def write(path: Path, lines: Iterable[Line]) -> Path:
    """A log in a file."""
    path.write_bytes(b"".join(map(written, lines)))
    return path
