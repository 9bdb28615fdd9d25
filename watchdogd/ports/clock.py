"""Time: the three clocks, and points in it by which a call ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """The three clocks and the dice. The real one is ``adapters.clock.SystemClock``."""

    def run(self) -> float:
        """Monotonic seconds: for timeouts."""
        ...

    def boot(self) -> float:
        """Seconds that also count while the laptop sleeps: for ages and accounts."""
        ...

    def wall(self) -> float:
        """Unix seconds, UTC: for people and across reboots."""
        ...

    def boot_id(self) -> str:
        """Identity of the laptop's boot."""
        ...

    def chance(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def wait(self, seconds: float) -> None:
        """Let that much time pass."""
        ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the ``run`` clock by which a call ends."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """The point ``seconds`` from now."""
        return cls(clock, clock.run() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock.run())

    def passed(self) -> bool:
        """True once nothing is left."""
        return self.clock.run() >= self.at

    def at_most(self, seconds: float) -> Deadline:
        """The earlier of this point and ``seconds`` from now."""
        return Deadline(self.clock, min(self.at, self.clock.run() + seconds))
