"""``ports.Stream`` over a channel of ``ssh``: a local socket for each direction.

Two, because ssh tells the end of one direction by closing its end, and a single socket would stay open
for the other.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

from watchdogd.adapters.openssh_mux import Opened
from watchdogd.ports import Clock, Deadline

_PROOF_SECONDS = 10.0
"""An ssh that is gone refuses at once; one that lives may be kept waiting by a busy machine. At 1 s some whole
answers were told as cut, at a load of 30 (measured)."""
_NOW = socket.MSG_DONTWAIT
_FRESH_SECONDS = 0.05
"""For so long one telling is enough: to find out whether bytes are fresh costs a call of the system for each
chunk, a tenth of a byte's way there and back on loopback (measured)."""


class MuxStream:
    """Ends with ``close``, or when that ssh ends. ``opened``'s sockets are its own from now on."""

    def __init__(
        self,
        opened: Opened,
        *,
        clock: Clock,
        fresh: Callable[[], None],
        answers: Callable[[Deadline], bool],
        done: Callable[[], None],
        passed: int = 0,
    ) -> None:
        """``fresh``: called when bytes came that cannot be old. ``answers``: does that ssh still live?
        ``done``: called after the close."""
        self.passed = passed
        self._opened = opened
        self._control = opened.control
        self._up, self._down = opened.ours[:2]
        self._clock = clock
        self._fresh = fresh
        self._answers = answers
        self._done = done
        self._told_until = clock.run() + _FRESH_SECONDS  # that it was opened is fresh enough
        self._closed = False

    def recv(self, size: int) -> bytes:
        """See the port."""
        if self._clock.run() < self._told_until:
            data = self._down.recv(size)
            self._tell_late(bool(data))
            return data
        try:
            return self._down.recv(size, _NOW)  # it may have lain there while the link was dead
        except BlockingIOError:
            data = self._down.recv(size)
        if data:
            self._tell()
        return data

    def recv_into(self, buffer: memoryview) -> int:
        """As ``recv``, into the caller's memory; 0 = the end."""
        if self._clock.run() < self._told_until:
            count = self._down.recv_into(buffer)
            self._tell_late(bool(count))
            return count
        try:
            return self._down.recv_into(buffer, 0, _NOW)
        except BlockingIOError:
            count = self._down.recv_into(buffer)
        if count:
            self._tell()
        return count

    def sendall(self, data: bytes | memoryview) -> None:
        """See the port."""
        self._up.sendall(data)

    def shutdown_write(self) -> None:
        """See the port."""
        with suppress(OSError):
            self._up.shutdown(socket.SHUT_WR)

    def ended_cleanly(self) -> bool:
        """See the port. An ssh that lost its server closes everything, and answers no more."""
        return not self._closed and self._answers(Deadline.after(self._clock, _PROOF_SECONDS))

    def closed(self) -> bool:
        """See the port: ssh has let go of the channel."""
        if self._closed:
            return True
        try:
            while self._control.recv(4096, _NOW):
                pass
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """See the port."""
        self._closed = True
        self._opened.close()
        self._done()

    def _tell_late(self, came: bool) -> None:
        """Bytes that were waited for longer than one telling is enough are news."""
        if came and self._clock.run() >= self._told_until:
            self._tell()

    def _tell(self) -> None:
        self._fresh()
        self._told_until = self._clock.run() + _FRESH_SECONDS
