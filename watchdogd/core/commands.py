"""All that the core can wish for, and the facts that it publishes. Imperative: somebody else does it."""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.core.model import Incident, Intent, Pause
from watchdogd.core.resume import Hook
from watchdogd.core.words import Cause, Hindsight, Refusal, Remedy, Result, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Measure one round; answered by exactly one ``Observed`` with the same number."""

    round: int
    deep: bool
    """Also look from the server: container, session, host, runtime_server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Run one remedy; answered by exactly one ``RemedyFinished``.

    If ``intent.charged``, its commit in the journal comes first: no commit, no act.
    """

    intent: Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHook:
    """Run ``resume_command``; answered by exactly one ``HookFinished``.

    Its commit in the journal comes first: no commit, no run; and none for a generation that had one.
    """

    hook: Hook


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """Make a link with this number, beside the present one if there is one."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOver:
    """The network is another one: a dial on its way begins anew, with the same number. Nothing else is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLink:
    """Close the link with this number once no client uses it, or nothing came over it for
    ``drain_seconds``."""

    number: int
    drain_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLink:
    """Ask the link with this number now. If it does not answer in the time that answers take on this line,
    that is told as silence; if it does, nothing is told."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Bind the forward's local port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAnswer:
    """What clients are told while no link is up."""

    cause: Cause | None
    retry_after: float
    """Seconds until the next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Send ``Woke`` at ``at`` (``run`` clock). The newest replaces the older."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """Fact: the public state or the cause is another one."""

    old: State
    new: State
    cause: Cause | None
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentOpened:
    """Fact."""

    incident: Incident
    detection_seconds: float
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRerooted:
    """Fact: the cause of the open incident is another layer's; the id stays."""

    incident: Incident
    old: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentClosed:
    """Fact: stable health again."""

    incident: Incident
    duration_seconds: float
    """From the first failing round to usable again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyIntended:
    """Fact: the remedy is about to run."""

    intent: Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyEnded:
    """Fact."""

    intent: Intent
    result: Result
    seconds: float
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyVerified:
    """Fact: health after the remedy was proved, or was not in time."""

    intent: Intent
    healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyRefused:
    """Fact: the rung was passed over. Told again at least every 60 s while it lasts."""

    remedy: Remedy
    reason: Refusal
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnected:
    """Fact: a new link after a loss."""

    cause: Cause
    seconds: float
    """From the loss to forwarding again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseBegan:
    """Fact."""

    pause: Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseEnded:
    """Fact: by a person, or because its time was over."""

    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSpoke:
    """Fact: a person approved, ordered or reset something; or wanted to, and why that is worth nothing."""

    verb: str
    """``approve``, ``heal`` or ``reset``."""
    accepted: bool
    remedy: Remedy | None = None
    actor: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOpened:
    """Fact: the remedy would have been begun now, but for ``reason`` (observe, ask or veto) alone."""

    remedy: Remedy
    cause: Cause
    reason: Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowScored:
    """Fact: hindsight on what was told by ``ShadowOpened``."""

    remedy: Remedy
    cause: Cause
    reason: Refusal
    outcome: Hindsight
    seconds: float
    """Awake-observed, since it was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelsGone:
    """Fact: kernels of the runtime are gone, and it is still the same runtime."""

    kernels: tuple[str, ...]
    """Their ids."""
    busy: bool
    """One of them was, when last asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookBegan:
    """Fact: the resume command is about to run."""

    hook: Hook


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEnded:
    """Fact: ``UNKNOWN``: it did not end by its deadline, and was ended; ``NOTHING``: it was not begun."""

    hook: Hook
    result: Result
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeEnded:
    """Fact: after the resume command the training moved, or the resume failed."""

    moved: bool
    step: float | None = None
    """Where it is now; of a failure: where it was lost."""
    failures: int = 0
    """In a row, at that step."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeHalted:
    """Fact: too many failed at one step; until a person resets it none is begun. All else goes on."""

    step: float | None
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeWithheld:
    """Fact: a repair is proved, and the training is not resumed after it."""

    incident: str
    reason: Refusal
    detail: str = ""


Fact = (
    StateChanged
    | IncidentOpened
    | IncidentRerooted
    | IncidentClosed
    | RemedyIntended
    | RemedyEnded
    | RemedyVerified
    | RemedyRefused
    | Reconnected
    | PauseBegan
    | PauseEnded
    | OperatorSpoke
    | ShadowOpened
    | ShadowScored
    | KernelsGone
    | HookBegan
    | HookEnded
    | ResumeEnded
    | ResumeHalted
    | ResumeWithheld
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Tell the sinks."""

    fact: Fact


Command = (
    Probe
    | Apply
    | RunHook
    | Dial
    | StartOver
    | CloseLink
    | AskLink
    | Bind
    | SetAnswer
    | Wake
    | Publish
)
