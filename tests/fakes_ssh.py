"""A small engine and forward that behave, for tests of what stands above them.

Trusted because the tests in ``tests/ports`` run on them as on the real ones.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import (
    Clock,
    Completed,
    Deadline,
    ForwardFacts,
    Link,
    LinkFacts,
    LinkNews,
)
from watchdogd.settings import Address


class SocketStream:
    """``ports.Stream`` over a plain socket."""

    passed = 0

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._ended = False
        self._closed = False

    def recv(self, size: int) -> bytes:
        try:
            data = self._connection.recv(size)
        except OSError:
            return b""
        self._ended = self._ended or (not data and not self._closed)
        return data

    def sendall(self, data: bytes) -> None:
        self._connection.sendall(data)

    def shutdown_write(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)

    def ended_cleanly(self) -> bool:
        return self._ended

    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()


class FakeLink:
    """``ports.Link`` to this machine: channels are plain connections, commands plain processes."""

    def __init__(self, clock: Clock, news: LinkNews) -> None:
        self.news = news
        self.closed = False
        self.opened = 0
        self.asked = 0
        self._clock = clock
        self._since = clock.run()
        self.heard: Callable[[], float] = clock.run
        """When something came over it last."""
        self._children: list[subprocess.Popen[bytes]] = []

    def open(self, to: Address, deadline: Deadline, first: bytes = b"") -> SocketStream:
        self._check()
        self.opened += 1
        try:
            connection = socket.create_connection((to.host, to.port), deadline.remaining())
        except ConnectionRefusedError as error:
            raise Transient(Cause.RUNTIME_REFUSED, "refused", phase="open") from error
        connection.settimeout(None)
        return SocketStream(connection)

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        limit: int = 262_144,
    ) -> Completed:
        self._check()
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, timeout=deadline.remaining(), check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Transient(Cause.REMOTE_WEDGED, "no end", phase="exec") from error
        return Completed(
            status=done.returncode,
            stdout=done.stdout[:limit],
            stderr=done.stderr[:limit],
            truncated=max(len(done.stdout), len(done.stderr)) > limit,
        )

    def stdio(self, argv: Sequence[str], deadline: Deadline) -> SocketStream:
        self._check()
        ours, theirs = socket.socketpair()
        with theirs:
            pipe = theirs.fileno()
            self._children.append(subprocess.Popen(argv, stdin=pipe, stdout=pipe))
        return SocketStream(ours)

    def ask(self) -> None:
        self.asked += 1

    def facts(self) -> LinkFacts:
        return LinkFacts(connected_at=self._since, last_received_at=self.heard(), round_trip=0.001)

    def alive(self) -> bool:
        return not self.closed

    def close(self, deadline: Deadline) -> None:
        self.closed = True
        for child in self._children:
            child.kill()
            child.wait(deadline.remaining())

    def lose(self) -> None:
        """The connection ends by itself."""
        self.closed = True
        self.news.lost("cut")

    def _check(self) -> None:
        if self.closed:
            raise Transient(Cause.LINK_LOST, "the link is gone")


class FakeEngine:
    """``ports.SshEngine``: succeeds, unless told to fail next, or to wait."""

    def __init__(self, clock: Clock) -> None:
        self.links: list[FakeLink] = []
        self.failures: list[Transient | Permanent] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.dialed = threading.Semaphore(0)
        self._waiting = 0
        self._clock = clock

    def dial(self, deadline: Deadline, news: LinkNews) -> FakeLink:
        self.dialed.release()
        self._waiting += 1
        try:
            return self._dial(deadline, news)
        finally:
            self._waiting -= 1

    def start_over(self) -> None:
        """Each that waits to go is dialed once more."""
        if self._waiting:
            self.dialed.release(self._waiting)

    def _dial(self, deadline: Deadline, news: LinkNews) -> FakeLink:
        if not self.may_go.wait(deadline.remaining()):
            raise Transient(Cause.HOST_UNREACHABLE, "timed out", phase="connect")
        if self.failures:
            raise self.failures.pop(0)
        self.links.append(FakeLink(self._clock, news))
        return self.links[-1]


class FakeForward:
    """``ports.Forward`` without a socket: remembers who serves."""

    def __init__(self) -> None:
        self.remote = Address("127.0.0.1", 9)
        self.serving: Link | None = None
        self.held_by = ""
        self.told = ("", 0.0)
        self.is_dialing = False
        self.riders: Callable[[Link], int] = lambda link: 0
        self.openers: Callable[[Link], int] = lambda link: 0
        self.bound = False

    def bind(self) -> None:
        if self.held_by:
            raise Transient(Cause.PORT_CONFLICT, f"held by {self.held_by}", phase="bind")
        self.bound = True

    def use(self, link: Link | None) -> Link | None:
        before, self.serving = self.serving, link
        return before

    def drop(self, link: Link) -> None:
        if self.serving is link:
            self.serving = None

    def clients_of(self, link: Link, *, opening: bool) -> int:
        return self.riders(link) + (self.openers(link) if opening else 0)

    def answer(self, text: str, retry_after: float) -> None:
        self.told = (text, retry_after)

    def dialing(self, running: bool) -> None:
        self.is_dialing = running

    def facts(self) -> ForwardFacts:
        return ForwardFacts(
            bound=self.bound,
            holder=self.held_by,
            open_connections=0,
            sent_bytes=0,
            received_bytes=0,
        )

    def close(self, deadline: Deadline) -> None:
        self.bound = False
        self.serving = None
