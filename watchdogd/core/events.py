"""All that can happen to a target. Past tense: each of these is a fact that somebody saw."""

from __future__ import annotations

from dataclasses import dataclass, field

from watchdogd.core.model import Charge, Memory, Observation
from watchdogd.core.sight import Generation, Sight
from watchdogd.core.words import Cause, Refusal, Remedy, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The agent started and has read its journal."""

    charges: tuple[Charge, ...] = ()
    memory: Memory = field(default_factory=Memory)
    open: tuple[Remedy, ...] = ()
    """Remedies whose intent is on disk and whose result is not: it is looked for, never repeated."""
    hook: Generation | None = None
    """For what the resume hook was begun last, as the journal knows."""
    journal_ok: bool = True
    """False: the journal is missing, corrupt or unwritable; the agent then only observes."""
    observe_seconds: float | None = None
    """Set after crashes in a row: so long (awake) the agent only observes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One round of probes ended, at its deadline at the latest."""

    round: int
    """As given in the ``Probe`` command that it answers."""
    started: float
    """``run`` clock."""
    observations: tuple[Observation, ...]
    """What did not answer in time is in here as UNKNOWN."""
    sight: Sight = field(default_factory=Sight)
    stalled: bool = False
    """The round straddled a sleep or a stall of the agent: void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyFinished:
    """The answer to an ``Apply``: exactly one each."""

    key: str
    result: Result
    reason: Refusal | None = None
    """Set with ``Result.NOTHING``: why the last look forbade the act."""
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFinished:
    """The answer to a ``RunHook``: exactly one each."""

    key: str
    result: Result
    """``UNKNOWN``: it did not end by its deadline, and was ended; ``NOTHING``: it was not begun."""
    detail: str = ""
    """The last that it printed, without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Woke:
    """A timer that ``Wake`` asked for is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The laptop slept, or the agent stood still, and runs again."""

    slept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped:
    """The wall clock was set."""

    by: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChanged:
    """This laptop has another way to the server than it had: another interface, gateway or address of its
    own, or none. Told once things have settled."""

    routed: bool
    """False: no way at all, as far as the kernel knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUp:
    """A dial succeeded; its link is ready for use."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSilent:
    """A question was not answered in the time that answers take on this line, and nothing else came over the
    link either. It cuts nothing."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpeaking:
    """A silent link speaks again."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLost:
    """The link ended."""

    number: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialFailed:
    """A dial ended without a link."""

    number: int
    cause: Cause
    permanent: bool
    reached: bool
    """sshd was reached, so the dial counts against its penalties."""
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBound:
    """The forward's local port is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindFailed:
    """The forward's local port is held by somebody else."""

    holder: str
    """Program and pid where the system tells, else "another process"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDied:
    """The container engine told that a container on the server ended, as it happened.

    A witness, not a reading: it says nothing of what is there now. It may be told twice."""

    container: str
    """Its id; any container of that engine."""
    at: float
    """When, by the engine's clock (Unix seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesChanged:
    """known_hosts or a key file changed: what was refused may be allowed now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged:
    """The target has other settings from now on; its tunnel stayed as it is."""

    runtime: bool = False
    """What is behind the tunnel is described anew: all that was seen of it is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A person paused the target: it is looked at, and nothing but its own tunnel is touched."""

    until_wall: float | None = None
    """Unix seconds; ``None``: until ``Unpaused``."""
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaused:
    """A person ended the pause."""

    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A person allowed the remedy that was asked for. Worth nothing if none was."""

    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A person wants this remedy now: no veto, budget, cool-down or grace stops it."""

    remedy: Remedy
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A person lifts what halted the target: failed starts, restarts that did not help. Budgets stay."""

    actor: str = ""


Event = (
    Started
    | Observed
    | RemedyFinished
    | HookFinished
    | Woke
    | Resumed
    | ClockStepped
    | NetworkChanged
    | LinkUp
    | LinkSilent
    | LinkSpeaking
    | LinkLost
    | DialFailed
    | PortBound
    | BindFailed
    | ContainerDied
    | FilesChanged
    | SettingsChanged
    | Paused
    | Unpaused
    | Approved
    | Ordered
    | Reset
)
