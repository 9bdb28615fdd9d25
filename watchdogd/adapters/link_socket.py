"""One connection that several threads read and write, and any of them may end.

Who closes a socket gives its number back to the system, and the next connection gets it. A thread that was
just about to wait for bytes, or to send some, then does so on that other connection. Seen with engine
``sshtunnel``: once in some 130 links on a busy machine the reader of a replaced link waited at the next
one's socket, until a minute was over.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress


class LinkSocket:
    """What paramiko takes for its socket. ``close`` ends all that waits on it; the number is given back when
    nobody uses it any more."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._users = 0
        self._closed = False  # paramiko asks for it by this name

    def recv_into(self, memory: memoryview) -> int:
        """As a socket's."""
        self._enter()
        try:
            return self._connection.recv_into(memory)
        finally:
            self._leave()

    def send(self, data: bytes) -> int:
        """As a socket's."""
        self._enter()
        try:
            return self._connection.send(data)
        finally:
            self._leave()

    def settimeout(self, seconds: float) -> None:
        """As a socket's."""
        self._connection.settimeout(seconds)

    def shut(self) -> None:
        """Who waits on it is woken, and finds it ended; it is closed by its owner. Never raises, never waits."""
        with self._lock:
            if not self._closed:
                self._wake()

    def close(self) -> None:
        """Both ways end now. Never raises, never waits."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._wake()  # a mere close would not
            self._give_back()

    def _wake(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _enter(self) -> None:
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._users += 1

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            self._give_back()

    def _give_back(self) -> None:
        if self._closed and not self._users:
            self._connection.close()
