"""What a client of the forward is told when it cannot be served: a clear 503, or a reset."""

from __future__ import annotations

import math
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass

from watchdogd.adapters.pump import reset_on_close
from watchdogd.core.words import Cause
from watchdogd.ports import OWN_ANSWER_HEADER, Clock, Deadline

_HEAD_BYTES = 16_384
_HEAD_SECONDS = 1.0
_LINGER_SECONDS = 1.0
_NONCE = secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One answer."""

    text: str
    retry_after: float
    """Seconds."""
    cause: Cause | None = None
    """Of the far side, if it is known: stands in the marking header, for our own probes."""


def response(refusal: Refusal) -> bytes:
    """The HTTP answer. Nothing of the request is in it: that may hold a token."""
    body = f"{refusal.text}\n".encode()
    head = (
        "HTTP/1.1 503 Service Unavailable",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        f"Retry-After: {max(1, math.ceil(refusal.retry_after))}",
        f"{OWN_ANSWER_HEADER}: {refusal.cause or _NONCE}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def is_http(head: bytes) -> bool:
    """True if the first line ends as an HTTP/1 request's does."""
    first, ended, _ = head.partition(b"\n")
    return bool(ended) and first.rstrip(b"\r")[:-1].endswith(b"HTTP/1.")


def refuse(client: socket.socket, refusal: Refusal, clock: Clock) -> None:
    """Answers an HTTP client, resets any other; closes the connection. Takes 2 s at most."""
    with client, suppress(OSError):
        if not is_http(_read_head(client, Deadline.after(clock, _HEAD_SECONDS))):
            reset_on_close(client)
            return
        client.settimeout(_LINGER_SECONDS)
        client.sendall(response(refusal))
        client.shutdown(socket.SHUT_WR)
        _read_away(client, Deadline.after(clock, _LINGER_SECONDS))


def _read_head(client: socket.socket, deadline: Deadline) -> bytes:
    head = b""
    while b"\n" not in head and len(head) < _HEAD_BYTES and not deadline.passed():
        client.settimeout(max(0.01, deadline.remaining()))
        try:
            data = client.recv(_HEAD_BYTES - len(head))
        except TimeoutError:
            break
        if not data:
            break
        head += data
    return head


def _read_away(client: socket.socket, deadline: Deadline) -> None:
    # Input that is left unread at the close would reset the answer away.
    while not deadline.passed():
        client.settimeout(max(0.01, deadline.remaining()))
        if not client.recv(_HEAD_BYTES):
            return
