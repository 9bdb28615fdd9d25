"""One remedy on the ladder of the present cause, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace

from watchdogd.core.budget import ages, limits, remaining, seconds_until_one
from watchdogd.core.choose import CHECKS, choose, confirmation
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.veto import hazard
from watchdogd.core.words import HARM, Harm, Phase, Refusal, Remedy

WAITING = frozenset({Refusal.COOLDOWN, Refusal.BUDGET, Refusal.GRACE})
"""What time alone ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """Nothing here is decided: it is what ``choose`` says, and what it would say later."""

    remedy: Remedy
    refusal: Refusal | None
    """``None``: it is the one that is done next, or now."""
    detail: str = ""
    after: tuple[Refusal, str] | None = None
    """What would still refuse it once every clock has run out, if that is another reason."""
    budget: int | None = None
    """How often it may still run now; ``None``: it has no budget."""
    window: tuple[int, float] | None = None
    """The window of its budget that is the tightest now: so often in so many seconds."""
    next_budget: float = 0.0
    """Seconds until age gives one back; 0 if one is left."""
    wait: float = 0.0
    """Seconds until every clock that holds it back has run out."""
    hazard: bool = False
    """What refuses it then is a hazard, not work."""
    earliest: float | None = None
    """Seconds until it can be done, if nothing but time is missing and the fault stays; else ``None``."""


def rungs(state: TargetState, policy: Policy, env: Env) -> tuple[Rung, ...]:
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
    wait, left = _later(remedy, state, policy, env)
    timeless = left is not None and left[0] not in WAITING
    return Rung(
        remedy=remedy,
        refusal=refused[0] if refused else None,
        detail=refused[1] if refused else "",
        after=left if refused and timeless and left and left[0] is not refused[0] else None,
        budget=remaining(remedy, state, policy, env),
        window=_window(remedy, state, policy, env),
        next_budget=seconds_until_one(remedy, state, policy, env),
        wait=wait if refused else 0.0,
        hazard=left is not None and left[1] == hazard(state, destructive=ends_work(remedy)),
        earliest=0.0 if refused is None else None if timeless else wait,
    )


def ends_work(remedy: Remedy) -> bool:
    """Can it end what runs?"""
    return HARM[remedy] is Harm.DESTRUCTIVE


def _window(
    remedy: Remedy, state: TargetState, policy: Policy, env: Env
) -> tuple[int, float] | None:
    spent = ages(remedy, state, env)
    windows = limits(remedy, policy)
    return min(
        windows, key=lambda one: one[0] - sum(1 for age in spent if age < one[1]), default=None
    )


def _later(
    remedy: Remedy, state: TargetState, policy: Policy, env: Env
) -> tuple[float, tuple[Refusal, str] | None]:
    """Seconds until every clock has run out, and what refuses the remedy then.

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
    if ends_work(remedy):
        waits.append(state.destructive_grace_until - env.run)
        waits.append(policy.cooldown - min(ages(remedy, state, env), default=policy.cooldown))
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
    return max(waits), CHECKS[HARM[remedy]](remedy, later, replace(policy, cooldown=0.0), env)
