"""HTTP as the probes need it: one ``GET``, one total deadline, nothing from the environment.

Implements ``ports.HttpGet`` on a plain socket. There are no redirects, proxies, cookies or netrc,
because each of these can carry the token's header somewhere else or replace it. The functions that
write a request and read an answer are shared with ``adapters.server_http``.
"""

from __future__ import annotations

import errno
import http.client
import io
import socket
from collections.abc import Mapping
from typing import cast

from watchdogd.adapters.pump import reset_on_close
from watchdogd.ports import OWN_ANSWER_HEADER, Deadline, HttpAnswer, HttpEnd
from watchdogd.settings import Address, Secret

BODY_LIMIT = 262_144
"""Bytes of a body that are kept at most."""
WIRE_LIMIT = BODY_LIMIT + 65_536
"""Bytes that are read of one answer at most, its head included."""

_TOKEN_LIMIT = 1024


def get(address: Address, path: str, *, token: Secret | None, deadline: Deadline) -> HttpAnswer:
    """Ask once. Whatever the world does is an ``HttpAnswer``; nothing is raised for it.

    Connect, send and receive share ``deadline``, so a server that dribbles bytes is ``SILENT`` too.
    A peer that answers something else than HTTP gives ``ANSWERED`` with status 0.
    """
    request = request_bytes(address, path, token)
    try:
        connection = socket.create_connection((address.host, address.port), timeout=_left(deadline))
    except TimeoutError:
        return HttpAnswer(end=HttpEnd.SILENT)
    except OSError as error:
        silent = error.errno in (errno.ETIMEDOUT, errno.EAGAIN)
        return HttpAnswer(end=HttpEnd.SILENT if silent else HttpEnd.REFUSED)
    with connection:
        answer = exchange(connection, request, deadline)
        if answer.end is HttpEnd.SILENT:
            # An orderly end would say "answer me still": a forward keeps that open, one more each round.
            reset_on_close(connection)
        return answer


def request_bytes(address: Address, path: str, token: Secret | None) -> bytes:
    """The request as it goes over the wire.

    ``Host`` is always a loopback name, because a runtime answers 403 to any other. Raises
    ``ValueError`` (without the token in its text) if the token could not stand in a header.
    """
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host_header(address)}",
        "Accept: application/json",
        "User-Agent: watchdogd",
        "Connection: close",
    ]
    if token is not None:
        lines.append(f"Authorization: token {header_token(token)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def host_header(address: Address) -> str:
    """What is sent as ``Host``, whichever address was connected to."""
    return f"127.0.0.1:{address.port}"


def header_token(token: Secret) -> str:
    """The token's text if it may stand in a header line; ``ValueError`` otherwise."""
    text = token.reveal()
    if not 0 < len(text) <= _TOKEN_LIMIT or not all("!" <= char <= "~" for char in text):
        raise ValueError("the token holds characters that cannot stand in a header")
    return text


def read_answer(stream: io.BufferedIOBase, *, json_only: bool = True) -> HttpAnswer:
    """Read one answer. ``TimeoutError`` and a truncated or reset stream become the matching end.
    ``json_only``: keep no other body."""
    response = http.client.HTTPResponse(cast(socket.socket, _Unowned(stream)), method="GET")
    try:
        response.begin()
    except TimeoutError:
        return HttpAnswer(end=HttpEnd.SILENT)
    except OSError:  # RemoteDisconnected is one: an end before the first byte
        return HttpAnswer(end=HttpEnd.CLOSED)
    except (http.client.HTTPException, ValueError):
        return HttpAnswer(end=HttpEnd.ANSWERED)
    headers = _headers(response)
    try:
        body = _body(response, headers, json_only=json_only)
    except TimeoutError:
        return HttpAnswer(end=HttpEnd.SILENT)
    except (OSError, http.client.IncompleteRead):
        return HttpAnswer(end=HttpEnd.CLOSED)
    except (http.client.HTTPException, ValueError):
        body = b""
    ours = OWN_ANSWER_HEADER in headers
    return HttpAnswer(
        end=HttpEnd.ANSWERED, status=response.status, headers=headers, body=body, ours=ours
    )


def exchange(
    connection: socket.socket, request: bytes, deadline: Deadline, *, json_only: bool = True
) -> HttpAnswer:
    """Send a request over an open connection and read the answer, by the deadline. Raises nothing."""
    try:
        connection.settimeout(_left(deadline))
        connection.sendall(request)
    except TimeoutError:
        return HttpAnswer(end=HttpEnd.SILENT)
    except OSError:
        return HttpAnswer(end=HttpEnd.CLOSED)
    with io.BufferedReader(_BoundedReceive(connection, deadline)) as stream:
        return read_answer(stream, json_only=json_only)


def _headers(response: http.client.HTTPResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _body(
    response: http.client.HTTPResponse, headers: Mapping[str, str], *, json_only: bool
) -> bytes:
    """At most ``BODY_LIMIT`` bytes; of a runtime only JSON: an HTML error page holds the token."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if json_only and media != "application/json" and not media.endswith("+json"):
        return b""
    if (response.length or 0) > BODY_LIMIT:
        return response.read(BODY_LIMIT)
    return response.read() if response.length is not None else response.read(BODY_LIMIT)


def _left(deadline: Deadline) -> float:
    """A socket timeout: never 0, which would mean "do not wait, and fail otherwise"."""
    return max(0.001, deadline.remaining())


class _BoundedReceive(io.RawIOBase):
    """A socket's bytes up to ``WIRE_LIMIT``, each wait cut by one total deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline
        self._left = WIRE_LIMIT

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._left <= 0:
            return 0
        if self._deadline.passed():
            raise TimeoutError
        self._connection.settimeout(_left(self._deadline))
        count = self._connection.recv_into(buffer, min(len(buffer), self._left))
        self._left -= count
        return count


class _Unowned:
    """What ``http.client`` takes for a socket and for the file that it makes of one.

    It takes the end of the stream for the end of a head; here that is an answer which was cut.
    """

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.read = stream.read
        self.readinto = stream.readinto
        self.close = stream.close
        self.flush = stream.flush

    def makefile(self, _mode: str) -> _Unowned:
        return self

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        if not line:
            raise ConnectionResetError
        return line
