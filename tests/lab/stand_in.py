"""As little of Jupyter's server as the probes look at, for tests of everything before it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.lab.closing import Closing
from watchdogd.settings import Address

TOKEN = "c" * 48
CHUNK = b"x" * 1024


class _Handler(BaseHTTPRequestHandler):
    finished: threading.Event

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/download":
            self._stream()
            return
        ours = self.headers.get("Authorization", "").endswith(TOKEN)
        known = {"/api": b'{"version": "2.20.0"}', "/api/status": b'{"started": "now"}'}
        allowed = path == "/api" or ours
        status = 404 if path not in known else 200 if allowed else 403
        body = known.get(path, b"{}") if allowed else b'{"message": "Forbidden"}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Server", "TornadoServer/6.5")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        """Bytes for as long as the test wants, and then ``end``."""
        self.send_response(200)
        self.end_headers()
        while not self.finished.wait(0.02):
            self.wfile.write(CHUNK)
        self.wfile.write(b"end")

    def log_message(self, format: str, *args: object) -> None:
        pass


class StandIn(Closing):
    """Listens on a free loopback port from its making on. ``TOKEN`` is its token."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        """Set it to let ``/download`` come to its end."""
        handler = type("Handler", (_Handler,), {"finished": self.finished})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = Address("127.0.0.1", self._server.server_port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self._thread.start()

    def close(self) -> None:
        """End it and its downloads."""
        self.finished.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
