"""The frozen records that decisions are made from and written into.

Times are seconds. ``run`` is the monotonic clock (timeouts), ``boot`` also counts sleep (ages,
accounts), ``wall`` is for people and for ages across reboots of the laptop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from watchdogd.core.link import Dialing
from watchdogd.core.resume import Hook, Resume
from watchdogd.core.shadow import Open, Shadow
from watchdogd.core.sight import Generation, HostSight, Sight
from watchdogd.core.traces import Death, Flaps, Life
from watchdogd.core.words import (
    Cause,
    Kind,
    Layer,
    Mode,
    Outcome,
    Phase,
    ProbeName,
    Refusal,
    Remedy,
    State,
    Vantage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One fact, measured by one probe from one place."""

    probe: ProbeName
    layer: Layer
    vantage: Vantage
    outcome: Outcome
    started: float
    """``run`` clock, when the measurement began."""
    ended: float
    """``run`` clock, when it ended."""
    cause: Cause | None = None
    """Set exactly when ``outcome`` is ``FAIL``."""
    detail: str = ""
    """One line for people. Never branched upon, never with a secret in it."""
    mend: str = ""
    """The command that mends it, where one is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one round of observations means (made by ``judge``)."""

    outcome: Outcome = Outcome.UNKNOWN
    """OK: usable or merely degraded with no root; FAIL: ``cause`` is the root; UNKNOWN: says nothing."""
    cause: Cause | None = None
    """The root: the lowest failing layer's cause. Also set for a target that is only degraded."""
    layer: Layer | None = None
    usable: bool | None = None
    """A request through the forward got the right runtime's answer. None = not measured."""
    served: bool | None = None
    """The runtime answered the same request executed on the server. None = not measured."""
    layers: tuple[tuple[Layer, Outcome], ...] = ()
    """Each layer after propagation: a FAIL above the root stands here as UNKNOWN."""
    void: bool = False
    """The round straddled a sleep, a stall or a fault of the agent: it changes nothing."""
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One entry of the budget: an intent that was made durable. Only age takes it away."""

    remedy: Remedy
    key: str
    wall: float
    boot: float
    boot_id: str
    """The laptop's boot id: with the same one, age is measured on ``boot``, else on ``wall``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A person said: look, and touch nothing."""

    since_wall: float
    until_wall: float | None = None
    """``None``: until somebody says otherwise."""
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person allowed one remedy, of one incident, for one generation."""

    remedy: Remedy
    incident: str
    generation: Generation
    until_boot: float
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One remedy that was decided on. ``key`` never occurs twice."""

    key: str
    remedy: Remedy
    incident: str
    cause: Cause | None
    """``None``: a person ordered it while nothing was wrong."""
    generation: Generation
    decided: float
    """``run`` clock."""
    deadline_seconds: float
    seen: HostSight | None = None
    """Of a destructive one: the reading of the runtime's processes that it rests on."""
    ordered: bool = False
    """By a person, who knows better: no last look stops it but those for the right thing to act on."""
    approved: bool = False
    """A person allowed it: what he did himself does not speak against it."""
    charged: bool
    """A restoring or destructive remedy: intent and charge must be on disk before it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """From the first confirmed failure to stable health again."""

    id: str
    cause: Cause
    opened_wall: float
    first_failure_boot: float
    """When the first failing round of its streak ended."""
    attempts: int = 0
    """How many remedies were applied, repetitions counted."""
    remedies: tuple[Remedy, ...] = ()
    """Those that were applied, in order, a repetition of the last one not listed again."""
    failed: tuple[Remedy, ...] = ()
    """Destructive and restoring ones that failed or whose effect could not be proved, in order."""
    usable_again_boot: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers that a target's settings hand to the core. Defaults: decisions of the design."""

    mode: Mode = Mode.AUTO
    kind: Kind = Kind.CONTAINER
    view_session: bool = True
    """``kind = "container"``: keep a tmux session that shows the container's log."""
    interval: float = 15.0
    suspect_interval: float = 5.0
    timeout: float = 10.0
    keepalive: float = 5.0
    hung_after: float = 600.0
    destructive_per_6h: int = 2
    destructive_per_24h: int = 3
    cooldown: float = 1800.0
    start_grace: float = 300.0
    gpus: bool = True
    """The runtime was given GPUs, so what uses them must be known before anything is ended."""
    watches_training: bool = False
    """Some sign of a training run is configured."""
    watches_progress: bool = False
    """One of them is a progress file."""
    resumes: bool = False
    """A command that resumes the training after a repair is configured."""
    stall_after: float = 1800.0
    """Longest time without progress that is nothing special."""
    deep_every: int = 4
    """A healthy target's server side is read in every n-th round."""

    def measures(self, probe: ProbeName) -> bool:
        """Does this probe ever say anything about such a target?"""
        match probe:
            case ProbeName.CONTAINER:
                return self.kind is Kind.CONTAINER
            case ProbeName.SESSION:
                return self.has_session
            case ProbeName.GPU:
                return self.gpus
            case ProbeName.TRAINING:
                return self.watches_training
            case _:
                return True

    @property
    def has_session(self) -> bool:
        """Does anybody look for a tmux session of this target?"""
        return self.kind is Kind.SESSION or (self.kind is Kind.CONTAINER and self.view_session)

    @property
    def short_seconds(self) -> float:
        """Awake-observed time that confirms an ordinary fault, with 3 failures (20 s)."""
        return 4 * self.suspect_interval

    @property
    def read_gap(self) -> float:
        """Least time between two reads that prove a thing not running (10 s)."""
        return 2 * self.suspect_interval

    @property
    def answered_seconds(self) -> float:
        """Awake-observed time for a destructive remedy when "server gone" was *said* (2 min)."""
        return 24 * self.suspect_interval

    @property
    def wake_grace(self) -> float:
        """After start or wake: no restoring or destructive remedy for so long (15 s)."""
        return 3 * self.suspect_interval

    @property
    def stable_seconds(self) -> float:
        """Health for so long closes an incident (60 s)."""
        return 12 * self.suspect_interval

    @property
    def told_after(self) -> float:
        """A target that was not usable for so long is told to people (2 min)."""
        return 24 * self.suspect_interval

    @property
    def told_together(self) -> float:
        """News that is not urgent waits so long for other news (30 s)."""
        return 6 * self.suspect_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """Clocks and dice of one step, handed in and recorded."""

    run: float
    boot: float
    wall: float
    boot_id: str
    """The laptop's."""
    chance: float
    """Uniform in [0, 1)."""
    fleet: int = 0
    """Destructive remedies of all targets together in the last 24 h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What of a target survives the agent: what was decided and done, never what was merely counted.

    Times on the ``boot`` clock are those of the boot in which it is read."""

    incident: Incident | None = None
    armed: Generation | None = None
    ended_by_person: tuple[str, str] | None = None
    failed_starts: int = 0
    restarts_unverified: int = 0
    ooms: tuple[tuple[str, float], ...] = ()
    pause: Pause | None = None
    shadow: Shadow = field(default_factory=Shadow)
    resume: Resume | None = None


@dataclass(frozen=True, kw_only=True)
class Streak:
    """Failing rounds in a row with one cause. Without slots, as ``Life``."""

    cause: Cause | None = None
    fails: int = 0
    observed_seconds: float = 0.0
    """Awake-observed: sleep, void and unknown rounds add nothing."""
    first_boot: float = 0.0
    first_run: float = 0.0
    last_run: float = 0.0
    failing: int = 0
    """Failing rounds in a row whatever their cause: causes that take turns are an outage, too."""
    failing_seconds: float = 0.0
    """Awake-observed, as above."""


NO_STREAK = Streak()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Seconds of the ``boot`` clock, booked to exactly one state each."""

    seconds: Mapping[State, float] = field(default_factory=dict)
    booked_until: float = 0.0
    """``boot`` clock."""


@dataclass(frozen=True, kw_only=True)
class TargetState:
    """All that is remembered about one target. ``step`` alone makes new ones."""

    phase: Phase = Phase.BLIND
    phase_since: float = 0.0
    shown: State = State.UNKNOWN
    """The public state."""
    shown_since_boot: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    """Of the last round that was not void."""
    verdict_since: float = 0.0
    """``run`` clock, when that round began to look."""
    observations: tuple[Observation, ...] = ()
    """What each probe said last: what ``status`` shows."""
    streak: Streak = field(default_factory=Streak)
    oks: int = 0
    round: int = 0
    """Number of the newest round asked for."""
    round_open: bool = False
    round_since: float = 0.0
    """``run`` clock, when the newest round was asked for."""
    next_round_at: float = 0.0
    """``run`` clock, when the next round is due."""
    hurry: bool = False
    """Another round is wanted as soon as the open one ends."""
    ignore_before: float = 0.0
    """Rounds begun earlier (before a remedy ended, a sleep, a new generation) are shown, not counted."""
    sight: Sight = field(default_factory=Sight)
    """The newest of each server-side part."""
    life: Life = field(default_factory=Life)
    """Signs that work goes on in the runtime."""
    generation: Generation = field(default_factory=Generation)
    armed: Generation | None = None
    """The generation that this agent saw healthy."""
    grace_until: float = 0.0
    """``run`` clock: before it only harmless remedies."""
    destructive_grace_until: float = 0.0
    dialing: Dialing = field(default_factory=Dialing)
    incident: Incident | None = None
    incidents_opened: int = 0
    intent: Intent | None = None
    verify_until: float = 0.0
    done: bool = False
    """The remedy in verification proved its own effect."""
    refusals: tuple[tuple[Remedy, Refusal], ...] = ()
    """Each rung that was passed over in the last choice, with the first reason."""
    refusals_published: float = 0.0
    charges: tuple[Charge, ...] = ()
    harmless: tuple[tuple[Remedy, float], ...] = ()
    """``run`` times of harmless remedies, for their budgets."""
    not_before: tuple[tuple[Remedy, float], ...] = ()
    """``run`` clock before which a remedy is not tried again."""
    last_look: tuple[Remedy, Refusal, str] | None = None
    """What the last look before the act forbade, why, and in a sentence: the reason for its pause."""
    ended_by_person: tuple[str, str] | None = None
    """Id and ``StartedAt`` of the run that a person ended (both empty: removed). The engine forgets
    that with its events; it holds until another run is seen."""
    engine_lost: tuple[str, str] | None = None
    """Id and ``StartedAt`` of the run that was last seen at work before the engine itself was down."""
    death: Death | None = None
    """The last one that the engine told of by itself."""
    failed_starts: int = 0
    """Starts in a row that did not lead to health: three need a person."""
    ooms: tuple[tuple[str, float], ...] = ()
    """Each life (``StartedAt``) of the container that ended for want of memory, and ``boot`` then."""
    bind_at: float = 0.0
    """``run`` clock, when the local port is tried again."""
    answer: tuple[Cause | None, float] = (None, 0.0)
    """What clients are told while no link is up: cause and ``run`` time of the next attempt."""
    flaps: Flaps = field(default_factory=Flaps)
    impaired: str = ""
    """What of the runtime is broken though it answers: told, and no reason to repair anything."""
    impaired_looks: int = 0
    """How many looks in a row found that."""
    pause: Pause | None = None
    approval: Approval | None = None
    journal_ok: bool = True
    observes_until: float = 0.0
    """``run`` clock: before it nothing is repaired, since the agent crashed again and again."""
    restarts_unverified: int = 0
    """Destructive remedies in a row without verified health: two halt the target."""
    resume: Resume | None = None
    """What of resuming the training is to be known; ``None``: no repair called for it yet."""
    hook: Hook | None = None
    """The resume command runs."""
    hook_until: float = 0.0
    """``run`` clock: its end at the latest; then, when progress must show. 0: not fixed yet."""
    hook_not_before: float = 0.0
    """``run`` clock, when one that was not begun is tried again."""
    hook_mark: str = ""
    """What the progress file showed when it began."""
    last_step: float | None = None
    """The last one that was read, if it matters to a resume."""
    would: Open | None = None
    shadow: Shadow = field(default_factory=Shadow)
    account: Account = field(default_factory=Account)
    wake_at: float = 0.0
    last_up_wall: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What every reader sees: one frozen record of all targets, replaced after each step."""

    targets: Mapping[str, TargetState] = field(default_factory=dict)
    started_wall: float = 0.0
    last_round_wall: float = 0.0
