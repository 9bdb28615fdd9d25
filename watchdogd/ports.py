"""The shapes of the outside world that probes, remedies, links and the loop are given.

Adapters implement them; tests run one class of tests on each adapter and on its fake.
Every call that can wait takes a ``Deadline`` and ends by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from watchdogd.core.commands import Fact
from watchdogd.core.events import Event
from watchdogd.core.model import (
    Charge,
    Env,
    Intent,
    Observation,
    TargetState,
)
from watchdogd.core.sight import (
    ContainerSight,
    HostSight,
    SessionSight,
)
from watchdogd.core.words import Cause, Refusal, Result
from watchdogd.settings import Address, ContainerSettings, Secret, TargetSettings


class Clock(Protocol):
    """The three clocks and the dice. The real one is ``adapters.clock.SystemClock``."""

    def run(self) -> float:
        """Monotonic seconds: for timeouts."""
        ...

    def boot(self) -> float:
        """Seconds that also count while the laptop sleeps: for ages and accounts."""
        ...

    def wall(self) -> float:
        """Unix seconds, UTC: for people and across reboots."""
        ...

    def boot_id(self) -> str:
        """Identity of the laptop's boot."""
        ...

    def chance(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def wait(self, seconds: float) -> None:
        """Let that much time pass."""
        ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the ``run`` clock by which a call ends."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """The point ``seconds`` from now."""
        return cls(clock, clock.run() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock.run())

    def passed(self) -> bool:
        """True once nothing is left."""
        return self.clock.run() >= self.at

    def at_most(self, seconds: float) -> Deadline:
        """The earlier of this point and ``seconds`` from now."""
        return Deadline(self.clock, min(self.at, self.clock.run() + seconds))


# ---------------------------------------------------------------- the SSH link


class Stream(Protocol):
    """Bytes both ways, half-close included: one client's connection on the far side."""

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

    def open(self, to: Address, deadline: Deadline) -> Stream:
        """A ``direct-tcpip`` channel to a port on the server.

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

    def clients_of(self, link: Link) -> int:
        """How many client connections ride on that link."""
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


# ---------------------------------------------------------------- asking over HTTP


OWN_ANSWER_HEADER = "x-watchdogd-forward"
"""Marks an answer (503) that our own forward gave in the runtime's place."""


class HttpEnd(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """The connect itself was refused."""
    CLOSED = "closed"
    """Connected, then ended or reset without a whole answer."""
    SILENT = "silent"
    """Connected, and nothing came by the deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back. ``body`` is capped and is only kept if it claims to be JSON."""

    end: HttpEnd
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names."""
    body: bytes = b""
    ours: bool = False
    """The answer is our own forward's 503, not the runtime's."""


class HttpGet(Protocol):
    """``GET`` with one total deadline, no redirects, no proxies, no cookies, no netrc."""

    def __call__(
        self, address: Address, path: str, *, token: Secret | None, deadline: Deadline
    ) -> HttpAnswer: ...


# ---------------------------------------------------------------- the server's own things


class EngineRefused(Exception):
    """The container engine could not be asked (permission, no client program, garbage): unknown, not missing."""

    def __init__(self, detail: str, mend: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.mend = mend


class ContainerAmbiguous(Exception):
    """Several containers could be meant."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class ContainerEngine(Protocol):
    """Docker on the server, over the link. Raises ``Transient(CONTAINER_ENGINE_DOWN)`` if it does not
    run, ``EngineRefused`` if it cannot be asked, ``Transient(LINK_LOST)`` if the link is gone."""

    def look(self, target: str, wanted: ContainerSettings, deadline: Deadline) -> ContainerSight:
        """The container that is meant: by label, then name, then published port, in *all* states.

        ``ContainerSight(id=None)`` = there is none. Raises ``ContainerAmbiguous``.
        """
        ...

    def start(self, container_id: str, deadline: Deadline) -> None:
        """Raises ``Transient(CONTAINER_EXITED)`` with the engine's text if it does not start."""
        ...

    def create(
        self, target: str, wanted: ContainerSettings, token_path: str, deadline: Deadline
    ) -> str:
        """Create (not start) the container; returns its id.

        ``token_path``: the server's token file, mounted read-only, ``JUPYTER_TOKEN_FILE`` names it.
        Raises ``Transient(CONTAINER_MISSING)`` with ``mend`` if the image is missing.
        """
        ...

    def restart(self, container_id: str, stop_seconds: int, deadline: Deadline) -> None: ...

    def log_tail(self, container_id: str, lines: int, deadline: Deadline) -> bytes:
        """The last lines of its log, at most 256 KiB. For tokens and evidence; never logged."""
        ...

    def close(self) -> None: ...


class Sessions(Protocol):
    """tmux on the server, over the link. Formats out, argv in, never attaches.

    Raises ``Transient`` as ``Link.run``; ``EngineRefused`` if tmux is not installed."""

    def look(self, name: str, deadline: Deadline) -> SessionSight: ...

    def open(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        deadline: Deadline,
        *,
        keep: bool = False,
    ) -> None:
        """A detached session that runs ``argv``; ``keep``: the dead pane stays for its exit status."""
        ...

    def kill(self, name: str, deadline: Deadline) -> None:
        """End the session and what runs in it. Only for ``kind = "session"``."""
        ...


class Tokens(Protocol):
    """The target's token: a 0600 file on the laptop."""

    def current(self) -> Secret | None:
        """The token to use now; ``None`` = none is known yet."""
        ...

    def pinned(self) -> Secret:
        """The token to pin into a runtime that we create; made (48 hex digits) if there is none."""
        ...

    def learn(self, token: Secret) -> None:
        """An adopted runtime's token, found in its log."""
        ...


# ---------------------------------------------------------------- probes and remedies


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """What is known of the present link, for the ``ssh`` probe."""

    link: Link | None
    number: int | None
    silent: bool
    dialing: bool
    failure: Cause | None
    failure_detail: str
    failure_mend: str


class LinkSource(Protocol):
    """The target's links, as probes and remedies may use them."""

    def status(self) -> LinkStatus: ...

    def current(self) -> Link:
        """The present link. Raises ``Transient(LINK_LOST)`` if there is none."""
        ...

    def reconnect(self, deadline: Deadline) -> None:
        """Dial a new link beside the present one and put it in its place, proved by one exec.

        Waits for a dial in flight instead of starting another. Raises as ``SshEngine.dial``."""
        ...

    def reopen(self, deadline: Deadline) -> None:
        """Bind the local port again if it is not ours, and prove a channel through the link."""
        ...

    def forward(self) -> ForwardFacts: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFacts:
    """What the system's routing table and resolver say of the SSH host. Never a verdict."""

    routed: bool | None
    """False: there is no way off this machine to the host. None: it could not be told."""
    resolved: bool | None
    """False: the name gives no address now. None: the host is an address, no name was asked."""
    address: str = ""
    """The address that was looked at; after a failed resolution the last good one, if any."""
    error: str = ""
    """The resolver's or the system's words, one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """All that a probe or a remedy of one target may use. Made by ``app`` once a target."""

    target: TargetSettings
    clock: Clock
    links: LinkSource
    http: HttpGet
    ask_on_server: HttpGet
    """The same request, executed on the server: the second vantage. May raise ``EngineRefused`` if the
    server has no program to ask with, and what ``Link.run`` raises."""
    route: Callable[[Deadline], RouteFacts]
    """How this machine would reach the SSH host, without sending it anything."""
    tokens: Tokens
    engine: ContainerEngine | None
    """Set for ``kind = "container"``."""
    sessions: Sessions | None
    """Set unless ``kind = "external"``."""
    agent_health: Callable[[], str]
    """Empty, or why the agent itself cannot judge now (descriptors, disk)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one probe returns: facts, never a verdict."""

    observations: tuple[Observation, ...]
    host: HostSight | None = None
    container: ContainerSight | None = None
    session: SessionSight | None = None


class ProbeFunction(Protocol):
    """A plain function: measures once, by the deadline; does not decide, retry or time itself.

    ``so_far`` are the readings of the same round's earlier server-side probes (the host script
    wants the container's id). It returns UNKNOWN rather than raise for what the world does.
    """

    def __call__(self, reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a remedy says of itself. ``DONE`` only if its own check saw the effect."""

    result: Result
    detail: str = ""
    mend: str = ""
    reason: Refusal | None = None
    """Why nothing was done (``Result.NOTHING``)."""


class RemedyFunction(Protocol):
    """A plain function: acts once, proves its effect, by the deadline.

    It may raise ``Transient`` or ``Permanent`` (the worker turns these into ``FAILED``, a lost
    link or a deadline into ``UNKNOWN``)."""

    def __call__(self, reach: Reach, intent: Intent, deadline: Deadline) -> Outcome: ...


# ---------------------------------------------------------------- memory and telling


class Journal(Protocol):
    """What survives a crash. Raises ``OSError`` when it cannot keep its word."""

    def load(self, target: str, now: Env) -> tuple[Charge, ...]:
        """The charges of the last 24 h."""
        ...

    def intend(self, target: str, intent: Intent, charge: Charge) -> None:
        """Intent and charge together, durable when this returns."""
        ...

    def finish(self, target: str, key: str, result: Result) -> None: ...

    def close(self) -> None: ...


class Sink(Protocol):
    """Told after the state changed. Raises nothing that matters: a failing sink is counted."""

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None: ...
