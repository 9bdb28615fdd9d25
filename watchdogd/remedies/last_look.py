"""How long the last look before an act is worth anything."""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.ports import Clock, Deadline

SLEPT_SECONDS = 2.0
"""The boot clock outran the run clock by more: the laptop slept in between."""


@dataclass(frozen=True, slots=True)
class LastLook:
    """Begun with the remedy, asked right before it acts."""

    clock: Clock
    deadline: Deadline
    asleep: float
    """By how much the boot clock was ahead of the run clock at the beginning."""

    @classmethod
    def begin(cls, clock: Clock, deadline: Deadline) -> LastLook:
        """What is looked at from now on may be acted upon until ``deadline``."""
        return cls(clock, deadline, clock.boot() - clock.run())

    def outdated(self) -> str:
        """Why it is too late to act on what was seen; empty if it is not."""
        if self.deadline.passed():
            return "the time for it was over before it began"
        if self.clock.boot() - self.clock.run() - self.asleep > SLEPT_SECONDS:
            return "the laptop slept since the last look"
        return ""
