"""Dials on their way that can be begun anew: on another network they would wait for answers that cannot come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Clock, Deadline, Link

_CLOSE_SECONDS = 2.0
AnyLink = TypeVar("AnyLink", bound=Link)


class Attempt:
    """One try to make a link."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self.over = False
        """It was given up: whatever it met says nothing."""

    def hold(self, end: Callable[[], None]) -> None:
        """``end``: makes what this try waits for end at once; must not block or raise. Raises ``Transient`` if
        it was given up before."""
        with self._lock:
            if not self.over:
                self._ends.append(end)
                return
        raise Transient(Cause.HOST_UNREACHABLE, "given up: the network is another one")

    def give_up(self) -> None:
        """It ends soon. May be called from any thread, twice."""
        with self._lock:
            self.over = True
            ends, self._ends = self._ends, []
        for end in ends:
            end()


class Attempts:
    """Those of one engine. May be used from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: set[Attempt] = set()

    def run(self, dial: Callable[[Attempt], AnyLink], deadline: Deadline) -> AnyLink:
        """What ``dial`` makes or raises; once more, while time is left, if it was given up meanwhile."""
        while True:
            attempt = Attempt()
            with self._lock:
                self._running.add(attempt)
            try:
                link = dial(attempt)
            except (Transient, Permanent):
                if not attempt.over or deadline.passed():
                    raise
                continue
            finally:
                with self._lock:
                    self._running.discard(attempt)
            if not attempt.over:
                return link
            link.close(Deadline.after(self._clock, _CLOSE_SECONDS))

    def start_over(self) -> None:
        """Give up all that run now. Returns at once."""
        with self._lock:
            running = tuple(self._running)
        for attempt in running:
            attempt.give_up()
