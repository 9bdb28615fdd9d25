"""What survives a crash, and who is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from watchdogd.core.commands import Command, Fact
from watchdogd.core.events import Event
from watchdogd.core.model import (
    Charge,
    Env,
    Intent,
    Memory,
    Policy,
    TargetState,
)
from watchdogd.core.notices import Told
from watchdogd.core.resume import Hook
from watchdogd.core.sight import Generation
from watchdogd.core.words import Remedy, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a former agent left of one target."""

    charges: tuple[Charge, ...] = ()
    """Of the last 24 h, oldest first; an intent without a result is one."""
    memory: Memory = field(default_factory=Memory)
    open: tuple[Remedy, ...] = ()
    """Remedies whose result is not known: the agent ended before they did."""
    hook: Generation | None = None
    """For what the resume hook was begun last."""


class Journal(Protocol):
    """What survives a crash. Raises ``OSError`` when it cannot keep its word."""

    def load(self, target: str, now: Env) -> Kept:
        """What is kept of the target. What is open is told once, and closed by that."""
        ...

    def remember(self, target: str, memory: Memory, now: Env) -> None:
        """Keep this in the place of what was kept before."""
        ...

    def intend(self, target: str, intent: Intent, charge: Charge) -> None:
        """Intent and charge together, durable when this returns."""
        ...

    def finish(self, target: str, key: str, result: Result) -> None: ...

    def intend_hook(self, target: str, hook: Hook, now: Env) -> None:
        """That this hook is begun, durable when this returns. Raises ``FileExistsError`` if one was begun
        for its generation before."""
        ...

    def finish_hook(self, target: str, key: str, result: Result) -> None:
        """How it ended. ``NOTHING``: it was not begun after all."""
        ...

    def close(self) -> None: ...


class StartLog(Protocol):
    """The agent's own starts, crashes among them. Raises ``OSError``."""

    def began(self, now: Env) -> float | None:
        """Note that the agent starts. Seconds for which it only observes, because it crashed again and
        again (``core.crashes``)."""
        ...

    def asked(self) -> None:
        """Note that this start was ended by somebody: it is no crash."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One line of a message, to be told to every destination."""

    seq: int
    """Later ones have greater numbers."""
    key: str
    """Never occurs twice."""
    wall: float
    incident: str
    news: str
    """A word of ``core.notices.News``."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a destination was told."""

    seq: int = 0
    """The last line that it got."""
    missed: int = 0
    """Lines that were given up since, because too many waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a former agent left in the outbox."""

    told: Mapping[str, Told] = field(default_factory=dict)
    """By target."""
    lines: tuple[Posted, ...] = ()
    """Oldest first."""
    reached: Mapping[str, Reached] = field(default_factory=dict)
    """By destination."""


class Outbox(Protocol):
    """Messages that survive the agent. Raises ``OSError`` when it cannot keep its word."""

    def left(self) -> Left: ...

    def post(self, told: Mapping[str, Told], lines: Sequence[Posted], oldest: int) -> None:
        """Keep what was last told of these targets, and the lines, durable together when this returns. A line
        whose key is there already is not kept again; those before ``oldest`` go."""
        ...

    def reach(self, reached: Mapping[str, Reached]) -> None:
        """How far each destination is; one that is not in here is forgotten."""
        ...


class Sink(Protocol):
    """Told after the state changed. Raises nothing that matters: a failing sink is counted."""

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None: ...


class Recorder(Protocol):
    """Told each step as a whole, after its commands were carried out. Must neither block nor raise."""

    def stepped(
        self,
        target: str,
        before: TargetState,
        event: Event,
        policy: Policy,
        env: Env,
        after: TargetState,
        commands: Sequence[Command],
    ) -> None: ...
