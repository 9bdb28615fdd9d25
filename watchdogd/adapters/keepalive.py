"""Says whether a link still speaks: by what came over it, never by what was sent.

Two threads, because each may be stuck where the other is needed. One asks the server for an answer
and so makes it speak; on a dead link it may block for ever, harmlessly. The other only looks at
when something last came, and at whether the connection ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from watchdogd.ports import Clock, Deadline, LinkNews

_WATCH_SECONDS = 0.25


class Asked(Protocol):
    """What is kept alive."""

    def ask(self) -> bool:
        """Ask the far side for any answer and wait for it, however long. False: the link ended."""
        ...

    def await_end(self, seconds: float) -> str | None:
        """Wait so long for the connection's end; returns why it ended, None if it did not."""
        ...


class Keepalive:
    """Tells ``news`` of silence, speech and the end, from the threads that ``start`` makes."""

    def __init__(
        self,
        asked: Asked,
        last_received: Callable[[], float],
        *,
        interval: float,
        clock: Clock,
        news: LinkNews,
        name: str,
    ) -> None:
        """``interval``: seconds between questions; ``last_received``: ``run`` clock."""
        self._asked = asked
        self._last_received = last_received
        self._interval = interval
        self._clock = clock
        self._news = news
        self._stopped = threading.Event()
        self._not_silent_before = clock.run()
        self.round_trip: float | None = None
        """Seconds the last answer took."""
        self._threads = (
            threading.Thread(target=self._ask, name=f"{name}-keepalive", daemon=True),
            threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True),
        )

    def start(self) -> None:
        """Once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more news from now on; the threads end once the connection is closed."""
        self._stopped.set()

    def join(self, deadline: Deadline) -> None:
        """Wait for the threads, unless called by one of them."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(deadline.remaining())

    def silence_limit(self) -> float:
        """Seconds without any message that count as silence: two keepalives, more on a slow line."""
        slow = self._interval + 2 * (self.round_trip or 0.0)
        return max(2 * self._interval, slow)

    def _ask(self) -> None:
        while not self._stopped.is_set():
            asked = self._clock.run()
            if not self._asked.ask():
                return
            self.round_trip = self._clock.run() - asked
            self._stopped.wait(self._interval)

    def _watch(self) -> None:
        silent = False
        looked = self._clock.run()
        while not self._stopped.is_set():
            why = self._asked.await_end(_WATCH_SECONDS)
            if self._stopped.is_set():
                return
            if why is not None:
                self._news.lost(why)
                return
            looked = self._look(looked)
            silent = self._tell(silent, looked)

    def _look(self, before: float) -> float:
        now = self._clock.run()
        if now - before > self._interval:
            # This process itself stood still: what came meanwhile was not read yet.
            self._not_silent_before = now + self._interval
        return now

    def _tell(self, silent: bool, now: float) -> bool:
        since = now - self._last_received()
        is_silent = since > self.silence_limit() and now > self._not_silent_before
        if is_silent and not silent:
            self._news.silent()
        elif silent and not is_silent and since < self.silence_limit():
            self._news.speaking()
        else:
            return silent
        return is_silent
