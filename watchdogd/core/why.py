"""Why nothing was done, and what would have to happen: the decision, told instead of carried out.

It asks the same ``choose`` with the same state, so it cannot disagree with what is decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from watchdogd.core import life
from watchdogd.core.budget import ages, remaining, seconds_until_one
from watchdogd.core.choose import CHECKS, choose, confirmation
from watchdogd.core.life import Sign
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.operating import asked
from watchdogd.core.veto import hazard
from watchdogd.core.words import HARM, Harm, Phase, Refusal, Remedy

WAITING = frozenset({Refusal.COOLDOWN, Refusal.BUDGET, Refusal.GRACE})
"""What time alone ends."""
CHANGES: dict[Refusal, str] = {
    Refusal.VETO: "no sign of work and no hazard is left; then it is done",
    Refusal.BUDGET: "an earlier one is old enough not to count",
    Refusal.COOLDOWN: "its pause ends",
    Refusal.GRACE: "it is believed once it was seen often and long enough",
    Refusal.PAUSED: "the pause ends: watchdogd resume, or its own end; or PAUSE on the server goes",
    Refusal.OBSERVE: 'mode = "auto" in the configuration, and a journal that can be written',
    Refusal.ASK: "a person allows it: watchdogd approve",
    Refusal.NO_SIGHT: "what could not be read can be read again",
    Refusal.FLAPPING: "its health is steady for some minutes, good or bad",
    Refusal.HALTED: "a person lifts it: watchdogd reset, or allows it once: watchdogd approve",
    Refusal.OPERATOR: "whoever stopped it starts it; or allows it: watchdogd approve",
    Refusal.UNARMED: "this agent sees this runtime healthy once",
    Refusal.FAILED_START: "a person mends why it does not start, then: watchdogd reset",
}
"""What would change a refusal, for people."""
HEALABLE = frozenset(
    {Refusal.VETO, Refusal.BUDGET, Refusal.NO_SIGHT, Refusal.UNARMED, Refusal.FLAPPING}
)
"""What a person may overrule who knows better, whatever is lost by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One remedy for the present cause, and where it stands."""

    remedy: Remedy
    refusal: Refusal | None
    """``None``: it is the one that is done next, or now."""
    detail: str = ""
    change: str = ""
    budget: int | None = None
    """How often it may still run now; ``None``: it has no budget."""
    next_budget: float = 0.0
    """Seconds until age gives one back; 0 if one is left."""
    earliest: float | None = None
    """Seconds until it can be done, if nothing but time is missing and the fault stays; else ``None``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """All that the decision about a target rests on now."""

    fails: int
    needed_fails: int
    seconds: float
    """Awake-observed."""
    needed_seconds: float
    signs: tuple[Sign, ...]
    unread: str
    """Which sign of life could not be read; empty if "no sign" may be believed."""
    hazard: str
    rungs: tuple[Rung, ...]
    waits_for_person: Remedy | None
    following: str
    """The next action, in a sentence."""


def why(state: TargetState, policy: Policy, env: Env) -> Why:
    """What stands between the present state and the next remedy."""
    rungs = _rungs(state, policy, env)
    harm = max((HARM[one.remedy] for one in rungs), default=Harm.HARMLESS)
    fails, seconds = confirmation(state, policy, harm)
    return Why(
        fails=state.streak.fails,
        needed_fails=fails,
        seconds=state.streak.observed_seconds,
        needed_seconds=seconds,
        signs=life.signs(state, policy, env.run),
        unread=life.unread(state, policy, env.run),
        hazard=hazard(state, destructive=True),
        rungs=rungs,
        waits_for_person=asked(state),
        following=_following(state, rungs),
    )


def _rungs(state: TargetState, policy: Policy, env: Env) -> tuple[Rung, ...]:
    """The ladder as ``choose`` walks it: refused rungs, then the one that it takes."""
    if state.pause is not None or state.phase in (Phase.ACTING, Phase.VERIFYING):
        return ()
    choice = choose(state, policy, env)
    refused = tuple(
        _rung(remedy, (reason, detail), state, policy, env)
        for remedy, reason, detail in choice.refusals
    )
    if choice.remedy is None:
        return refused
    return (*refused, _rung(choice.remedy, None, state, policy, env))


def _rung(
    remedy: Remedy,
    refused: tuple[Refusal, str] | None,
    state: TargetState,
    policy: Policy,
    env: Env,
) -> Rung:
    return Rung(
        remedy=remedy,
        refusal=refused[0] if refused else None,
        detail=refused[1] if refused else "",
        change=_change(remedy, refused[0]) if refused else "",
        budget=remaining(remedy, state, policy, env),
        next_budget=seconds_until_one(remedy, state, policy, env),
        earliest=_earliest(remedy, state, policy, env) if refused else 0.0,
    )


def _change(remedy: Remedy, reason: Refusal) -> str:
    overruled = HARM[remedy] is not Harm.HARMLESS and reason in HEALABLE
    by_hand = f"; or, whatever is lost by it: watchdogd heal --remedy {remedy}" if overruled else ""
    return CHANGES[reason] + by_hand


def _earliest(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> float | None:
    """Seconds until every clock has run out; ``None`` if something else refuses it as well.

    All clocks are set forward, the streak too, as if the fault stayed and were seen at each round;
    whatever refuses it then is no matter of time.
    """
    fails, seconds = confirmation(state, policy, HARM[remedy])
    streak = state.streak
    waits = [
        0.0,
        state.grace_until - env.run,
        seconds - streak.observed_seconds,
        (fails - streak.fails) * policy.suspect_interval,
        seconds_until_one(remedy, state, policy, env),
        *(at - env.run for kind, at in state.not_before if kind is remedy),
    ]
    if HARM[remedy] is Harm.DESTRUCTIVE:
        waits.append(state.destructive_grace_until - env.run)
        waits.append(policy.cooldown - min(ages(remedy, state, env), default=policy.cooldown))
    wait = max(waits)
    long = replace(
        streak,
        fails=max(fails, streak.fails),
        observed_seconds=max(seconds, streak.observed_seconds),
        last_run=max(streak.last_run, streak.first_run + policy.read_gap),
    )
    later = replace(
        state,
        streak=long,
        grace_until=0.0,
        destructive_grace_until=0.0,
        not_before=(),
        charges=(),
        harmless=(),
    )
    left = CHECKS[HARM[remedy]](remedy, later, replace(policy, cooldown=0.0), env)
    return wait if left is None or left[0] in WAITING else None


def _following(state: TargetState, rungs: tuple[Rung, ...]) -> str:
    if state.pause is not None:
        return "nothing: the target is paused"
    if state.intent is not None:
        verb = "is proved" if state.phase is Phase.VERIFYING else "runs"
        return f"{state.intent.remedy} {verb} now"
    if state.verdict.cause is None:
        return "nothing: nothing is wrong" if state.verdict.usable else "the next round of probes"
    if state.phase is Phase.SUSPECT:
        return "more rounds of probes: the fault is not believed yet"
    ready = next((one.remedy for one in rungs if one.refusal is None), None)
    if ready is not None:
        return f"{ready}, now"
    timed = [(one.earliest, one.remedy) for one in rungs if one.earliest is not None]
    if timed:
        seconds, remedy = min(timed)
        return f"{remedy} in {_length(seconds)} at the earliest, if it stays like this"
    if rungs:
        return "nothing, until " + "; ".join(dict.fromkeys(one.change for one in rungs))
    held = "it works, and nothing that could interrupt it is worth the risk"
    return f"nothing: {held if state.verdict.usable else 'no remedy helps against this cause'}"


def _length(seconds: float) -> str:
    whole = int(max(0.0, seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
