"""A page with a known body on loopback, and the portal that answers in its place."""

from __future__ import annotations

import socket

from tests.lab.loopback_server import LoopbackServer, head_of, http_answer
from watchdogd.settings import Canary

GOOD = http_answer("200 OK", b"success\n", media="text/plain")
LOGIN_PAGE = http_answer("200 OK", b"<html>success! Please log in</html>", media="text/html")
SENT_AWAY = http_answer("302 Found", extra="Location: http://login.example/?mac=00:11\r\n")


class CanaryServer(LoopbackServer):
    """Sends ``wire`` to whoever asks; ``None``: it accepts and says nothing."""

    def __init__(self, wire: bytes | None = GOOD) -> None:
        super().__init__(self._serve_page)
        self.wire = wire

    @property
    def page(self) -> Canary:
        """As it is configured."""
        return Canary(url=f"http://{self.address}/success.txt", body="success")

    def _serve_page(self, peer: socket.socket, server: LoopbackServer) -> None:
        self.heads.append(head_of(peer))
        if self.wire is None:
            self.over.wait(30)
        else:
            peer.sendall(self.wire)
