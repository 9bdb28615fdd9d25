"""The listener on ``agent.listen``: a thread a request, at most 16, none of them for long.

In the flow: it asks ``routes.py`` and nobody else. A request's head must be there within 5 s and fit
in 8 KB; bodies are never read.
"""

from __future__ import annotations

import io
import itertools
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from watchdogd.adapters.waiting_server import WaitingServer
from watchdogd.ports import Clock, Deadline
from watchdogd.settings import Address
from watchdogd.web.routes import (
    PLAIN,
    SECURITY_HEADERS,
    Reply,
    Routes,
    answer,
    bare_host,
    host_allowed,
    misdirected,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

MOST_THREADS = 16
HEAD_BYTES = 8192
SOCKET_SECONDS = 5.0
REST_SECONDS = 0.2
HEAD_END = b"\r\n\r\n"


class WebServer:
    """Answers from ``start`` to ``close``."""

    def __init__(
        self, listen: Address, routes: Routes, clock: Clock, allowed_hosts: Iterable[str] = ()
    ) -> None:
        """Bind. Raises ``OSError`` if the address is taken. Port 0: ``address`` tells which."""
        allowed = frozenset(bare_host(host) for host in (str(listen), *allowed_hosts))
        self._server = _Server(listen, clock)
        self._server.set_app(_application(routes, allowed))
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self.address = Address(listen.host, self._server.server_port)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self, deadline: Deadline) -> None:
        """End all requests and threads, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(deadline.remaining())
        self._server.server_close()
        self._server.end_requests(deadline)


def _application(
    routes: Routes, allowed: frozenset[str]
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if host_allowed(environ.get("HTTP_HOST", ""), allowed):
            accept = environ.get("HTTP_ACCEPT", "")
            reply = answer(routes, method, environ.get("PATH_INFO", ""), accept)
        else:
            reply = misdirected()
        start_response(reply.status, _headers(reply))
        return [] if method == "HEAD" else [reply.body]

    return application


def _headers(reply: Reply) -> list[tuple[str, str]]:
    return [
        ("Content-Type", reply.content_type),
        ("Content-Length", str(len(reply.body))),
        *reply.extra,
        *SECURITY_HEADERS,
    ]


class _TooLarge(Exception):
    """The head does not fit."""


class _Reply(ServerHandler):
    """Says nothing about itself or about errors."""

    server_software = "watchdogd"
    error_status = "500 Internal Server Error"
    error_headers = [("Content-Type", PLAIN)]  # noqa: RUF012 - the library's own attribute
    error_body = b"internal error\n"

    def log_exception(self, exc_info: Any) -> None:
        """To the log, not to stderr."""
        log.error("a request failed", exc_info=exc_info)


class _Request(WSGIRequestHandler):
    """One request, then the connection ends."""

    server: _Server
    timeout = SOCKET_SECONDS

    def handle(self) -> None:
        """Read the head, answer, be done; a client that breaks off is not news."""
        with suppress(OSError):
            try:
                head = self._head()
            except _TooLarge:
                self.requestline, self.command = "", ""
                self.send_error(431)
                return
            if head is not None:
                self._answer(head)

    def _head(self) -> bytes | None:
        """The bytes up to the empty line; ``None`` if they did not come in time."""
        deadline = Deadline.after(self.server.clock, SOCKET_SECONDS)
        head = b""
        while HEAD_END not in head:
            if len(head) >= HEAD_BYTES:
                raise _TooLarge
            if deadline.passed():
                return None
            self.connection.settimeout(max(0.01, deadline.remaining()))
            data = self.connection.recv(HEAD_BYTES - len(head))
            if not data:
                return None
            head += data
        self.connection.settimeout(SOCKET_SECONDS)
        return head

    def _answer(self, head: bytes) -> None:
        self.rfile = io.BytesIO(head)
        self.raw_requestline = self.rfile.readline(HEAD_BYTES)
        if not self.parse_request():
            return
        output = cast("IO[bytes]", self.wfile)
        handler = _Reply(io.BytesIO(), output, io.StringIO(), self.get_environ(), multithread=True)
        handler.request_handler = self  # type: ignore[attr-defined] # as the library itself does
        handler.run(cast("WSGIApplication", self.server.get_app()))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A short plain answer; nothing of the request is echoed."""
        self.request_version = "HTTP/1.0"  # what came may have been no HTTP at all
        self.send_response(code)
        for name, value in SECURITY_HEADERS:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def address_string(self) -> str:
        """The address as it is: no name is looked up."""
        return str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


class _Server(WaitingServer, WSGIServer):
    """Bounded threads that can be ended; binds without asking a resolver."""

    allow_reuse_address = True

    def __init__(self, listen: Address, clock: Clock) -> None:
        self.clock = clock
        self.address_family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        self._free = threading.Semaphore(MOST_THREADS)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        super().__init__((listen.host, listen.port), _Request)

    def server_bind(self) -> None:
        """As the library's, less its ``getfqdn``, which may ask the network and hang."""
        socketserver.TCPServer.server_bind(self)
        self.server_name = "localhost"
        self.server_port = self.server_address[1]
        self.setup_environ()

    def get_request(self) -> Any:
        """As the library's, but out of descriptors it rests: the client stays readable all the time."""
        try:
            return super().get_request()
        except (BlockingIOError, ConnectionAbortedError):
            raise
        except OSError:
            self.clock.wait(REST_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for this request; with 16 of them busy the connection is closed at once."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        thread = threading.Thread(
            target=self._process,
            args=(request, client_address),
            name=f"http-{next(self._numbers)}",
            daemon=True,
        )
        with self._lock:
            self._open[thread] = request
        thread.start()

    def _process(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)
            with self._lock:
                self._open.pop(threading.current_thread(), None)
            self._free.release()

    def end_requests(self, deadline: Deadline) -> None:
        """Cut what is still being answered and wait for its threads."""
        with self._lock:
            still = dict(self._open)
        for request in still.values():
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        for thread in still:
            thread.join(deadline.remaining())
