"""Dials on their way that can be begun anew: on another network they would wait for answers that cannot come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Clock, Deadline, Link, LinkNews

_CLOSE_SECONDS = 2.0
_LEAST_SECONDS = 2.0
"""With less time left a dial is not begun anew: it would end for want of time, and say nothing."""
AnyLink = TypeVar("AnyLink", bound=Link)
Hold = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""``Attempt.hold``, for whom else waits."""


class Attempt:
    """One try to make a link."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self.over = False
        """It was given up: whatever it met says nothing."""

    @contextmanager
    def hold(self, end: Callable[[], None]) -> Iterator[None]:
        """Meanwhile ``end`` may be called, from any thread, and makes what is waited for end at once; it must neither
        block nor raise. Raises ``Transient`` if this try was given up before."""
        with self._lock:
            self.check()
            self._ends.append(end)
        try:
            yield
        finally:
            with self._lock:  # from here on it is not called, nor on its way
                self._ends.remove(end)

    def check(self) -> None:
        """Raises ``Transient`` if this try was given up."""
        if self.over:
            raise given_up()

    def give_up(self) -> None:
        """It ends soon. May be called from any thread, twice."""
        with self._lock:
            self.over = True
            for end in self._ends:
                end()


class Attempts:
    """Those of one engine. May be used from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: set[Attempt] = set()

    def run(
        self, dial: Callable[[Attempt, LinkNews], AnyLink], deadline: Deadline, news: LinkNews
    ) -> AnyLink:
        """What ``dial`` makes or raises; made once more, while there is time, if it was given up meanwhile: then
        nothing is told of it."""
        while True:
            attempt, told = Attempt(), _News(news)
            with self._lock:
                self._running.add(attempt)
            try:
                link = dial(attempt, told)
            except (Transient, Permanent):
                if not attempt.over:
                    raise
            else:
                if not attempt.over:
                    told.let_out()
                    return link
                link.close(Deadline.after(self._clock, _CLOSE_SECONDS))
            finally:
                with self._lock:
                    self._running.discard(attempt)
            if deadline.remaining() < _LEAST_SECONDS:
                raise given_up()

    def start_over(self) -> None:
        """Give up all that run now. Returns at once."""
        with self._lock:
            running = tuple(self._running)
        for attempt in running:
            attempt.give_up()


class _News:
    """``ports.LinkNews`` of one try: kept until it is known that its link is the one."""

    def __init__(self, news: LinkNews) -> None:
        self._news = news
        self._lock = threading.Lock()
        self._kept: list[Callable[[], None]] | None = []

    def silent(self) -> None:
        self._tell(self._news.silent)

    def speaking(self) -> None:
        self._tell(self._news.speaking)

    def lost(self, detail: str) -> None:
        self._tell(lambda: self._news.lost(detail))

    def let_out(self) -> None:
        with self._lock:
            kept, self._kept = self._kept or [], None
            for told in kept:
                told()

    def _tell(self, told: Callable[[], None]) -> None:
        with self._lock:
            if self._kept is not None:
                self._kept.append(told)
                return
        told()


def given_up() -> Transient:
    """What a dial raises that has no time left to be begun anew."""
    return Transient(Cause.HOST_UNREACHABLE, "given up: the network is another one")
