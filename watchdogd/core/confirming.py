"""How long, or how often, a fault must be seen before it is believed; and what the engine's word is worth."""

from __future__ import annotations

from watchdogd.core.model import Policy, Streak, TargetState
from watchdogd.core.words import Cause

ONCE = frozenset(
    {Cause.AUTH, Cause.HOST_KEY, Cause.SSHD_REJECTS, Cause.PORT_CONFLICT, Cause.BUG}
) | {Cause.TRAINING_STALLED}
"""Explicit answers, and a deadline that passed: one is enough to say so."""
TWICE = frozenset(
    {
        Cause.CONTAINER_ENGINE_DOWN,
        Cause.CONTAINER_AMBIGUOUS,
        Cause.CONTAINER_MISSING,
        Cause.CONTAINER_EXITED,
        Cause.CONTAINER_OOM,
        Cause.CONTAINER_PAUSED,
        Cause.CONTAINER_RESTARTING,
        Cause.SESSION_MISSING,
        Cause.DISK_FULL,
        Cause.GPU_LOST,
    }
)
"""Two readings, ``policy.read_gap`` apart; or, of an end, the engine's own word and one later reading."""
ENDED = frozenset({Cause.CONTAINER_EXITED, Cause.CONTAINER_OOM})
SHORT_FAILS = 3
NO_NETWORK = frozenset({Cause.OFFLINE, Cause.CAPTIVE_PORTAL})


def confirmed(state: TargetState, policy: Policy) -> bool:
    """Has the fault lasted long enough to open an incident?"""
    streak = state.streak
    if streak.cause is None:
        return False
    if streak.cause in ONCE:
        return streak.fails >= 1
    if streak.cause in TWICE:
        apart = streak.fails >= 2 and streak.last_run - streak.first_run >= policy.read_gap
        return apart or witnessed(state)
    if streak.cause in NO_NETWORK:
        return streak.fails >= 2
    return streak.fails >= SHORT_FAILS and streak.observed_seconds >= policy.short_seconds


def witnessed(state: TargetState) -> bool:
    """Did the engine itself tell of the end that was then read? (invariant I2)

    A second witness, so no second reading is needed: the same container, the same run of it, a round
    that began to look after that was told, and nothing since that made all evidence void.
    """
    death, seen = state.death, state.sight.container
    if death is None or seen is None or state.streak.cause not in ENDED:
        return False
    same_run = (seen.id, seen.started) == (death.container, death.started)
    later = death.told_run <= state.verdict_since
    return same_run and later and death.told_run > state.ignore_before


def failing_anyhow(streak: Streak, policy: Policy) -> bool:
    """Has it failed for twice as long, though no single cause lasted? Enough to say that it is down;
    what a remedy needs is counted by cause."""
    long = streak.failing_seconds >= 2 * policy.short_seconds
    return streak.failing >= 2 * SHORT_FAILS and long
