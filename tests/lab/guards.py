"""What a test must not leave behind, and where it must not go.

``Traces`` compares threads, descriptors and processes before and after one test. Processes are found by a
mark in their environment, which children inherit, so that a daemon that left its parent is found too.
``LoopbackOnly`` lets sockets connect to this machine only. Threads and sockets work anywhere; descriptors
and processes need ``/proc``.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACE = 2.0
"""Seconds that a thread, process or socket may still need to end after its test."""

MARK = "WATCHDOGD_TEST_RUN"
_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "fd").is_dir()
_LIVES_ON = ("containerd-shim", "docker-proxy")
"""Helpers of the session's container engine, started when a test asks for a container and ended by the engine."""


def mark_this_run() -> str:
    """Give this process and all that descend from it a mark; returns it."""
    return os.environ.setdefault(MARK, uuid.uuid4().hex)


# ---------------------------------------------------------------- what is left behind


@dataclass(frozen=True)
class Traces:
    """What there was at one moment."""

    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]
    pids: frozenset[int]

    @classmethod
    def now(cls) -> Traces:
        """What there is now."""
        return cls(frozenset(threading.enumerate()), _descriptors(), _pids())

    def left_over(self, grace: float = GRACE) -> tuple[str, ...]:
        """What is new since, and still there after at most ``grace`` seconds; empty if nothing."""
        end = time.monotonic() + grace
        found = self._left_over()
        while found and time.monotonic() < end:
            gc.collect()
            time.sleep(0.02)
            found = self._left_over()
        return found

    def _left_over(self) -> tuple[str, ...]:
        threads = (thread for thread in threading.enumerate() if thread not in self.threads)
        files = _descriptors() - self.descriptors
        return (
            *(f"thread {thread.name!r} (daemon: {thread.daemon})" for thread in threads),
            *(f"descriptor {number} -> {target}" for number, target in sorted(files)),
            *self._processes(),
        )

    def _processes(self) -> Iterator[str]:
        new = {pid: who for pid in _pids() - self.pids if (who := _ours(pid)) is not None}
        for pid, (name, parent) in sorted(new.items()):
            serves_longer = parent in self.pids and parent not in (1, os.getpid())
            if not serves_longer and not name.startswith(_LIVES_ON):
                yield f"process {pid} ({name})"


def _descriptors() -> frozenset[tuple[int, str]]:
    found = set()
    if _HAS_PROC:
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")
                if not target.startswith(("/dev/", "/proc/")):
                    found.add((int(name), target))
    return frozenset(found)


def _pids() -> frozenset[int]:
    return (
        frozenset(int(name) for name in os.listdir("/proc") if name.isdigit())
        if _HAS_PROC
        else frozenset()
    )


def _ours(pid: int) -> tuple[str, int] | None:
    """Name and parent of a process that descends from this one; ``None`` for any other."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
        parent = int(stat.rpartition(")")[2].split()[1])
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        marked = f"{MARK}={os.environ.get(MARK, '-')}".encode()
        if parent != os.getpid() and marked not in (_PROC / str(pid) / "environ").read_bytes():
            return None
    except (OSError, ValueError):
        return None  # it ended meanwhile, or belongs to somebody else
    return name, parent


# ---------------------------------------------------------------- where it must not go


class WentOutside(AssertionError):
    """A test reached for something that is not this machine."""


class LoopbackOnly:
    """Replaces what opens connections in this process by versions that refuse any other machine.

    A refusal raises ``WentOutside`` and is noted, because a worker may catch what its job raises.
    """

    def __init__(self) -> None:
        self._noted: list[str] = []
        self._own_networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []

    def noted(self) -> tuple[str, ...]:
        """The refusals since the last call."""
        taken, self._noted = tuple(self._noted), []
        return taken

    @contextlib.contextmanager
    def network(self, net: str) -> Iterator[None]:
        """For a test that made a network namespace of its own: its addresses are no outside."""
        self._own_networks.append(ipaddress.ip_network(net))
        try:
            yield
        finally:
            self._own_networks.pop()

    def install(self, patch: Any) -> None:
        """Put the checks in place; ``patch`` is a ``pytest.MonkeyPatch``, which takes them away again."""
        for method in ("connect", "connect_ex"):
            patch.setattr(socket.socket, method, self._checked(getattr(socket.socket, method)))
        ask = socket.getaddrinfo

        def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
            self._check(host)
            return ask(host, *args, **kwargs)

        patch.setattr(socket, "getaddrinfo", getaddrinfo)

    def _checked(self, connect: Any) -> Any:
        def checked(sock: socket.socket, address: Any) -> Any:
            # connecting a datagram socket sends nothing: it asks for the route
            if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type != socket.SOCK_DGRAM:
                self._check(address[0])
            return connect(sock, address)

        return checked

    def _check(self, host: Any) -> None:
        text = host.decode() if isinstance(host, bytes) else host
        if not self._inside(text):
            self._noted.append(str(text))
            raise WentOutside(f"a test tried to reach {text}; only loopback is allowed")

    def _inside(self, host: str | None) -> bool:
        if not host or host == "localhost" or host.endswith((".localhost", ".invalid")):
            return True
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return host == socket.gethostname()
        here = address.is_loopback or address.is_unspecified
        return here or any(address in net for net in self._own_networks)
