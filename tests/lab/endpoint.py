"""Somebody who is sent messages and pings: takes them, or listens and never answers."""

from __future__ import annotations

import json
import socket
import threading

from tests.lab.tcp_server import TcpServer


class Endpoint(TcpServer):
    """Listens on a free loopback port from its making on."""

    def __init__(self, *, answers: bool = True, status: int = 200) -> None:
        self.answers = answers
        self.status = status
        self.taken: list[tuple[str, str]] = []
        """Request line without its version, and body, of each that was answered well."""
        self.met = 0
        """Connections."""
        self.heard = b""
        """All that ever came."""
        self._ended = threading.Event()
        super().__init__(self._serve)

    def close(self) -> None:
        """As the server does; those who wait for an answer get none."""
        self._ended.set()
        super().close()

    def bodies(self) -> list[str]:
        """What was said in each message of apprise's JSON."""
        return [json.loads(body)["message"] for line, body in self.taken if line.startswith("POST")]

    def lines(self) -> list[str]:
        """Request line and body of each."""
        return [f"{line} {body}".strip() for line, body in self.taken]

    def _serve(self, client: socket.socket) -> None:
        self.met += 1
        if not self.answers:
            self._ended.wait()
            return
        with client.makefile("rb") as stream:
            first = stream.readline()
            head = first
            while (line := stream.readline()) not in (b"\r\n", b""):
                head += line
            length = next(
                (int(one.partition(b":")[2]) for one in head.splitlines()
                 if one.lower().startswith(b"content-length:")), 0,
            )  # fmt: skip
            body = stream.read(length)
        self.heard += head + body
        if self.status == 200:
            self.taken.append(
                (first.decode("latin-1").rpartition(" ")[0], body.decode("utf-8", "replace"))
            )
        client.sendall(
            b"HTTP/1.1 %d X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok" % self.status
        )
