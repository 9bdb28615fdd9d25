"""The SSH link and the forward that rides on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from watchdogd.ports.clock import Deadline
from watchdogd.settings import Address

HOLDER_SYSTEM = "the system"
"""Nobody holds the port: it may not be, or cannot be, listened on."""
HOLDER_RUNTIME = (
    "the runtime (the server is this machine, and forward.remote is this very port: "
    "the forward would reach itself)"
)


FORWARD_MEND = (
    "set `AllowTcpForwarding yes` (and PermitOpen) for this user in the server's sshd_config"
)
"""What a person can do about a server that opens no forward."""


def port_mend(holder: str, target: str) -> str:
    """What a person can do about a local port that ``holder`` keeps from that target."""
    other = f"set another port in targets.{target}.forward.local"
    return (
        other if holder.startswith((HOLDER_SYSTEM, "the runtime")) else f"end {holder}, or {other}"
    )


class Stream(Protocol):
    """Bytes both ways, half-close included: one client's connection on the far side.

    A far side that ended its half may hear no more: engine ``openssh`` ends both (ADR 13).
    """

    passed: int
    """Bytes that went with the wish for it; all other is sent with ``sendall``."""

    def recv(self, size: int) -> bytes:
        """Blocks; ``b""`` = the far side ended its half, *or* the link died: see ``ended_cleanly``."""
        ...

    def sendall(self, data: bytes) -> None:
        """Blocks until all is taken; raises ``OSError`` or ``EOFError`` if the link is gone."""
        ...

    def shutdown_write(self) -> None:
        """Ends our half."""
        ...

    def ended_cleanly(self) -> bool:
        """After ``recv`` gave ``b""``: True if the far side really ended its half."""
        ...

    def closed(self) -> bool:
        """True if nothing can pass in either direction any more."""
        ...

    def close(self) -> None:
        """Ends both directions; never blocks long; may be called from any thread, twice."""
        ...


@runtime_checkable
class WideStream(Stream, Protocol):
    """A stream that fills the caller's memory: a large copy costs less over it."""

    def recv_into(self, buffer: memoryview) -> int:
        """As ``recv``; 0 where that gives ``b""``."""
        ...

    def sendall(self, data: bytes | memoryview) -> None:
        """As any stream's."""
        ...


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command on the server printed, cut at the caller's limit."""

    status: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFacts:
    """Never a verdict."""

    connected_at: float
    """``run`` clock."""
    last_received_at: float
    """``run`` clock of the last SSH message of any kind."""
    round_trip: float | None
    """Seconds, of the last answered keepalive."""


class Link(Protocol):
    """One authenticated SSH connection."""

    def open(self, to: Address, deadline: Deadline, first: bytes = b"") -> Stream:
        """A ``direct-tcpip`` channel to a port on the server. ``first`` (4 KiB at most) may go with the wish
        for it, and passes once it is open; the stream's ``passed`` tells. If this raises, no byte of it
        has passed, nor will.

        Raises ``Permanent(FORWARD_DENIED)`` or ``Transient(RUNTIME_REFUSED)`` if the far sshd
        said no (the link is proven good then), ``Transient(FORWARD_STALLED)`` if it did not
        answer by the deadline though the link speaks, ``Transient(LINK_LOST)`` if the link is
        dead or silent.
        """
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        limit: int = 262_144,
    ) -> Completed:
        """Run a command on the server (``shlex.join`` happens here, nowhere else).

        Output beyond ``limit`` bytes is dropped. Raises ``Transient(REMOTE_WEDGED)`` at the
        deadline, ``Transient(LINK_LOST)`` if the link is gone. A non-zero status is no error.
        """
        ...

    def stdio(self, argv: Sequence[str], deadline: Deadline) -> Stream:
        """Run a command and give its stdin and stdout as a stream. Raises as ``run``."""
        ...

    def ask(self) -> None:
        """Have the far side asked now whether it still speaks, instead of when it is time. Returns at once;
        ``LinkNews`` tells if there is no answer."""
        ...

    def facts(self) -> LinkFacts:
        """What is known without asking the far side."""
        ...

    def alive(self) -> bool:
        """False once the connection ended."""
        ...

    def close(self, deadline: Deadline) -> None:
        """End it; never raises."""
        ...


class LinkNews(Protocol):
    """What a link tells while it lives; called from its own threads, must not block."""

    def silent(self) -> None: ...

    def speaking(self) -> None: ...

    def lost(self, detail: str) -> None: ...


class SshEngine(Protocol):
    """Makes links. Never touches the listener, never redials by itself."""

    def dial(self, deadline: Deadline, news: LinkNews) -> Link:
        """Raises ``Transient`` or ``Permanent`` with cause, phase, detail, mend and ``reached``."""
        ...

    def start_over(self) -> None:
        """The network is another one: dials on their way begin anew, within what is left of their time.
        Returns at once; links that are up are not touched."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardFacts:
    """Counters since the agent's start."""

    bound: bool
    holder: str
    """Who holds the port if it is not ours."""
    open_connections: int
    sent_bytes: int
    received_bytes: int


class Forward(Protocol):
    """The local listener: bound once, kept over links, closed at the end."""

    def bind(self) -> None:
        """Raises ``Transient(PORT_CONFLICT)`` whose detail names the holder. Idempotent."""
        ...

    def use(self, link: Link | None) -> Link | None:
        """New connections go over ``link`` from now on; returns the one it replaces."""
        ...

    def drop(self, link: Link) -> None:
        """If ``link`` serves new connections, none does from now on."""
        ...

    def clients_of(self, link: Link, *, opening: bool) -> int:
        """How many client connections ride on that link; ``opening``: or are about to, as their channel over it is
        being opened."""
        ...

    def answer(self, text: str, retry_after: float) -> None:
        """What a client is told (503) once the hold is over and no link is up."""
        ...

    def dialing(self, running: bool) -> None:
        """While a dial runs, clients without a link wait for its end, beyond the hold."""
        ...

    @property
    def remote(self) -> Address:
        """The port on the server that clients reach."""
        ...

    def facts(self) -> ForwardFacts: ...

    def close(self, deadline: Deadline) -> None:
        """Stop listening, end all clients."""
        ...
