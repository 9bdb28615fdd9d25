"""One clock for the watchers of all links: it looks twice a second whether one of them has to look.

A watcher that is woken by what is sent over its link, and once a second besides, nearly always finds nothing:
the answer came a moment later. So one thread asks them all, and wakes those where something is still to come.
"""

from __future__ import annotations

import threading
from typing import Protocol

from watchdogd.adapters.clock import SystemClock
from watchdogd.ports import Clock

TICK_SECONDS = 0.5
"""Nothing that is to come may be called late before that (``keepalive.SUSPECT_SECONDS``)."""


class Ticked(Protocol):
    """What is looked at."""

    def tick(self, due: float) -> None:
        """``due``: the ``run`` clock at which this tick should have been. Must neither block nor raise."""
        ...


class Ticker:
    """Any thread may add and remove; it has a thread while it has members."""

    def __init__(self, clock: Clock, seconds: float = TICK_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._changed = threading.Condition()
        self._members: frozenset[Ticked] = frozenset()
        self._thread: threading.Thread | None = None

    def add(self, one: Ticked) -> None:
        """It is ticked from now on."""
        with self._changed:
            self._members |= {one}
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)
                self._thread.start()

    def remove(self, one: Ticked) -> None:
        """A tick that is under way may still reach it."""
        with self._changed:
            self._members -= {one}
            if not self._members:
                self._changed.notify()

    def _run(self) -> None:
        due = self._clock.run() + self._seconds
        while members := self._awaited(due):
            for one in members:
                one.tick(due)
            due = self._clock.run() + self._seconds

    def _awaited(self, due: float) -> frozenset[Ticked]:
        """The members when it is time; none if there are none any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._members, max(0.0, due - self._clock.run()))
            if not self._members:
                self._thread = None
            return self._members


TICKER = Ticker(SystemClock())
"""The process's."""
