"""A server of the standard library that waits for clients without looking up twice a second.

``socketserver`` polls for the wish to end. With two hundred listeners that alone is four hundred
wake-ups a second, on a laptop that has nothing to do.
"""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from contextlib import suppress
from typing import Any


class WaitingServer(socketserver.BaseServer):
    """To be named before a ``socketserver.TCPServer`` among the bases."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As the server's."""
        self._waker, self._woken = socket.socketpair()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._ended.set()
        super().__init__(*args, **kwargs)

    def serve_forever(self, poll_interval: float = 0.0) -> None:
        """Until ``shutdown``, also one that came before. ``poll_interval`` is for the library's callers."""
        self._ended.clear()
        try:
            # Not ``select``, which takes no descriptor beyond 1023, and not ``epoll``, which costs one more.
            waiting = select.poll()
            waiting.register(self.fileno(), select.POLLIN)  # type: ignore[attr-defined]  # not in the stubs
            waiting.register(self._woken, select.POLLIN)
            while not self._stopping.is_set():
                waiting.poll()
                if not self._stopping.is_set():
                    self._handle_request_noblock()  # type: ignore[attr-defined]  # nor is this
        finally:
            self._ended.set()

    def shutdown(self) -> None:
        """Returns once ``serve_forever`` has ended; at once if it never began."""
        self._stopping.set()
        with suppress(OSError):
            self._waker.send(b".")
        self._ended.wait()

    def server_close(self) -> None:
        """As the server's; may be called twice."""
        super().server_close()
        self._waker.close()
        self._woken.close()
