"""One remedy on the ladder of the present cause, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace

from watchdogd.core import life
from watchdogd.core.budget import ages, limits, remaining, seconds_until_one
from watchdogd.core.choose import CHECKS, Refused, approved, choose, confirmation, patience
from watchdogd.core.dialing import NEVER
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.veto import SETTLED_UPTIME_SECONDS, Hazard, hazard, without_hazards
from watchdogd.core.words import HARM, Cause, Harm, Mode, Phase, Refusal, Remedy

_AFRESH = "a while to judge afresh"
WAITING = frozenset({Refusal.COOLDOWN, Refusal.BUDGET, Refusal.GRACE})
"""What time alone ends."""
STEADY_PACE_FAILS = 3
"""So many looks tell how long one takes; the first two follow each other without a rest."""


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
    clock: str = ""
    """The one that runs longest, for people."""
    held_memory: bool = False
    """No sign of work is left but memory of a GPU that is held, which time ends."""
    hazard: Hazard | None = None
    """What refuses it once the clocks have run out, if that is a hazard and not work."""
    unread: bool = False
    """What refuses it then is that work could not be told from none."""
    beyond: tuple[Refusal, str] | None = None
    """What would refuse it then, were there no work and no hazard."""
    afresh: tuple[Refusal, str] | None = None
    """What would refuse it then, had somebody reset the target."""
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
    patient, check = replace(policy, cooldown=0.0), CHECKS[HARM[remedy]]
    clocks, later = _clocks(remedy, state, policy, env), _once_clocks_ran_out(remedy, state, policy)
    longest = max(clocks, key=lambda name: clocks[name])
    wait = clocks[longest]
    left = check(remedy, later, patient, env)
    timeless = left is not None and left[0] not in WAITING
    found = hazard(later, destructive=ends_work(remedy))
    return Rung(
        remedy=remedy,
        refusal=refused[0] if refused else None,
        detail=refused[1] if refused else "",
        after=left if refused and timeless and left and left[0] is not refused[0] else None,
        budget=remaining(remedy, state, policy, env),
        window=_window(remedy, state, policy, env),
        next_budget=seconds_until_one(remedy, state, policy, env),
        wait=wait if refused else 0.0,
        clock=longest,
        held_memory=_held_memory(state, policy, env),
        hazard=found if found is not None and left == (Refusal.VETO, found.what) else None,
        unread=left == (Refusal.NO_SIGHT, life.unread(later, policy, env.run)),
        beyond=_beyond(remedy, later, patient, env) if timeless else None,
        afresh=check(remedy, _reset(later), patient, env) if timeless else None,
        earliest=0.0 if refused is None else None if timeless else wait,
    )


def needed_seconds(state: TargetState, policy: Policy, remedy: Remedy) -> float:
    """How long the present cause must be seen, from the first look on, before this is done."""
    counted = replace(state, streak=replace(state.streak, cause=state.verdict.cause))
    fails, seconds = confirmation(counted, policy, HARM[remedy])
    return max(seconds, fails * _look_seconds(counted, policy))


def _look_seconds(state: TargetState, policy: Policy) -> float:
    """From one look to the next. At what hangs each takes its timeout, and longer if it was so just now."""
    streak = state.streak
    hangs = streak.cause is Cause.RUNTIME_HUNG
    told = policy.suspect_interval + (policy.timeout if hangs else 0.0)
    if streak.fails < STEADY_PACE_FAILS:
        return told
    return max(told, (streak.last_run - streak.first_run) / (streak.fails - 1))


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


def _clocks(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> dict[str, float]:
    """Everything that time alone ends, and the seconds until it has run out; at least one is not below 0."""
    fails, seconds = confirmation(state, policy, HARM[remedy])
    streak, run = state.streak, env.run
    paused = [at - run for kind, at in state.not_before if kind is remedy]
    waits = {
        "": 0.0,
        "until it was seen failing long enough": max(
            seconds - streak.observed_seconds,
            (fails - streak.fails) * _look_seconds(state, policy),
        ),
        "its limit": seconds_until_one(remedy, state, policy, env),
        "the pause after the last one": max(paused, default=0.0),
    }
    if HARM[remedy] is not Harm.HARMLESS:
        waits[_AFRESH] = state.grace_until - run
        waits["the first minutes of the server"] = _boot_left(state, env)
    if ends_work(remedy):
        waits["the first minutes of what was started"] = state.destructive_grace_until - run
        youngest = min(ages(remedy, state, env), default=policy.cooldown)
        waits["the cool-down between two"] = policy.cooldown - youngest
        if _held_memory(state, policy, env):
            waits["the memory of a GPU that is held"] = (
                life.PRESENCE_SECONDS - state.life.quiet.seconds
            )
    elif state.sight.container is not None and state.sight.container.own_policy_at_work:
        waits["the engine's own restart policy"] = patience(policy) - streak.observed_seconds
    if remedy is Remedy.RECONNECT and state.dialing.next_at < NEVER:
        waits["the pause between two dials"] = state.dialing.next_at - run
    return waits


def _held_memory(state: TargetState, policy: Policy, env: Env) -> bool:
    """Is memory of a GPU that is held the only sign of work? An hour of silence ends it."""
    return [one.rank for one in life.signs(state, policy, env.run)] == [life.Rank.PRESENCE]


def _boot_left(state: TargetState, env: Env) -> float:
    """Seconds until the server is settled after its boot."""
    host = state.sight.host
    if host is None or host.uptime_seconds is None:
        return 0.0
    return SETTLED_UPTIME_SECONDS - host.uptime_seconds - (env.run - host.read_at)


def _once_clocks_ran_out(remedy: Remedy, state: TargetState, policy: Policy) -> TargetState:
    """All clocks set forward, the streak too, as if the fault stayed and were seen at each round;
    whatever refuses the remedy then is no matter of time."""
    fails, seconds = confirmation(state, policy, HARM[remedy])
    streak, host, quiet = state.streak, state.sight.host, state.life.quiet
    if host is not None and host.uptime_seconds is not None:
        host = replace(host, uptime_seconds=max(host.uptime_seconds, SETTLED_UPTIME_SECONDS))
    long = replace(
        streak,
        fails=max(fails, streak.fails),
        observed_seconds=max(seconds, patience(policy), streak.observed_seconds),
        last_run=max(streak.last_run, streak.first_run + policy.read_gap),
    )
    silent = replace(quiet, seconds=max(quiet.seconds, life.PRESENCE_SECONDS))
    return replace(
        state,
        streak=long,
        life=replace(state.life, quiet=silent),
        sight=replace(state.sight, host=host),
        dialing=replace(state.dialing, next_at=min(state.dialing.next_at, 0.0)),
        grace_until=0.0,
        destructive_grace_until=0.0,
        not_before=(),
        charges=(),
        harmless=(),
    )


def _beyond(remedy: Remedy, later: TargetState, policy: Policy, env: Env) -> Refused:
    """What would refuse it without work and hazards: a person's word, mostly."""
    free = replace(later, life=life.without_signs(later.life), sight=without_hazards(later.sight))
    left = CHECKS[HARM[remedy]](remedy, free, policy, env)
    asks = ends_work(remedy) and policy.mode is Mode.ASK and not approved(remedy, later)
    if left is not None and left[0] in (Refusal.NO_SIGHT, Refusal.FLAPPING) and asks:
        return Refusal.ASK, ""
    return left


def _reset(later: TargetState) -> TargetState:
    """As ``reset`` would leave it, once the fault was counted anew."""
    incident = later.incident
    return replace(
        later,
        restarts_unverified=0,
        failed_starts=0,
        ooms=(),
        incident=None if incident is None else replace(incident, failed=()),
    )
