"""Which path answers what: pure functions from a request to a reply.

In the flow: ``server.py`` reads requests and hands them in; the answers come from callables that
``app`` gave, each of which reads one frozen record.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STALE_SECONDS = 60.0
"""A last round older than this is no sign of life."""
PLAIN = "text/plain; charset=utf-8"
SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. The security headers come on top."""

    status: str
    body: bytes
    content_type: str = PLAIN
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Where the answers come from. None of these may block or raise."""

    metrics: Callable[[str], tuple[bytes, str]]
    """``Accept`` header -> body and content type of a scrape."""
    round_age: Callable[[], float]
    """Seconds since the decision loop completed a round."""
    unready: Callable[[], Sequence[str]]
    """What is still missing, one line each; empty = ready."""


def answer(routes: Routes, method: str, path: str, accept: str) -> Reply:
    """The reply to one request whose Host was accepted."""
    if method not in ("GET", "HEAD"):
        return Reply(
            status="405 Method Not Allowed",
            body=b"only GET and HEAD\n",
            extra=(("Allow", "GET, HEAD"),),
        )
    if path == "/metrics":
        body, content_type = routes.metrics(accept)
        return Reply(status="200 OK", body=body, content_type=content_type)
    if path == "/livez":
        return _live(routes.round_age())
    if path == "/readyz":
        return _ready(routes.unready())
    return Reply(status="404 Not Found", body=b"nothing here; /metrics, /livez, /readyz\n")


def misdirected() -> Reply:
    """For a Host that is not ours: a web page elsewhere that made its name point here."""
    return Reply(
        status="421 Misdirected Request",
        body=b"this Host name is not served; agent.allowed_hosts lists further ones\n",
    )


def host_allowed(host: str, allowed: frozenset[str]) -> bool:
    """Is the Host header a loopback address, ``localhost``, or one of ``allowed`` (lower case)?"""
    name = bare_host(host.strip())
    if name == "localhost" or name in allowed:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def bare_host(host: str) -> str:
    """A ``Host`` without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _live(age: float) -> Reply:
    if age > STALE_SECONDS:
        text = f"the decision loop completed its last round {age:.0f} s ago\n"
        return Reply(status="503 Service Unavailable", body=text.encode())
    return Reply(status="200 OK", body=b"ok\n")


def _ready(missing: Sequence[str]) -> Reply:
    if missing:
        text = "".join(f"{line}\n" for line in missing)
        return Reply(status="503 Service Unavailable", body=text.encode())
    return Reply(status="200 OK", body=b"ok\n")
