"""The answer to "why have you not repaired it?", in sentences: why not now, what comes by itself, and
what a person can do. Made of what ``why`` found, so it says nothing that is not decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watchdogd.core.choose import APPROVABLE
from watchdogd.core.lengths import length
from watchdogd.core.model import Pause, Policy, TargetState
from watchdogd.core.rung import Rung, ends_work
from watchdogd.core.words import HARM, Cause, Harm, Mode, Phase, Refusal, Remedy

ONCE: dict[Refusal, str] = {
    Refusal.VETO: "no sign of work is left",
    Refusal.NO_SIGHT: "that can be read and speaks for it",
    Refusal.FLAPPING: "its health was steady for some minutes, good or bad",
    Refusal.UNARMED: "this agent has seen this very runtime healthy",
    Refusal.PAUSED: "~/.watchdogd/PAUSE is gone from the server",
    Refusal.BUDGET: "an earlier one is old enough not to count",
    Refusal.COOLDOWN: "its pause is over",
    Refusal.GRACE: "the fault was seen often and long enough",
}
"""When what holds a remedy back ends without a person: "yes, once ..."."""
NEVER: dict[Refusal, str] = {
    Refusal.OBSERVE: 'mode is "observe"',
    Refusal.ASK: "it waits for a person's word",
    Refusal.OPERATOR: "what a person ended, a person starts",
    Refusal.HALTED: "a person has to look first",
    Refusal.FAILED_START: "a person has to mend the reason first",
}
"""Why it never ends without a person."""
NOTHING = "nothing to do"
YOURS: dict[Refusal, str] = {
    Refusal.VETO: "if you know that nothing there is worth keeping, do it yourself",
    Refusal.NO_SIGHT: "look on the server why that cannot be read",
    Refusal.UNARMED: "decide whether it is worth keeping",
    Refusal.PAUSED: "remove that file if you may",
    Refusal.BUDGET: "look at the server before: so far it did not help for long",
    Refusal.OBSERVE: 'set mode = "auto" for this target in the configuration',
    Refusal.ASK: "allow it or not",
    Refusal.OPERATOR: "start it yourself, or allow it",
    Refusal.HALTED: "find and mend the reason",
    Refusal.FAILED_START: "mend the reason",
}
"""What is a person's part, where there is one."""
RESETTABLE = frozenset({Refusal.HALTED, Refusal.FAILED_START})


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What a person can do: one verb of this program."""

    does: str
    verb: str
    remedy: Remedy | None = None


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
    state: TargetState, policy: Policy, rungs: Sequence[Rung], *, working: bool, unread: bool
) -> Answer:
    """``rungs``: where each remedy for the present cause stands, as ``why`` found it; ``working``: a
    sign of work was seen; ``unread``: one could not be read."""
    if state.intent is not None:
        return _at_work(state, state.intent.remedy)
    if state.pause is not None:
        return _paused(state.pause)
    if state.verdict.cause is None:
        fine = "nothing is wrong" if state.verdict.usable else "the next round of probes is awaited"
        return Answer(says=fine)
    if not rungs:
        return _no_remedy(state)
    rung = main(rungs)
    if rung.refusal is None and state.phase is not Phase.SUSPECT:
        return Answer(says=f"{rung.remedy} is what is done now", remedy=rung.remedy)
    return _held(rung, state, policy, _lost(rung.remedy, working=working, unread=unread))


def main(rungs: Sequence[Rung]) -> Rung:
    """The one to tell of: what is done now, else what comes first, else the strongest."""
    ready = [one for one in rungs if one.refusal is None]
    timed = [one for one in rungs if one.earliest is not None]
    return ready[0] if ready else min(timed, key=lambda one: one.earliest or 0.0, default=rungs[-1])


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


def _paused(pause: Pause) -> Answer:
    ends = "the pause ends by itself" if pause.until_wall is not None else "the pause has no end"
    return Answer(
        says="the target is paused by a person, so nothing is repaired",
        then=f"{ends}; after it all is counted and judged anew",
        yours="ask who paused it, or end the pause",
        ways=(Way(does="ends the pause now", verb="resume"),),
    )


def _no_remedy(state: TargetState) -> Answer:
    if state.verdict.usable:
        return Answer(says="it works, and nothing that could interrupt it is worth the risk")
    if state.phase is Phase.SUSPECT:
        return Answer(says="the fault is not believed before it was seen again", yours=NOTHING)
    mend = "it has to be mended by a person" if state.verdict.mend else "nothing that is known"
    return Answer(
        says="no remedy of this agent helps against this cause",
        then="only looked at again and again; all goes on once the cause is gone",
        yours=mend,
    )


def _held(rung: Rung, state: TargetState, policy: Policy, lost: str) -> Answer:
    detail = rung.detail or "the fault is not believed before it was seen again"
    reason = rung.refusal or Refusal.GRACE
    if rung.after is not None:
        detail, reason = f"{rung.after[1]}; besides, {detail}", rung.after[0]
    return Answer(
        says=f"{rung.remedy} is held back: {detail} [{reason}]",
        then=_then(rung, reason, state, policy),
        yours=_yours(rung, reason, state, policy),
        ways=_ways(rung, reason, lost),
        remedy=rung.remedy,
    )


def _then(rung: Rung, reason: Refusal, state: TargetState, policy: Policy) -> str:
    """Every condition that is not met now."""
    if rung.earliest is not None:
        alive = " and no sign of work appears" if ends_work(rung.remedy) else ""
        wait = f"in {length(rung.earliest)} at the earliest" if rung.earliest >= 1 else "at once"
        return f"yes, {wait}, if the fault stays{alive}"
    once = _once(rung, reason, state, policy)
    if not once:
        return f"never: {NEVER[reason]}"
    least = f" not before {length(rung.wait)} from now," if rung.wait >= 1 else ""
    return f"yes,{least} once {once}, however long that takes"


def _once(rung: Rung, reason: Refusal, state: TargetState, policy: Policy) -> str:
    if reason is Refusal.HALTED and state.dialing.stopped_by is Cause.HOST_KEY:
        return "known_hosts or the configuration changes"
    if reason is Refusal.OBSERVE and policy.mode is not Mode.OBSERVE:
        lives = "the agent has lived for 10 minutes"
        return lives if state.journal_ok else "the journal can be written again"
    if reason is Refusal.VETO and rung.hazard:
        return "that is over"
    return ONCE.get(reason, "")


def _yours(rung: Rung, reason: Refusal, state: TargetState, policy: Policy) -> str:
    if reason is Refusal.OBSERVE and policy.mode is not Mode.OBSERVE:
        log = "read in the agent's log why it crashed"
        return log if state.journal_ok else "look at the disk under the agent's state folder"
    if reason is Refusal.VETO and rung.hazard:
        return "see to it on the server"
    if reason is Refusal.HALTED and state.dialing.stopped_by is Cause.HOST_KEY:
        return "compare the host key with what the server's owner says"
    return YOURS.get(reason, NOTHING)


def _lost(remedy: Remedy, *, working: bool, unread: bool) -> str:
    """What a person who orders it must know."""
    if not ends_work(remedy):
        return ""
    if working:
        return ", and ENDS the work that was seen"
    return (
        ", and may end work that could not be seen" if unread else "; no work was seen that it ends"
    )


def _ways(rung: Rung, reason: Refusal, lost: str) -> tuple[Way, ...]:
    """Only what is of use now: each lifts what holds the remedy back."""
    if HARM[rung.remedy] is Harm.HARMLESS:
        return ()
    found = []
    if rung.refusal in APPROVABLE:
        does = "allows it once; holds for 30 min, and a sign of work still holds it back"
        found.append(Way(does=does, verb="approve"))
    if reason in RESETTABLE:
        found.append(Way(does="once the reason is mended", verb="reset"))
    if not found:
        does = f"does it now, against all of the above{lost}; asks first"
        found.append(Way(does=does, verb="heal", remedy=rung.remedy))
    return tuple(found)
