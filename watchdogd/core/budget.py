"""Budgets: charged at intent, given back by age alone (or because nothing was done)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from watchdogd.core.model import (
    Charge,
    Env,
    Policy,
    TargetState,
)
from watchdogd.core.words import HARM, Harm, Remedy

HOUR = 3600.0
LIMITS: dict[Remedy, tuple[tuple[int, float], ...]] = {
    Remedy.REOPEN_FORWARD: ((20, HOUR),),
    Remedy.REFRESH_TOKEN: ((6, HOUR),),
    Remedy.OPEN_SESSION: ((3, HOUR),),
    Remedy.START_CONTAINER: ((5, HOUR), (10, 24 * HOUR)),
    Remedy.START_SESSION: ((5, HOUR), (10, 24 * HOUR)),
    Remedy.CREATE_CONTAINER: ((2, 24 * HOUR),),
}
"""Most applications of a remedy in a sliding window of seconds. ``reconnect`` has its back-off."""


def age(charge: Charge, env: Env) -> float:
    """Seconds since the charge: by the boot clock within one boot, else by the wall clock.

    A charge from the future (the wall clock was set back) counts as fresh.
    """
    if charge.boot_id == env.boot_id:
        return max(0.0, env.boot - charge.boot)
    return max(0.0, env.wall - charge.wall)


def destructive_lately(states: Iterable[TargetState], env: Env) -> int:
    """Destructive remedies of all these targets together in the last 24 h: ``Env.fleet``."""
    charges = [one for state in states for one in state.charges]
    return sum(
        HARM[one.remedy] is Harm.DESTRUCTIVE and age(one, env) < 24 * HOUR for one in charges
    )


def limits(remedy: Remedy, policy: Policy) -> tuple[tuple[int, float], ...]:
    """The windows that hold for a remedy; the destructive ones share theirs."""
    if HARM[remedy] is Harm.DESTRUCTIVE:
        return ((policy.destructive_per_6h, 6 * HOUR), (policy.destructive_per_24h, 24 * HOUR))
    return LIMITS.get(remedy, ())


def ages(remedy: Remedy, state: TargetState, env: Env) -> tuple[float, ...]:
    """Ages of all that counts against this remedy's windows, youngest first."""
    if HARM[remedy] is Harm.HARMLESS:
        return tuple(
            sorted(max(0.0, env.run - at) for kind, at in state.harmless if kind is remedy)
        )
    charges = state.charges
    if HARM[remedy] is Harm.DESTRUCTIVE:
        counted = [one for one in charges if HARM[one.remedy] is Harm.DESTRUCTIVE]
    else:
        counted = [one for one in charges if one.remedy is remedy]
    return tuple(sorted(age(one, env) for one in counted))


def remaining(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> int | None:
    """How often the remedy may still run now; ``None`` = it has no budget."""
    windows = limits(remedy, policy)
    if not windows:
        return None
    spent = ages(remedy, state, env)
    return min(max(0, most - sum(1 for one in spent if one < span)) for most, span in windows)


def seconds_until_one(remedy: Remedy, state: TargetState, policy: Policy, env: Env) -> float:
    """Until age gives one application back; 0 if one is left now (or there is no budget)."""
    spent = ages(remedy, state, env)
    waits = [0.0]
    for most, span in limits(remedy, policy):
        within = [one for one in spent if one < span]
        if len(within) >= most:
            waits.append(span - within[most - 1] if most else span)
    return max(waits)


def kept(charges: Sequence[Charge], env: Env) -> tuple[Charge, ...]:
    """The charges that still count in some window."""
    return tuple(one for one in charges if age(one, env) < 24 * HOUR)
