"""Notices that this laptop came to another network, and tells once it has settled.

On Linux the kernel says when something changed, and nothing is looked at in between; elsewhere the ways are
compared every 5 s, which sends no packet. What changed is judged by the ways to the servers alone: containers and
virtual machines make and remove interfaces all day.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import closing

from watchdogd.adapters.netlink import Notifications
from watchdogd.ports import Clock, Deadline

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
"""Between two looks where the kernel does not tell (tunnel design, 5.5)."""
SLOW_POLL_SECONDS = 300.0
"""Between two looks where it does: one that was missed for whatever reason is made up for."""
SETTLE_SECONDS = 1.5
"""What is still moving after so long is told as it is."""
QUIET_SECONDS, BREATH_SECONDS = 0.3, 0.05
"""Without further news for so long, and with a way to every server, it has settled: address and route of one
interface come within milliseconds of each other."""

Ways = Mapping[str, Mapping[str, str]]
"""By target, and by each address of its server, how that would be reached; empty: not at all."""


class NetworkWatch:
    """One thread from ``start`` to ``close``."""

    def __init__(
        self,
        ways: Callable[[], Ways],
        changed: Callable[[str, bool], None],
        clock: Clock,
        *,
        notifications: Callable[[], Notifications] = Notifications,
        poll: float = POLL_SECONDS,
    ) -> None:
        """``changed`` is given a target's name and whether there is a way to its server now; it must neither
        block nor raise. ``ways`` must not take long."""
        self._ways = ways
        self._changed = changed
        self._clock = clock
        self._open = notifications
        self._poll = poll
        self._known: Ways = {}
        self._stopping = threading.Event()
        self._stop: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="network-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch; the ways as they are now are what changes are told from."""
        self._stop, self._stopped = socket.socketpair()
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Tell nothing more; waits so long for the thread."""
        self._stopping.set()
        if self._stop is not None:
            self._stop.close()  # the other end of the pair wakes the thread
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            with closing(self._open()) as news:
                self._follow(news)
        except OSError as error:
            told = "the kernel tells no changes of the network (%s): looked at every %g s"
            log.info(told, error, self._poll)
            self._follow(None)
        finally:
            self._stopped.close()

    def _follow(self, news: Notifications | None) -> None:
        self._known = self._known or self._ways()
        while not self._stopping.is_set():
            self._await(news)

    def _await(self, news: Notifications | None) -> None:
        """One wait for a change, and what follows from it."""
        told = self._heard(news, SLOW_POLL_SECONDS if news is not None else self._poll)
        if self._stopping.is_set() or not (told or self._ways() != self._known):
            return
        now = self._settled(news)
        for name, ways in now.items():
            if not self._stopping.is_set() and _differ(self._known.get(name, {}), ways):
                self._changed(name, any(ways.values()))
        self._known = now

    def _settled(self, news: Notifications | None) -> Ways:
        deadline = Deadline.after(self._clock, SETTLE_SECONDS)
        while True:
            heard = self._heard(news, deadline.at_most(QUIET_SECONDS).remaining())
            if heard:  # a kernel that goes on and on is not asked at each of its words
                self._stopping.wait(BREATH_SECONDS)
            now = self._ways()
            quiet = not heard and all(any(ways.values()) for ways in now.values())
            if quiet or deadline.passed() or self._stopping.is_set():
                return now

    def _heard(self, news: Notifications | None, seconds: float) -> bool:
        """True if the kernel told something within so many seconds."""
        waited = select.poll()
        waited.register(self._stopped, select.POLLIN)
        if news is not None:
            waited.register(news, select.POLLIN)
        ready = {number for number, _ in waited.poll(1000 * seconds)}
        if news is None or news.fileno() not in ready:
            return False
        news.drain()
        return True


def _differ(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Is there another way to any address that was looked at before? A name's new address is no news."""
    return any(before.get(address, way) != way for address, way in now.items())
