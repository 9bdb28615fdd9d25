"""One ping to a dead man's switch: one request, one total deadline, no redirect, nothing from the environment."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import SplitResult, urlsplit

from watchdogd.adapters.bounded import within
from watchdogd.adapters.http import exchange
from watchdogd.ports import Clock, Deadline, HttpAnswer, HttpEnd
from watchdogd.settings import Secret

PING_SECONDS = 4.0


class HeartbeatPing:
    """Implements what ``sinks.heartbeat`` is given."""

    def __init__(self, clock: Clock, *, seconds: float = PING_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._tls: ssl.SSLContext | None = None

    def __call__(self, url: Secret, suffix: str, text: str) -> str:
        """Ping ``url`` with ``suffix`` behind its path: a POST of ``text`` if there is one, else a GET. Empty
        if that was answered well, else why not, without a secret. Raises nothing."""
        deadline = Deadline.after(self._clock, self._seconds)
        where = urlsplit(url.reveal())
        try:
            if where.scheme == "https" and self._tls is None:
                self._tls = _trusting_the_system()
            answer = within(deadline, "heartbeat", lambda: self._ask(where, suffix, text, deadline))
        except ssl.SSLCertVerificationError:
            return "a certificate that is not believed"
        except TimeoutError:
            return f"no answer in {self._seconds:g} s"
        except OSError as error:
            return error.strerror or type(error).__name__
        if answer.end is HttpEnd.SILENT:
            return f"no answer in {self._seconds:g} s"
        if answer.end is not HttpEnd.ANSWERED:
            return "the connection was closed"
        return "" if 200 <= answer.status < 300 else f"status {answer.status}"

    def _ask(self, where: SplitResult, suffix: str, text: str, deadline: Deadline) -> HttpAnswer:
        host, secure = where.hostname or "", where.scheme == "https"
        port = where.port or (443 if secure else 80)
        left = max(0.001, deadline.remaining())
        with socket.create_connection((host, port), timeout=left) as connection:
            request = request_of(where, suffix, text)
            if not secure or self._tls is None:
                return exchange(connection, request, deadline, json_only=False)
            with self._tls.wrap_socket(connection, server_hostname=host) as safe:
                return exchange(safe, request, deadline, json_only=False)


def _trusting_the_system() -> ssl.SSLContext:
    """Without what the environment may add: ``SSLKEYLOGFILE`` would write the keys down."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_default_certs()
    return made


def request_of(where: SplitResult, suffix: str, text: str) -> bytes:
    """The request as it goes over the wire."""
    path = where.path.rstrip("/") + suffix or "/"
    target = f"{path}?{where.query}" if where.query else path
    body = text.encode("utf-8", "replace")
    lines = [
        f"{'POST' if body else 'GET'} {target} HTTP/1.1",
        f"Host: {where.netloc}",
        "User-Agent: watchdogd",
        "Connection: close",
    ]
    if body:
        lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body
