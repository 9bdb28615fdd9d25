"""A TCP server on loopback that treats each connection as a test says: answers, hangs, dribbles, resets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from watchdogd.settings import Address

Behaviour = Callable[[socket.socket, "LoopbackServer"], None]


class LoopbackServer:
    """Used as a context manager; ``address`` is where it listens, ``heads`` what it was asked."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._peers: list[socket.socket] = []
        self.over = threading.Event()
        """Set at the end: a behaviour that waits, waits for this."""
        self.heads: list[bytes] = []
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="loopback-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            self._start(lambda peer=peer: self._serve(peer))  # type: ignore[misc]

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            self._behaviour(peer, self)


def head_of(peer: socket.socket) -> bytes:
    """The request up to its empty line."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = peer.recv(4096)
        if not data:
            break
        head += data
    return head


def answers(wire: bytes) -> Behaviour:
    """Reads the request, then sends these bytes and ends."""

    def behave(peer: socket.socket, server: LoopbackServer) -> None:
        server.heads.append(head_of(peer))
        peer.sendall(wire)

    return behave


def hangs(peer: socket.socket, server: LoopbackServer) -> None:
    """Accepts and says nothing."""
    server.heads.append(head_of(peer))
    server.over.wait(30)


def resets(peer: socket.socket, server: LoopbackServer) -> None:
    """Reads the request and resets the connection."""
    server.heads.append(head_of(peer))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def ends(peer: socket.socket, server: LoopbackServer) -> None:
    """Reads the request and ends without a word."""
    server.heads.append(head_of(peer))


def dribbles(wire: bytes, every: float) -> Behaviour:
    """Sends one byte at a time, for ever within sight of any timeout that counts from the last byte."""

    def behave(peer: socket.socket, server: LoopbackServer) -> None:
        server.heads.append(head_of(peer))
        for byte in wire:
            if server.over.wait(every):
                return
            peer.sendall(bytes([byte]))

    return behave


def floods(head: bytes, chunk: bytes) -> Behaviour:
    """Sends a head, then the same bytes without end."""

    def behave(peer: socket.socket, server: LoopbackServer) -> None:
        server.heads.append(head_of(peer))
        peer.sendall(head)
        while not server.over.is_set():
            peer.sendall(chunk)

    return behave


def http_answer(
    status: str, body: bytes = b"", *, media: str = "application/json", extra: str = ""
) -> bytes:
    """An HTTP answer's bytes."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body
