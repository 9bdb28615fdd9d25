"""Cause -> ladder -> the first rung that nothing forbids, and the refusal of each rung passed over.

Proof is asked for in proportion to what a remedy can destroy: harmless ones need little, restoring
ones two readings of something *not running*, destructive ones every lock below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from watchdogd.core import dialing, life, new
from watchdogd.core.budget import ages, limits, remaining, seconds_until_one
from watchdogd.core.confirming import NO_NETWORK, ONCE, SHORT_FAILS, TWICE, confirmed
from watchdogd.core.ladders import ladder
from watchdogd.core.lengths import length
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.veto import hazard, host_seen, not_running, seen_failing, server_seen
from watchdogd.core.words import HARM, Cause, Harm, Layer, Mode, Outcome, Refusal, Remedy

ANSWERED = frozenset({Cause.RUNTIME_REFUSED, Cause.RUNTIME_ERROR})
"""The server *said* that the runtime is gone; it was not inferred from silence."""
LONG_FAILS, ANSWERED_FAILS = 20, 10
FAILED_STARTS = 3
UNVERIFIED_RESTARTS = 2
FLEET_RESTARTS = 3
"""Of all targets together in 24 h; more where a single one is allowed more."""
ENGINE_DOWN_SECONDS, ENGINE_UP_SECONDS = 120.0, 60.0
"""An engine that is restarted ends its containers at most so long before it is up again (it gives them
15 s, and may be slow itself), or marks those that its crash left at most so long after."""
APPROVABLE = frozenset({Refusal.ASK, Refusal.OPERATOR, Refusal.FAILED_START, Refusal.HALTED})
"""What a person's approval lifts."""
OOM_WINDOW_SECONDS = 3600.0
UNTOLD = "the container engine no longer tells who stopped it"
"""No sight that time never gives back."""
OWN_POLICY_INTERVALS = 18
"""The engine's own restart back-off is at most 60 s: it is waited for 18 suspect intervals (90 s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The remedy to apply, if any, and why each other rung is not."""

    remedy: Remedy | None
    refusals: tuple[tuple[Remedy, Refusal, str], ...] = ()
    """Remedy, reason, and one sentence for people."""


def choose(state: TargetState, policy: Policy, env: Env) -> Choice:
    """Walk the ladder of the present cause; the first rung without a refusal wins."""
    refusals: list[tuple[Remedy, Refusal, str]] = []
    for remedy in ladder(state, policy):
        refusal = CHECKS[HARM[remedy]](remedy, state, policy, env)
        if refusal is None:
            return Choice(remedy=remedy, refusals=tuple(refusals))
        refusals.append((remedy, *refusal))
    return Choice(remedy=None, refusals=tuple(refusals))


Refused = tuple[Refusal, str] | None


def _network_down(state: TargetState) -> bool:
    return state.verdict.cause in NO_NETWORK  # a name that does not resolve is no such thing


def _paused_until(remedy: Remedy, state: TargetState) -> float:
    return max((at for kind, at in state.not_before if kind is remedy), default=0.0)


def _cooldown(remedy: Remedy, state: TargetState, env: Env) -> Refused:
    wait = _paused_until(remedy, state) - env.run
    if wait <= 0:
        return None
    if state.last_look is not None and state.last_look[0] is remedy:
        _, reason, found = state.last_look
        held = ", and that file forbids restarts" if reason is Refusal.PAUSED else ""
        looks = f"seen by the last look on the server; the next one is in {length(wait)}"
        return reason, f"{found}{held} ({looks})"
    return Refusal.COOLDOWN, f"tried lately, again in {length(wait)}"


def _budget(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> Refused:
    left = remaining(remedy, state, policy, env)
    if left is None or left > 0:
        return None
    wait = seconds_until_one(remedy, state, policy, env)
    spent = ages(remedy, state, env)
    windows = [
        one for one in limits(remedy, policy) if sum(age < one[1] for age in spent) >= one[0]
    ]
    allowed = ", ".join(f"{most} in {span / 3600:.0f}h" for most, span in windows)
    return Refusal.BUDGET, (
        f"it was done as often as allowed ({allowed}); once more in {length(wait)}, unless a person does it"
    )


def _observing(state: TargetState, policy: Policy, env: Env) -> Refused:
    if policy.mode is Mode.OBSERVE:
        return Refusal.OBSERVE, 'mode is "observe", so it is only watched'
    why = only_observes(state, env.run)
    return (Refusal.OBSERVE, why) if why else None


def only_observes(state: TargetState, run: float) -> str:
    """Why nothing is repaired whatever the mode; empty if nothing of the agent's own forbids it."""
    if not state.journal_ok:
        return "the journal cannot be written: without memory nothing is repaired"
    if (wait := state.observes_until - run) > 0:
        return f"the agent crashed twice within 10 min: it only observes for another {length(wait)}"
    return ""


def _harmless(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> Refused:
    own = remedy in (Remedy.RECONNECT, Remedy.REOPEN_FORWARD)
    if not own and (observing := _observing(state, policy, env)):
        return observing
    if _network_down(state):
        return Refusal.NO_SIGHT, "this laptop has no network"
    if remedy is Remedy.RECONNECT:
        return _redial(state, env)
    return _cooldown(remedy, state, env) or _budget(remedy, state, policy, env)


def _redial(state: TargetState, env: Env) -> Refused:
    known = state.dialing
    if known.stopped_by is Cause.HOST_KEY:
        return Refusal.HALTED, "no dial before known_hosts or the configuration changes"
    if known.dialing is not None:
        return Refusal.COOLDOWN, "a dial is on its way"
    wait = known.next_at - env.run
    if known.stopped_by is not None and wait > 0:
        why = "the key was refused" if known.denied else "no key could be offered"
        return Refusal.COOLDOWN, f"{why}; next dial in {length(wait)}"
    if dialing.wanted(known):
        return (Refusal.COOLDOWN, f"next dial in {length(wait)}") if wait > 0 else None
    if state.verdict_since <= known.up_since:
        # What failed, failed on the way before this link: the next round tells whether it still does.
        return Refusal.COOLDOWN, "the new link was not looked at yet"
    return _cooldown(Remedy.RECONNECT, state, env)


def _sight(state: TargetState, policy: Policy, env: Env) -> Refused:
    if not server_seen(state, policy, env.run) or not host_seen(state, env.run):
        return Refusal.NO_SIGHT, "the server was not read in the last 30 s"
    if not not_running(state, policy.kind):
        return Refusal.NO_SIGHT, "the last reading of the server does not show that it ended"
    return None


def _grace(state: TargetState, policy: Policy, env: Env, until: float) -> Refused:
    return (Refusal.GRACE, new.grace(state, policy, env, until)) if until > env.run else None


def _person(state: TargetState) -> Refused:
    container = state.sight.container
    if container is None:
        return None
    if container.stopped_by_person or state.ended_by_person is not None:
        ended = "stopped" if container.id else "removed"
        return Refusal.OPERATOR, f"the container engine's events say that somebody {ended} it"
    unknown = container.id is not None and container.stopped_by_person is None
    engine_ended_it = state.engine_lost == (container.id, container.started)
    explained = engine_ended_it or _engine_started_then(state) or _rebooted_since_armed(state)
    if unknown and not explained:
        return Refusal.NO_SIGHT, UNTOLD
    return None


def _engine_started_then(state: TargetState) -> bool:
    """The engine was started anew just when this run ended, which this agent saw healthy: it took its
    containers along, and its events. Told by the server's clock alone."""
    armed, container, host = state.armed, state.sight.container, state.sight.host
    if armed is None or container is None or host is None or host.engine_started_at is None:
        return False
    if (armed.container, armed.started) != (container.id, container.started or None):
        return False
    after = host.engine_started_at - container.finished_at
    return container.finished_at > 0 and -ENGINE_UP_SECONDS <= after <= ENGINE_DOWN_SECONDS


def _rebooted_since_armed(state: TargetState) -> bool:
    """A reboot explains both the stop and the lost events."""
    armed, host = state.armed, state.sight.host
    if armed is None or host is None or armed.boot_id is None or host.boot_id is None:
        return False
    return armed.boot_id != host.boot_id


def _restoring(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> Refused:
    allowed = approved(remedy, state)
    return (
        _unless(allowed, _second_oom(state))
        or _observing(state, policy, env)
        or _sight(state, policy, env)
        or _grace(state, policy, env, state.grace_until)
        or _second_read(state, policy)
        or _hazard(state, destructive=False)
        or _unless(allowed, _person(state))
        or _unless(allowed, _failed_starts(remedy, state))
        or _own_policy(state, policy)
        or _cooldown(remedy, state, env)
        or _budget(remedy, state, policy, env)
    )


def _second_read(state: TargetState, policy: Policy) -> Refused:
    if state.streak.cause in TWICE and confirmed(state, policy):
        return None
    return Refusal.GRACE, "one reading that it does not run is not enough; the next one follows"


def _second_oom(state: TargetState) -> Refused:
    """Time alone lifts it not: only somebody who starts it."""
    last = [at for _, at in state.ooms[-2:]]
    twice = len(last) > 1 and last[1] - last[0] < OOM_WINDOW_SECONDS
    if state.verdict.cause is Cause.CONTAINER_OOM and twice:
        return Refusal.HALTED, "killed for want of memory twice within an hour"
    return None


def _hazard(state: TargetState, *, destructive: bool) -> Refused:
    found = hazard(state, destructive=destructive)
    return (Refusal.VETO, found.what) if found is not None else None


def _failed_starts(remedy: Remedy, state: TargetState) -> Refused:
    container = state.sight.container
    if state.failed_starts >= FAILED_STARTS:
        return Refusal.FAILED_START, "three starts in a row failed"
    if remedy is Remedy.CREATE_CONTAINER and container is not None:
        if container.image_present is False:
            return Refusal.FAILED_START, "the image is not on the server"
        if container.volumes_present is False and state.armed is not None:
            return Refusal.FAILED_START, "a data volume of the lost container is gone"
    return None


def _own_policy(state: TargetState, policy: Policy) -> Refused:
    container = state.sight.container
    at_work = container is not None and container.own_policy_at_work
    if at_work and state.streak.observed_seconds < patience(policy):
        return Refusal.COOLDOWN, "the container engine's own restart policy is at work"
    return None


def patience(policy: Policy) -> float:
    """Awake-observed seconds that the engine's own restart policy is given."""
    return OWN_POLICY_INTERVALS * policy.suspect_interval


def _destructive(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> Refused:
    allowed = approved(remedy, state)
    return (
        _unless(allowed, _halted(remedy, state))
        or _unless(allowed, _all_halted(policy, env))
        or _observing(state, policy, env)
        or _confirmed_on_server(state, policy, env)
        or _grace(state, policy, env, max(state.grace_until, state.destructive_grace_until))
        or _unless(allowed, _unarmed(state, policy))
        or _long(state, policy)
        or _flapping(state)
        or _unless(allowed, _working(state, policy, env))
        or _hazard(state, destructive=True)
        or _cooldown(remedy, state, env)
        or _charged_lately(remedy, state, policy, env)
        or _budget(remedy, state, policy, env)
        or _unless(allowed, _asks(policy))
    )


def approved(remedy: Remedy, state: TargetState) -> bool:
    """Did a person allow this remedy, of this incident, for this generation?"""
    given, incident = state.approval, state.incident
    return (
        given is not None
        and incident is not None
        and (given.remedy, given.incident) == (remedy, incident.id)
        and not given.generation.differs(state.generation)
    )


def _unless(allowed: bool, found: Refused) -> Refused:
    """What a person's approval does not lift."""
    return None if allowed and found is not None and found[0] in APPROVABLE else found


def _all_halted(policy: Policy, env: Env) -> Refused:
    """The breaker over all targets: something common to them is wrong, and restarts do not mend it."""
    if env.fleet < max(FLEET_RESTARTS, policy.destructive_per_24h):
        return None
    return (
        Refusal.HALTED,
        f"{env.fleet} restarts of all targets together in 24 h: something else is wrong",
    )


def _flapping(state: TargetState) -> Refused:
    if not state.flaps.flapping:
        return None
    return Refusal.FLAPPING, "its health comes and goes, and nothing is ended before it is steady"


def _asks(policy: Policy) -> Refused:
    if policy.mode is not Mode.ASK:
        return None
    return Refusal.ASK, 'mode is "ask", so a person has to allow it'


def _halted(remedy: Remedy, state: TargetState) -> Refused:
    if state.restarts_unverified >= UNVERIFIED_RESTARTS:
        return Refusal.HALTED, "the last two restarts did not make it healthy"
    failed = state.incident.failed.count(remedy) if state.incident else 0
    if failed >= UNVERIFIED_RESTARTS:
        return Refusal.HALTED, "it failed twice in this incident"
    return None


def _confirmed_on_server(state: TargetState, policy: Policy, env: Env) -> Refused:
    """A silent tunnel alone never gets past this: the server itself must show the fault."""
    if state.verdict.served is not False:
        return (
            Refusal.NO_SIGHT,
            "only the tunnel shows the fault so far: on the server itself it was not seen",
        )
    if not server_seen(state, policy, env.run) or not seen_failing(state, env.run):
        return Refusal.NO_SIGHT, "the server was not read in the last 30 s"
    below = dict(state.verdict.layers)
    for layer in (Layer.NETWORK, Layer.SSH, Layer.HOST, Layer.CONTAINER):
        if below.get(layer) is not Outcome.OK:
            return Refusal.NO_SIGHT, f"whether its {layer.name.lower()} is sound is not known"
    return None


def _unarmed(state: TargetState, policy: Policy) -> Refused:
    known = state.armed
    if known is None or known.differs(state.generation):
        if state.incident is not None and any(
            HARM[one] is Harm.DESTRUCTIVE for one in state.incident.failed
        ):
            return Refusal.HALTED, "it was restarted already and has not been healthy since"
        return Refusal.UNARMED, new.unproved(state, policy)
    if known.container is None:
        return Refusal.UNARMED, "when it was healthy, this agent could not see which one it is"
    return None


def confirmation(state: TargetState, policy: Policy, harm: Harm) -> tuple[int, float]:
    """Failures and awake-observed seconds that a remedy of this class wants for the present cause."""
    cause = state.streak.cause
    if harm is not Harm.DESTRUCTIVE:
        if cause in TWICE:
            return 2, policy.read_gap
        return (1, 0.0) if cause in ONCE else (SHORT_FAILS, policy.short_seconds)
    if cause in ANSWERED:
        return ANSWERED_FAILS, policy.answered_seconds
    return LONG_FAILS, policy.hung_after


def _long(state: TargetState, policy: Policy) -> Refused:
    streak = state.streak
    fails, seconds = confirmation(state, policy, Harm.DESTRUCTIVE)
    if streak.fails >= fails and streak.observed_seconds >= seconds:
        return None
    looks = f" ({streak.fails} of {fails} looks)" if streak.fails < fails else ""
    if streak.observed_seconds >= seconds:  # long enough, by looks that lie far apart
        return (
            Refusal.GRACE,
            f"it was seen failing in {streak.fails} of the {fails} looks that are needed",
        )
    return Refusal.GRACE, (
        f"it was seen failing for {length(streak.observed_seconds)} of the "
        f"{length(seconds)} that are needed{looks}"
    )


def _charged_lately(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> Refused:
    """The cool-down by the charges, which survive a restart of the agent."""
    wait = policy.cooldown - min(ages(remedy, state, env), default=policy.cooldown)
    return (Refusal.COOLDOWN, f"restarted lately, again in {length(wait)}") if wait > 0 else None


def _working(state: TargetState, policy: Policy, env: Env) -> Refused:
    found = life.signs(state, policy, env.run)
    if found:
        moment = life.good_moment(state, env.run)
        held = found[0].rank is life.Rank.PRESENCE  # that time ends, and its sentence says so
        waits = "" if held else f": it waits until the work has ended{moment}"
        return Refusal.VETO, f"{found[0].what}{waits}"
    if missing := life.unread(state, policy, env.run):
        return Refusal.NO_SIGHT, missing
    if life.overdue(state, policy, env.run):
        return (
            Refusal.ASK,
            f"the training stands still ({life.standstill(state, env.run)}) though something of it "
            "may still run: a person decides",
        )
    return None


CHECKS: dict[Harm, Callable[[Remedy, TargetState, Policy, Env], Refused]] = {
    Harm.HARMLESS: _harmless,
    Harm.RESTORING: _restoring,
    Harm.DESTRUCTIVE: _destructive,
}
