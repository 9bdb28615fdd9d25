"""What probes and remedies are given, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from watchdogd.core.model import (
    Intent,
    Observation,
)
from watchdogd.core.resume import Hook
from watchdogd.core.sight import (
    ContainerSight,
    GpuSight,
    HostSight,
    KernelSight,
    SessionSight,
    TrainingSight,
)
from watchdogd.core.words import Cause, Refusal, Result
from watchdogd.ports.clock import Clock, Deadline
from watchdogd.ports.link import ForwardFacts, Link
from watchdogd.ports.server import ContainerEngine, Guard, HttpGet, Sessions, Tokens
from watchdogd.settings import TargetSettings


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
    failed_at: float | None = None
    """``run`` clock, when the last dial failed; ``None``: it did not."""


class LinkSource(Protocol):
    """The target's links, as probes and remedies may use them."""

    def status(self) -> LinkStatus: ...

    def current(self) -> Link:
        """The present link. Raises ``Transient(LINK_LOST)`` if there is none."""
        ...

    def reconnect(self, deadline: Deadline, *, ordered: bool = False) -> None:
        """Dial a new link beside the present one and put it in its place, proved by one exec.

        ``ordered``: by a person, so the server is asked though it refused others lately.
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
class CanaryFacts:
    """What pages with a known body answered, asked of the network as a browser would. Never a verdict."""

    asked: int = 0
    """How many pages are configured; 0: nobody was asked."""
    good: str = ""
    """The page that answered as it should: requests leave this network and come back."""
    foreign: str = ""
    """A page in whose place somebody else answered, if none was good."""
    said: str = ""
    """What that answer was, in words; nothing of its text."""


class AskCanaries(Protocol):
    """Asks the canaries, or gives their last answer while that is fresh."""

    def __call__(self, deadline: Deadline, *, since: float | None = None) -> CanaryFacts:
        """``since``: an answer that was asked for earlier (``run`` clock) is not fresh. Raises nothing."""
        ...


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
    canaries: AskCanaries
    """What tells a captive portal; asks nobody unless configured."""
    tokens: Tokens
    engine: ContainerEngine | None
    """Set for ``kind = "container"``."""
    sessions: Sessions | None
    """Set unless ``kind = "external"``."""
    guard: Guard
    agent_health: Callable[[], str]
    """Empty, or why the agent itself cannot judge now (descriptors, disk)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one probe returns: facts, never a verdict."""

    observations: tuple[Observation, ...]
    host: HostSight | None = None
    container: ContainerSight | None = None
    session: SessionSight | None = None
    gpu: GpuSight | None = None
    kernels: KernelSight | None = None
    training: TrainingSight | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of a program of this machine."""

    status: int | None
    """Negative: ended by that signal. ``None``: it did not end by its deadline, and was ended."""
    said: bytes
    """The last of what it printed, of both outputs."""


class RunHere(Protocol):
    """Runs a program of this machine, without a shell. Raises ``OSError`` if it cannot be started,
    ``InterruptedError`` of these if the agent ends."""

    def __call__(self, argv: Sequence[str], *, stdin: bytes, deadline: Deadline) -> Ran: ...


class HookFunction(Protocol):
    """Runs the target's ``resume_command`` once, to its end or to the deadline, and never raises for what
    the command does."""

    def __call__(self, target: TargetSettings, hook: Hook, deadline: Deadline) -> Outcome: ...


class RemedyFunction(Protocol):
    """A plain function: acts once, proves its effect, by the deadline.

    It may raise ``Transient`` or ``Permanent`` (the worker turns these into ``FAILED``, a lost
    link or a deadline into ``UNKNOWN``)."""

    def __call__(self, reach: Reach, intent: Intent, deadline: Deadline) -> Outcome: ...
