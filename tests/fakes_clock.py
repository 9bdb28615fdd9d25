"""A clock that a test turns by itself. Stands still until told otherwise."""

from __future__ import annotations


class FakeClock:
    """Implements ``ports.Clock``. ``sleep`` is the laptop's: the run clock misses it."""

    def __init__(self) -> None:
        self.run_now = 1000.0
        self.boot_now = 5000.0
        self.wall_now = 1_800_000_000.0
        self.next_chance = 0.5

    def run(self) -> float:
        return self.run_now

    def boot(self) -> float:
        return self.boot_now

    def wall(self) -> float:
        return self.wall_now

    def boot_id(self) -> str:
        return "boot-1"

    def chance(self) -> float:
        return self.next_chance

    def wait(self, seconds: float) -> None:
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        """Ordinary time."""
        self.run_now += seconds
        self.boot_now += seconds
        self.wall_now += seconds

    def sleep(self, seconds: float) -> None:
        """The machine is suspended."""
        self.boot_now += seconds
        self.wall_now += seconds

    def set_wall(self, by: float) -> None:
        """Somebody sets the wall clock."""
        self.wall_now += by
