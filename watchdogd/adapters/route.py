"""How this machine would reach the SSH host: asked of the resolver and of the routing table.

Nothing is sent to anybody but the system's own resolver: a UDP ``connect`` only makes the kernel look
up a route. Implements ``Reach.route``. Resolution runs in a thread of its own, because ``getaddrinfo``
cannot be given a deadline; while one hangs no second is started.
"""

from __future__ import annotations

import errno
import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Mapping, Sequence

from watchdogd.adapters import netlink
from watchdogd.adapters.clock import SystemClock
from watchdogd.ports import Deadline, RouteFacts

RESOLVE_SECONDS = 3.0
_KERNEL_SECONDS = 1.0
_CLOCK = SystemClock()

_ANYWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses reserved for documentation: only a default route leads there, and nothing is sent."""
_NO_WAY = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)
_DISCARD = 9

Resolve = Callable[[str], Sequence[str]]


def resolve(host: str) -> Sequence[str]:
    """The system's addresses of a name, in its order. Raises ``OSError`` if it has none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Route:
    """Callable as ``Reach.route`` for one SSH host (the name that is dialled, aliases resolved).

    It remembers the last addresses that the name had, so that a broken resolver is told apart from a
    machine that is offline. Used from one thread at a time.
    """

    def __init__(self, host: str, resolver: Resolve = resolve) -> None:
        self._host = host
        self._is_address = _is_address(host)
        self._resolve = resolver
        self._last_good: tuple[str, ...] = ()
        self._asking: threading.Thread | None = None
        self._answers: queue.Queue[tuple[str, ...] | str] = queue.Queue()

    def __call__(self, deadline: Deadline) -> RouteFacts:
        """Ends by ``deadline``, and after ``RESOLVE_SECONDS`` at the latest."""
        if self._is_address:
            return _facts((self._host,), resolved=None, error="")
        answer = self._ask(deadline.at_most(RESOLVE_SECONDS))
        if isinstance(answer, str):
            return _facts(self._last_good, resolved=False, error=answer)
        self._last_good = answer
        return _facts(answer, resolved=True, error="")

    def ways(self) -> Mapping[str, str]:
        """How each address of the host would be reached now, as a text to be compared; empty: not at all. The
        resolver is not asked: they are those that the name had last, or, before it had any, the internet's."""
        known = (self._host,) if self._is_address else self._last_good
        return {address: _way(address) for address in known or _ANYWHERE}

    def _ask(self, deadline: Deadline) -> tuple[str, ...] | str:
        if self._asking is None or not self._asking.is_alive():
            self._answers = queue.Queue()
            self._asking = threading.Thread(
                target=self._work, args=(self._answers,), name="resolver", daemon=True
            )
            self._asking.start()
        try:
            return self._answers.get(timeout=max(0.01, deadline.remaining()))
        except queue.Empty:
            return f"the resolver did not answer for {self._host} in {RESOLVE_SECONDS:.0f} s"

    def _work(self, answers: queue.Queue[tuple[str, ...] | str]) -> None:
        try:
            found = tuple(self._resolve(self._host))
        except (OSError, UnicodeError) as error:
            text = getattr(error, "strerror", None) or str(error)
            answers.put(f"{self._host}: {text}")
            return
        answers.put(found or f"{self._host}: the name has no address")


def _facts(addresses: tuple[str, ...], *, resolved: bool | None, error: str) -> RouteFacts:
    ways = [(address, *_look(address)[:2]) for address in addresses or _ANYWHERE]
    shown = next((address for address, routed, _ in ways if routed), ways[0][0])
    if any(routed for _, routed, _ in ways):
        routed: bool | None = True
    elif all(way is False for _, way, _ in ways):
        routed = False
    else:
        routed = None
    words = error or next((text for _, _, text in ways if text and not routed), "")
    return RouteFacts(
        routed=routed, resolved=resolved, address=shown if addresses else "", error=words
    )


def _way(address: str) -> str:
    try:
        return netlink.way(address, Deadline.after(_CLOCK, _KERNEL_SECONDS))
    except OSError:  # not Linux, or not allowed: the own address is the best that is known
        return _look(address)[2]


def _look(address: str) -> tuple[bool | None, str, str]:
    """Whether the routing table has a way to one address, the system's words if not, and which of our own
    addresses would be used."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _DISCARD))
            own = str(probe.getsockname()[0])
    except OSError as error:
        return (False if error.errno in _NO_WAY else None), error.strerror or str(error), ""
    return True, "", own


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
