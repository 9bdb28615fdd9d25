"""Which link serves new clients, and how long they wait while none does."""

from __future__ import annotations

import threading

from watchdogd.ports import Clock, Link


class Slot:
    """The one place that the listener's threads and the links' owner share."""

    def __init__(self, hold: float, clock: Clock) -> None:
        """``hold``: seconds that clients wait, counted from the loss of the link, because the
        accept backlog does not tell when a client came."""
        self.hold = hold
        self._clock = clock
        self._changed = threading.Condition()
        self._link: Link | None = None
        self._empty_since = clock.run()
        self._dialing = False
        self._open = True

    def present(self) -> Link | None:
        """The serving link, if there is one now; costs nothing."""
        return self._link if self._open else None

    def get(self, seconds: float = 0.0) -> Link | None:
        """The serving link, waiting so long for one; ``None`` also once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._link is not None or not self._open, seconds)
            return self._link if self._open else None

    def swap(self, link: Link | None) -> Link | None:
        """``link`` serves from now on; returns the one before."""
        with self._changed:
            before, self._link = self._link, link
            self._emptied(before)
            self._changed.notify_all()
            return before

    def drop(self, link: Link) -> None:
        """If ``link`` serves, none does from now on."""
        with self._changed:
            if self._link is link:
                self._link = None
                self._emptied(link)

    def await_other(self, link: Link, seconds: float) -> None:
        """Returns when another link than this serves, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._link is not link or not self._open, seconds)

    def await_close(self, seconds: float) -> None:
        """Returns once closed, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)

    def dialing(self, running: bool) -> None:
        """While a dial runs, nobody is sent away."""
        with self._changed:
            self._dialing = running
            self._changed.notify_all()

    def holds(self) -> bool:
        """True while a client without a link is to wait."""
        with self._changed:
            if not self._open:
                return False
            return self._dialing or self._clock.run() - self._empty_since < self.hold

    def is_open(self) -> bool:
        """False once closed."""
        return self._open

    def close(self) -> None:
        """No link ever again; wakes all who wait."""
        with self._changed:
            self._open = False
            self._link = None
            self._changed.notify_all()

    def _emptied(self, before: Link | None) -> None:
        if self._link is None and before is not None:
            self._empty_since = self._clock.run()
