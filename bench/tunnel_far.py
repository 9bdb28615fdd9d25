"""What stands behind the forwards of the tunnel's benchmark: ``python -m bench.tunnel_far`` prints its port.

A process of its own and as little as will do, so that what is measured is the way to it: a runtime that the
probes take for one, bulk bytes both ways, and an echo. One request a connection.
"""

from __future__ import annotations

import os
import socket
import socketserver
import subprocess
import sys
from contextlib import suppress

from tests.lab.closing import Closing
from tests.lab.sshd import stop_process
from tests.lab.stand_in import TOKEN
from watchdogd.settings import Address

CHUNK = 1 << 18
DONE = b"."
"""What is answered when an upload or an echo may begin, and when the upload is read."""
_HEAD_BYTES = 16_384
_ANSWERS = {"/api": b'{"version": "2.20.0"}', "/api/status": b'{"started": "now"}'}


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        one: socket.socket = self.request
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            _serve(one, _read_head(one))


def _read_head(one: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
        data = one.recv(_HEAD_BYTES)
        if not data:
            break
        head += data
    return head.decode(errors="replace")


def _serve(one: socket.socket, head: str) -> None:
    match head.partition("\r\n")[0].split():
        case ["DOWN", size]:
            _send(one, int(size))
        case ["UP", size]:
            one.sendall(DONE)  # until then nothing but the head is sent
            receive(one, int(size))
            one.sendall(DONE)
        case ["ECHO"]:
            one.sendall(DONE)
            while data := one.recv(CHUNK):
                one.sendall(data)
        case [_, path, _]:
            one.sendall(_answer(path.partition("?")[0], known=TOKEN in head))


def _send(one: socket.socket, size: int) -> None:
    data = memoryview(os.urandom(CHUNK))
    while size > 0:
        one.sendall(data[:size])
        size -= CHUNK


def receive(one: socket.socket, size: int) -> None:
    """Read so many bytes, and throw them away. Raises ``EOFError``."""
    buffer = bytearray(CHUNK)
    while size > 0:
        count = one.recv_into(buffer, min(size, CHUNK))
        if not count:
            raise EOFError
        size -= count


def _answer(path: str, *, known: bool) -> bytes:
    allowed = known or path == "/api"
    status = 403 if not allowed else 200 if path in _ANSWERS else 404
    body = _ANSWERS.get(path, b"{}") if allowed else b"{}"
    head = (
        f"HTTP/1.1 {status} -",
        "Content-Type: application/json",
        "Server: TornadoServer/6.5",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True


class Far(Closing):
    """That process, from its making on."""

    def __init__(self) -> None:
        argv = [sys.executable, "-m", "bench.tunnel_far"]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.address = Address("127.0.0.1", int(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        stop_process(self._process)
        assert self._process.stdout is not None
        self._process.stdout.close()


if __name__ == "__main__":
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
