"""The answer to "why have you not repaired it?", in sentences: why not now, what comes by itself, and
what a person can do. Made of what ``why`` found, so it says nothing that is not decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watchdogd.core.dialing import AUTH_REST_SECONDS
from watchdogd.core.holds import COST, NOTHING, asks_besides, by_itself, ends_by_itself, yours
from watchdogd.core.lengths import length
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.operating import pause_left
from watchdogd.core.rung import Rung, ends_work
from watchdogd.core.unaided import unaided
from watchdogd.core.ways import PAUSE, Way, Work, anew, resume, ways
from watchdogd.core.words import Cause, Phase, Refusal, Remedy

KEY = "have the server accept this laptop's key, or name another in ssh.identity_file"
WORTH_A_COMMAND_SECONDS = 10.0
"""Sooner than a person types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Three things a person wants to know; sentences without their first capital and full stop."""

    says: str
    """Why nothing is done now, or what is being done."""
    then: str = ""
    """What comes by itself, and when; empty if there is nothing to wait for."""
    yours: str = ""
    """What a person should do."""
    ways: tuple[Way, ...] = ()
    remedy: Remedy | None = None
    """The one that is told of, of those on the ladder."""


def answer(
    state: TargetState, policy: Policy, env: Env, rungs: Sequence[Rung], work: Work
) -> Answer:
    """``rungs``: where each remedy for the present cause stands, and ``work``: what is known of work in
    the runtime, both as ``why`` found them."""
    if state.intent is not None:
        return _at_work(state, state.intent.remedy)
    if state.pause is not None:
        return _paused(state, policy, env)
    if state.verdict.cause is None:
        return _dials(state, env) if _dialed_by_itself(state) else _no_cause(state)
    if not rungs:
        return _no_remedy(state)
    rung = main(rungs)
    if rung.refusal is None and state.phase is not Phase.SUSPECT:
        return _next(rung, policy)
    if rung.remedy is Remedy.RECONNECT and _dialed_by_itself(state):
        return _dials(state, env)
    if rung.remedy is Remedy.RECONNECT and state.dialing.stopped_by is Cause.AUTH:
        return _refused(rung, state, env)
    return _held(rung, state, policy, work)


def main(rungs: Sequence[Rung]) -> Rung:
    """The one to tell of: what is done now, else what comes first, else the strongest."""
    ready = [one for one in rungs if one.refusal is None]
    timed = [one for one in rungs if one.earliest is not None]
    return ready[0] if ready else min(timed, key=lambda one: one.earliest or 0.0, default=rungs[-1])


def _no_cause(state: TargetState) -> Answer:
    if state.verdict.usable:
        return Answer(says="nothing is wrong", then="nothing has to come", yours=NOTHING)
    says = "the next round of probes is awaited"
    return Answer(says=says, then="yes, it is judged after that round", yours=NOTHING)


def _next(rung: Rung, policy: Policy) -> Answer:
    """Nothing holds it back."""
    soon = length(policy.suspect_interval + policy.timeout)
    comes = ends_work(rung.remedy)
    unless = ", if the fault stays and no sign of work appears" if comes else ", if the fault stays"
    return Answer(
        says=f"nothing holds {rung.remedy} back; it is next",
        then=f"yes, at the next look, within about {soon}{unless}",
        yours=f"{NOTHING}; {COST}" if comes else NOTHING,
        ways=(PAUSE,) if comes else (),
        remedy=rung.remedy,
    )


def _dialed_by_itself(state: TargetState) -> bool:
    known = state.dialing
    return known.stopped_by is None and (known.up is None or known.silent)


def _refused(rung: Rung, state: TargetState, env: Env) -> Answer:
    """Only a person can mend it; the dials go on, rarely, to find that out."""
    known = state.dialing
    why, wait = (
        known.failure_detail or "the key was refused",
        length(max(0.0, known.next_at - env.run)),
    )
    return Answer(
        says=f"there is no SSH link ({why}); the next dial is in {wait}",
        then=f"not before a key is accepted: it is tried again in {wait}, and after three refusals every "
        f"{length(AUTH_REST_SECONDS)}; at once if its file here changes",
        yours=f"{'mend that as told here' if known.failure_mend else KEY}; then have it dialed at once",
        ways=(Way(does="dials now, and ends nothing", verb="heal", remedy=rung.remedy),),
        remedy=rung.remedy,
    )


def _dials(state: TargetState, env: Env) -> Answer:
    """No link, and no person is needed for the next dial: its time is the dial's own, not the remedy's."""
    known, wait = state.dialing, state.dialing.next_at - env.run
    why = (
        known.failure_detail or known.failure or known.lost_cause
    )  # none before the first dial has ended
    tries = f", after {known.attempt} in vain" if known.attempt > 1 else ""
    due = known.dialing is None and wait >= 1
    soon = f"the next dial is in {length(wait)}" if due else "it is being dialed"
    link = "the SSH link is silent" if known.up is not None else "there is no SSH link"
    lasts = f"{NOTHING} now; if it lasts, see to what it says" if known.failure_detail else NOTHING
    offered = (
        due and wait >= WORTH_A_COMMAND_SECONDS and known.failure is not Cause.SSHD_REJECTS
    )  # whoever closes the door counts who knocks
    now = Way(does="dials now", verb="heal", remedy=Remedy.RECONNECT)
    return Answer(
        says=f"{link}{f' ({why})' if why else ''}; {soon}{tries}",
        then="yes: it is dialed again and again, until the server lets it in",
        yours=lasts,
        ways=(now,) if offered else (),
        remedy=Remedy.RECONNECT,
    )


def _at_work(state: TargetState, remedy: Remedy) -> Answer:
    if state.phase is Phase.VERIFYING:
        return Answer(
            says=f"{remedy} was done, and whether it helped is being looked at",
            then="if it did not, the next remedy is chosen",
            yours=NOTHING,
        )
    return Answer(
        says=f"{remedy} is being done now", then="its effect is proved after it", yours=NOTHING
    )


def _paused(state: TargetState, policy: Policy, env: Env) -> Answer:
    left = pause_left(state, env)
    ends = state.pause is not None and state.pause.until_wall is not None
    then = f"yes: the pause ends in {length(left)}; {anew(state, policy)}" if ends else ""
    return Answer(
        says="the target is paused by a person: nothing but its own SSH connection is repaired",
        then=then or "never, until somebody resumes it: the pause has no end",
        yours=f"ask {_who(state)}, or end the pause",
        ways=(resume(state, policy),),
    )


def _who(state: TargetState) -> str:
    named = state.pause.actor if state.pause is not None else ""
    return f"{named}, who paused it" if named else "who paused it"


def _no_remedy(state: TargetState) -> Answer:
    verdict = state.verdict
    if verdict.usable:
        says = "it works, and nothing that could interrupt it is worth the risk"
        return Answer(says=says, then="never, while it works", yours=NOTHING)
    if state.phase is Phase.SUSPECT:
        says = "the fault is not believed before it was seen again"
        return Answer(says=says, then="yes, it is judged at the next look", yours=NOTHING)
    told = unaided(verdict.cause, verdict.detail, verdict.mend)
    return Answer(says=told.says, then=told.then, yours=told.yours)


def _held(rung: Rung, state: TargetState, policy: Policy, work: Work) -> Answer:
    detail = rung.detail or "the fault is not believed before it was seen again"
    reason = rung.refusal or Refusal.GRACE
    if rung.after is not None:
        detail, reason = f"{rung.after[1]}; besides, {detail}", rung.after[0]
    if asks_besides(rung, reason):
        detail = f'{detail}; and mode is "ask"'
    comes = ends_by_itself(rung, reason, state, policy, work.signs)
    return Answer(
        says=f"{rung.remedy} is held back: {detail}",
        then=by_itself(rung, reason, state, policy, work.signs),
        yours=yours(rung, reason, state, policy, work, comes=comes),
        ways=ways(rung, reason, state, policy, work, comes=comes),
        remedy=rung.remedy,
    )
