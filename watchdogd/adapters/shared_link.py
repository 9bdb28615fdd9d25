"""One SSH connection that serves several targets, and each target's share of it.

A share is a ``ports.Link`` of its own: closing it takes nothing from the others, and the connection
ends with its last share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from weakref import WeakSet

from watchdogd.adapters.ssh_refusals import NoSession
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Completed, Deadline, Link, LinkFacts, LinkNews, Stream
from watchdogd.settings import Address


class Share:
    """One target's part in a connection, from the moment it is dialled."""

    def __init__(
        self, trunk: Trunk, news: LinkNews, weight: int, give_back: Callable[[Share], Link | None]
    ) -> None:
        """``weight``: sessions that it may need at once. ``give_back``: returns the connection if this
        was its last share."""
        self.trunk = trunk
        self.news = news
        self.weight = weight
        self.handed = False
        """Its target has it, and is told the connection's news."""
        self._give_back = give_back
        self._lock = threading.Lock()
        self._streams: WeakSet[Stream] = WeakSet()

    def open(self, to: Address, deadline: Deadline, first: bytes = b"") -> Stream:
        """See the port."""
        return self._kept(self._link().open(to, deadline, first))

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        limit: int = 262_144,
    ) -> Completed:
        """See the port."""
        try:
            return self._link().run(argv, deadline=deadline, stdin=stdin, limit=limit)
        except NoSession:
            self.trunk.crowded()
            raise

    def stdio(self, argv: Sequence[str], deadline: Deadline) -> Stream:
        """See the port."""
        try:
            return self._kept(self._link().stdio(argv, deadline))
        except NoSession:
            self.trunk.crowded()
            raise

    def ask(self) -> None:
        """See the port."""
        link = self.trunk.link
        if link is not None:
            link.ask()

    def facts(self) -> LinkFacts:
        """See the port."""
        if self.trunk.link is None:
            raise RuntimeError("a share of a connection that is not there yet")
        return self.trunk.link.facts()

    def alive(self) -> bool:
        """See the port."""
        link = self.trunk.link
        return link is not None and self in self.trunk.shares and link.alive()

    def close(self, deadline: Deadline) -> None:
        """See the port. What others have open on the connection stays."""
        link = self._give_back(self)
        if link is not None:
            link.close(deadline)
            return
        with self._lock:
            streams = tuple(self._streams)
        # Each may take a second on a connection that takes no more bytes.
        ends = [
            threading.Thread(target=one.close, name="share-end", daemon=True) for one in streams
        ]
        for thread in ends:
            thread.start()
        for thread in ends:
            thread.join(deadline.remaining())

    def _link(self) -> Link:
        link = self.trunk.link
        if link is None or self not in self.trunk.shares:
            raise Transient(Cause.LINK_LOST, "the link is gone")
        return link

    def _kept(self, stream: Stream) -> Stream:
        with self._lock:
            self._streams.add(stream)
        if self not in self.trunk.shares:  # closed meanwhile
            stream.close()
        return stream


class Trunk:
    """One connection: on its way, up, silent or ended. Its owner's lock guards all but ``link``."""

    def __init__(self, number: int, room: int, crowded: Callable[[], None]) -> None:
        """``room``: sessions that it has for its shares; ``crowded``: called when the server refused one."""
        self.number = number
        self.link: Link | None = None
        """Set once it is up."""
        self.shares: tuple[Share, ...] = ()
        self.silent = False
        self.ended = False
        self.lost: str | None = None
        """Why it ended by itself."""
        self._room = room
        self._crowded = crowded

    def crowded(self) -> None:
        """The server opened no further session."""
        if len(self.shares) > 1:
            self._crowded()

    def handed(self) -> tuple[Share, ...]:
        """Those whose targets have them."""
        return tuple(share for share in self.shares if share.handed)

    def takes(self, weight: int, most: int) -> bool:
        """Has it room for another share, of ``most`` at all, and is it worth joining?"""
        if self.ended or self.silent or (self.link is not None and not self.link.alive()):
            return False
        used = sum(share.weight for share in self.shares)
        return len(self.shares) < most and used + weight <= self._room
