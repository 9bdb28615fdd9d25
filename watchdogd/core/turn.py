"""One turn of ``step``: the state being made and the commands collected so far.

A ``Turn`` lives inside one call of ``step`` only; what it hands out is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from watchdogd.core.commands import Command, Fact, Publish
from watchdogd.core.model import (
    NO_STREAK,
    Env,
    Policy,
    TargetState,
)
from watchdogd.core.records import merged
from watchdogd.core.words import Phase


@dataclass(slots=True)
class Turn:
    """The working copy of a state."""

    state: TargetState
    policy: Policy
    env: Env
    commands: list[Command] = field(default_factory=list)

    def change(self, **fields: Any) -> None:
        """Replace fields of the state."""
        self.state = merged(self.state, fields)

    def close(self, begun: TargetState, **fields: Any) -> None:
        """The last change of the turn that began with ``begun``: nobody looks at the working copy's former
        values any more, so it is made in the copy itself. What was handed in stays as it is."""
        if self.state is begun:
            self.change(**fields)
        else:
            vars(self.state).update(fields)

    def emit(self, command: Command) -> None:
        """Wish for something."""
        self.commands.append(command)

    def tell(self, fact: Fact) -> None:
        """Publish a fact."""
        self.commands.append(Publish(fact=fact))

    def enter(self, phase: Phase) -> None:
        """Change the phase; the count of good rounds starts afresh."""
        if self.state.phase is not phase:
            self.change(phase=phase, phase_since=self.env.run, oks=0)

    def look_again(self, after: float) -> None:
        """The next round is due ``after`` seconds from now, at once (0) also while one is open."""
        at = self.env.run + after
        self.change(next_round_at=at, hurry=self.state.round_open and after <= 0)

    def forget_streak(self) -> None:
        """Failures counted so far are no evidence any more."""
        self.change(streak=NO_STREAK, oks=0)
