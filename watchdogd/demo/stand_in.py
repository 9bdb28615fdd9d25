"""A stand-in for a Jupyter server, for machines where Jupyter is not installed.

Answers ``/api`` and ``/api/status`` as Jupyter does (token, 403, JSON), and nothing else. The demo
says in its output when it uses this instead of the real thing.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from watchdogd.demo.sight import LOOPBACK

STARTED = "2000-01-01T00:00:00.000000Z"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    token = ""

    def do_GET(self) -> None:
        """``/api`` with any token, ``/api/status`` with the right one."""
        path, _, query = self.path.partition("?")
        given = self.headers.get("Authorization", "").removeprefix("token ")
        given = given or parse_qs(query).get("token", [""])[0]
        if path == "/api":
            self._say(HTTPStatus.OK, {"version": "0.0.0"})
        elif not hmac.compare_digest(given.encode(), self.token.encode()):
            self._say(HTTPStatus.FORBIDDEN, {"message": "Forbidden", "reason": None})
        elif path == "/api/status":
            state = {"started": self.server_started, "last_activity": STARTED}
            self._say(HTTPStatus.OK, {**state, "connections": 0, "kernels": 0})
        else:
            self._say(HTTPStatus.NOT_FOUND, {"message": "Not Found", "reason": None})

    server_started = STARTED

    def _say(self, status: HTTPStatus, body: dict[str, object]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """No request log."""


class Server(ThreadingHTTPServer):
    """Takes as many waiting connects as Jupyter does."""

    request_queue_size = 128


def main() -> int:
    """``--port`` and the environment's ``JUPYTER_TOKEN_FILE``, ``JUPYTER_RUNTIME_DIR``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    Handler.token = Path(os.environ["JUPYTER_TOKEN_FILE"]).read_text()
    Handler.server_started = f"2000-01-01T00:00:00.{os.getpid() % 1_000_000:06}Z"
    with Server((LOOPBACK, port), Handler) as server:
        about = Path(os.environ["JUPYTER_RUNTIME_DIR"]) / f"jpserver-{os.getpid()}.json"
        about.write_text(json.dumps({"pid": os.getpid(), "port": port}))
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
