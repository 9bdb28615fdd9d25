"""A TCP server on loopback whose every connection is handled by one function, in its own thread."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.lab.closing import Closing
from watchdogd.settings import Address

Handler = Callable[[socket.socket], None]


class TcpServer(Closing):
    """Listens on a free port until closed; ``address`` is where."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(0.05)
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self._acceptor = threading.Thread(target=self._accept, name="server-accept", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """End the listener and all connections."""
        self._closed.set()
        self._acceptor.join(5)
        self._listener.close()
        for client in tuple(self._open):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._closed.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                client.settimeout(None)
                self._open.add(client)
                thread = threading.Thread(
                    target=self._handle, args=(client,), name="server-client", daemon=True
                )
                self._threads = [one for one in self._threads if one.is_alive()]
                self._threads.append(thread)
                thread.start()

    def _handle(self, client: socket.socket) -> None:
        with suppress(OSError):
            self._handler(client)
        self._open.discard(client)
        client.close()


def answer_http(client: socket.socket) -> None:
    """Reads one request and answers it with 200 and the body ``ok``."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(4096)
        if not data:
            return
        head += data
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    client.shutdown(socket.SHUT_WR)
    client.recv(1)


def echo_after_end(client: socket.socket) -> None:
    """Reads all until the client ends its half, then sends it back: needs a working half-close."""
    data = b""
    while part := client.recv(65536):
        data += part
    client.sendall(data)


def echo(client: socket.socket) -> None:
    """Sends back at once what comes."""
    while part := client.recv(65536):
        client.sendall(part)


def reset(client: socket.socket) -> None:
    """Closing it from now on sends a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
