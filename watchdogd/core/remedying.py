"""From a confirmed cause to a remedy, and from its result back to a judgement."""

from __future__ import annotations

from dataclasses import replace

from watchdogd.core import resuming
from watchdogd.core.backoff import doubling
from watchdogd.core.budget import HOUR, kept
from watchdogd.core.choose import approved, choose
from watchdogd.core.commands import (
    Apply,
    RemedyEnded,
    RemedyIntended,
    RemedyRefused,
    RemedyVerified,
)
from watchdogd.core.events import RemedyFinished
from watchdogd.core.ladders import STARTS, ladder
from watchdogd.core.model import (
    Charge,
    Incident,
    Intent,
    Policy,
    TargetState,
)
from watchdogd.core.turn import Turn
from watchdogd.core.words import HARM, WAITING, Harm, Layer, Phase, Refusal, Remedy, Result

ACT_SECONDS: dict[Remedy, float] = {
    Remedy.RECONNECT: 35.0,
    Remedy.REOPEN_FORWARD: 15.0,
    Remedy.REFRESH_TOKEN: 20.0,
    Remedy.OPEN_SESSION: 15.0,
    Remedy.START_CONTAINER: 60.0,
    Remedy.CREATE_CONTAINER: 60.0,
    Remedy.START_SESSION: 30.0,
    Remedy.RESTART_CONTAINER: 180.0,
    Remedy.RESTART_SESSION: 60.0,
}
"""How long a remedy may take before its result counts as unknown; its own proof is in it."""
LATELY = 600.0
"""Seconds: so long a harmless remedy makes the pause before the next of its kind longer."""
HOLD_SECONDS = 60.0
"""After a last look that held the remedy back: it is not knocked at again before so long."""
LATE_SECONDS = 5.0
"""The shell answers at its deadline; the core gives up on the answer a little later."""
HOLDS = frozenset({Refusal.VETO, Refusal.PAUSED, Refusal.BUDGET, Refusal.OPERATOR, Refusal.OBSERVE})
"""Reasons of the last look that leave the verdict standing: the target waits, nothing is forgotten."""
PAUSES: dict[Remedy, tuple[float, float]] = {
    Remedy.RECONNECT: (1.0, 60.0),
    Remedy.REOPEN_FORWARD: (1.0, 60.0),
    Remedy.REFRESH_TOKEN: (60.0, 60.0),
    Remedy.OPEN_SESSION: (60.0, 60.0),
    Remedy.START_CONTAINER: (10.0, 300.0),
    Remedy.START_SESSION: (10.0, 300.0),
    Remedy.CREATE_CONTAINER: (1800.0, 1800.0),
}
"""Base and cap, in seconds, of the doubling pause between two applications."""


def redial_is_remedy(state: TargetState, policy: Policy) -> bool:
    """While ``reconnect`` is what a confirmed cause asks for, dials are made by it alone."""
    if state.intent is not None and state.intent.remedy is Remedy.RECONNECT:
        return state.phase is Phase.ACTING
    return state.phase in WAITING and Remedy.RECONNECT in ladder(state, policy)


def decide(turn: Turn, *, republish_after: float) -> None:
    """In ``confirmed`` and ``held``: apply the first allowed rung, or tell why none is."""
    state = turn.state
    if state.phase not in WAITING or state.incident is None or state.pause is not None:
        return
    choice = choose(state, turn.policy, turn.env)
    _tell_refusals(turn, choice.refusals, republish_after)
    if choice.remedy is None:
        turn.enter(Phase.HELD)
        return
    apply(turn, choice.remedy)


def _tell_refusals(
    turn: Turn, refusals: tuple[tuple[Remedy, Refusal, str], ...], republish_after: float
) -> None:
    table = tuple((remedy, reason) for remedy, reason, _ in refusals)
    state, now = turn.state, turn.env.run
    stale = now - state.refusals_published >= republish_after
    if table == state.refusals and not stale:
        return
    for remedy, reason, detail in refusals:
        if stale or (remedy, reason) not in state.refusals:
            turn.tell(RemedyRefused(remedy=remedy, reason=reason, detail=detail))
    turn.change(refusals=table, refusals_published=now)


def apply(turn: Turn, remedy: Remedy, *, ordered: bool = False) -> None:
    """Begin a remedy: intent and charge first. ``ordered``: by a person, with or without an incident."""
    state, env = turn.state, turn.env
    incident = state.incident
    name = incident.id if incident is not None else f"operator-{int(env.wall * 1000):x}"
    charged = HARM[remedy] is not Harm.HARMLESS
    intent = Intent(
        key=f"{name}:{incident.attempts if incident is not None else 0}:{remedy}",
        remedy=remedy,
        incident=name,
        cause=incident.cause if incident is not None else state.verdict.cause,
        generation=state.generation,
        decided=env.run,
        deadline_seconds=ACT_SECONDS[remedy],
        ordered=ordered,
        approved=approved(remedy, state),
        charged=charged,
        seen=state.sight.host if HARM[remedy] is Harm.DESTRUCTIVE else None,
    )
    charge = Charge(
        remedy=remedy, key=intent.key, wall=env.wall, boot=env.boot, boot_id=env.boot_id
    )
    turn.change(
        intent=intent,
        done=False,
        verify_until=env.run + ACT_SECONDS[remedy] + LATE_SECONDS,
        charges=(*kept(state.charges, env), charge) if charged else state.charges,
        harmless=state.harmless if charged else (*_last_hour(state, env.run), (remedy, env.run)),
        incident=None if incident is None else _tried(incident, remedy),
        approval=None if intent.approved else state.approval,
        last_look=None,
    )
    if HARM[remedy] is Harm.DESTRUCTIVE:
        turn.change(restarts_unverified=state.restarts_unverified + 1)
    resuming.repairing(turn, intent)
    _pause(turn, remedy)
    turn.enter(Phase.ACTING)
    turn.tell(RemedyIntended(intent=intent))
    turn.emit(Apply(intent=intent))


def _tried(incident: Incident, remedy: Remedy) -> Incident:
    listed = incident.remedies[-1:] == (remedy,)
    return replace(
        incident,
        attempts=incident.attempts + 1,
        remedies=incident.remedies if listed else (*incident.remedies[-31:], remedy),
    )


def finished(turn: Turn, event: RemedyFinished) -> None:
    """The one answer to the remedy in flight; any other is late, and only the world tells."""
    state, env, intent = turn.state, turn.env, turn.state.intent
    if state.phase is not Phase.ACTING or intent is None or event.key != intent.key:
        return
    turn.tell(
        RemedyEnded(
            intent=intent,
            result=event.result,
            seconds=env.run - intent.decided,
            detail=event.detail,
            mend=event.mend,
        )
    )
    turn.change(ignore_before=env.run)
    turn.look_again(0)
    if event.result is Result.NOTHING:
        _nothing_done(turn, intent, event)
    elif event.result is Result.FAILED:
        turn.forget_streak()
        _failed(turn, intent)
    else:
        turn.forget_streak()
        turn.change(
            done=event.result is Result.DONE,
            verify_until=env.run + proof_seconds(intent.remedy, turn.policy),
        )
        if intent.charged:
            resuming.acted(turn)
        turn.enter(Phase.VERIFYING)


def proof_seconds(remedy: Remedy, policy: Policy) -> float:
    """How long health may take to show: the start grace for what boots, else 30 s by default."""
    if HARM[remedy] is Harm.HARMLESS:
        return 6 * policy.suspect_interval
    return max(policy.start_grace, 6 * policy.suspect_interval)


def _nothing_done(turn: Turn, intent: Intent, event: RemedyFinished) -> None:
    """The last look forbade it: the charge is given back, what was believed is dropped."""
    state = turn.state
    restarts = state.restarts_unverified
    turn.change(
        charges=tuple(one for one in state.charges if one.key != intent.key),
        intent=None,
        restarts_unverified=restarts - 1 if HARM[intent.remedy] is Harm.DESTRUCTIVE else restarts,
    )
    resuming.called_off(turn, intent)
    if event.reason in HOLDS:
        _pause(turn, intent.remedy, least=HOLD_SECONDS)
        others = tuple(one for one in state.refusals if one[0] is not intent.remedy)
        turn.change(
            last_look=(intent.remedy, event.reason, event.detail),
            refusals=(*others, (intent.remedy, event.reason)),
        )
        turn.enter(Phase.HELD)
        turn.tell(RemedyRefused(remedy=intent.remedy, reason=event.reason, detail=event.detail))
        return
    turn.forget_streak()
    turn.enter(Phase.BLIND)


def _failed(turn: Turn, intent: Intent) -> None:
    state, incident = turn.state, turn.state.incident
    if incident is not None and intent.charged:
        turn.change(incident=replace(incident, failed=(*incident.failed[-31:], intent.remedy)))
    if intent.remedy in STARTS:
        turn.change(failed_starts=state.failed_starts + 1)
    if intent.charged:
        resuming.unproved(turn)
    turn.change(intent=None, done=False)
    _pause(turn, intent.remedy)
    turn.enter(Phase.HELD)


def _last_hour(state: TargetState, now: float) -> tuple[tuple[Remedy, float], ...]:
    """The harmless remedies that still count in some budget or pause."""
    return tuple(one for one in state.harmless if now - one[1] < HOUR)[-255:]


def _pause(turn: Turn, remedy: Remedy, least: float = 0.0) -> None:
    """Not again before: doubling with the failures in this incident, or, where that is not kept, with
    the applications of the last ten minutes."""
    state, policy, now = turn.state, turn.policy, turn.env.run
    base, cap = _bounds(remedy, policy)
    failures = state.incident.failed.count(remedy) if state.incident else 0
    if HARM[remedy] is Harm.HARMLESS:
        failures = sum(one is remedy and now - at < LATELY for one, at in state.harmless)
    wait = doubling(max(0, failures - 1), base=base, cap=cap)
    if HARM[remedy] is Harm.HARMLESS and state.flaps.flapping:
        wait = cap
    others = tuple((kind, at) for kind, at in state.not_before if kind is not remedy)
    turn.change(not_before=(*others, (remedy, now + max(wait, least))))


def _bounds(remedy: Remedy, policy: Policy) -> tuple[float, float]:
    return PAUSES.get(remedy, (policy.cooldown, policy.cooldown))


def pause_seconds(remedy: Remedy, policy: Policy) -> float:
    """Least time between two applications of a remedy of which none failed."""
    return _bounds(remedy, policy)[0]


def expire(turn: Turn) -> None:
    """Deadlines of a remedy and of its proof."""
    state, env, intent = turn.state, turn.env, turn.state.intent
    if state.not_before and min([at for _, at in state.not_before]) <= env.run:
        turn.change(not_before=tuple(one for one in state.not_before if one[1] > env.run))
    if intent is None or env.run < state.verify_until:
        return
    if state.phase is Phase.ACTING:
        finished(turn, RemedyFinished(key=intent.key, result=Result.UNKNOWN, detail="no answer"))
    elif state.phase is Phase.VERIFYING and intent.charged and no_way(state):
        # What the laptop could not look at is neither proved nor failed.
        turn.change(intent=None, done=False)
        turn.enter(Phase.BLIND)
    elif state.phase is Phase.VERIFYING:
        turn.tell(RemedyVerified(intent=intent, healthy=False))
        _failed(turn, intent)


def no_way(state: TargetState) -> bool:
    """The server is out of sight: the laptop's network or the link fails."""
    return state.verdict.layer in (Layer.NETWORK, Layer.SSH)
