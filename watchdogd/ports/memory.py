"""What survives a crash, and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from watchdogd.core.commands import Command, Fact
from watchdogd.core.events import Event
from watchdogd.core.model import (
    Charge,
    Env,
    Intent,
    Policy,
    TargetState,
)
from watchdogd.core.words import Result


class Journal(Protocol):
    """What survives a crash. Raises ``OSError`` when it cannot keep its word."""

    def load(self, target: str, now: Env) -> tuple[Charge, ...]:
        """The charges of the last 24 h."""
        ...

    def intend(self, target: str, intent: Intent, charge: Charge) -> None:
        """Intent and charge together, durable when this returns."""
        ...

    def finish(self, target: str, key: str, result: Result) -> None: ...

    def close(self) -> None: ...


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
