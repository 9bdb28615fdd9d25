"""A heap of (time, event) on two clocks: the world's, and the laptop's, which stands still in sleep."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Call = Callable[[], None]
NEVER = float("inf")


class Clockwork:
    """``now`` also counts sleep (the core's ``boot``), ``run`` does not."""

    def __init__(self) -> None:
        self.now = 0.0
        self.run = 0.0
        self.slept = 0.0
        self.awake = True
        self._world: list[tuple[float, int, Call]] = []
        self._laptop: list[tuple[float, int, Call]] = []
        self._serial = 0
        self.alarm: tuple[float, Call] | None = None
        """The laptop's one timer (``run`` clock): the newest replaces the older."""

    def after(self, seconds: float, call: Call) -> None:
        """Call it then, whether the laptop sleeps or not."""
        self._serial += 1
        heapq.heappush(self._world, (self.now + seconds, self._serial, call))

    def after_awake(self, seconds: float, call: Call) -> None:
        """Call it when the laptop was awake for so long."""
        self._serial += 1
        heapq.heappush(self._laptop, (self.run + seconds, self._serial, call))

    def next_world_event(self) -> float:
        """When the world changes next (``now`` clock)."""
        return self._world[0][0] if self._world else NEVER

    def next_laptop_event(self) -> float:
        """When something but the alarm is next due on the laptop (``now`` clock, if it stays awake)."""
        return self._laptop[0][0] + self.slept if self._laptop else NEVER

    def fall_asleep(self) -> None:
        """The laptop's clock stands still from now on."""
        self.awake = False
        self._fell = self.now

    def wake_up(self) -> float:
        """The laptop's clock goes on; returns the seconds slept."""
        self.awake = True
        slept = self.now - self._fell
        self.slept += slept
        return slept

    def play(self, end: float) -> None:
        """Let all happen that is due before ``end`` (``now`` clock)."""
        while True:
            world = self.next_world_event()
            timer = self.alarm[0] if self.alarm else NEVER
            job = self._laptop[0][0] if self._laptop else NEVER
            laptop = min(timer, job)
            if self.awake and laptop + self.slept < min(world, end):
                self.run, self.now = laptop, laptop + self.slept
                self._laptop_turn(timer <= job)
            elif world < end:
                self.now = world
                if self.awake:
                    self.run = world - self.slept
                heapq.heappop(self._world)[2]()
            else:
                self.now = end
                return

    def _laptop_turn(self, timer_first: bool) -> None:
        if timer_first and self.alarm is not None:
            call = self.alarm[1]
            self.alarm = None
        else:
            call = heapq.heappop(self._laptop)[2]
        call()
