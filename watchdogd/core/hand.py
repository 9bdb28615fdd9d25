"""When only a person can help. One rule for the metric, the service's status, ``status`` and messages."""

from __future__ import annotations

from watchdogd.core.model import TargetState
from watchdogd.core.words import WAITING, Cause, Refusal

HAND_CAUSES = frozenset(
    {
        Cause.HOST_KEY,
        Cause.AUTH,
        Cause.FORWARD_DENIED,
        Cause.WRONG_SERVER,
        Cause.CONTAINER_AMBIGUOUS,
        Cause.CONTAINER_ENGINE_DOWN,
        Cause.DISK_FULL,
        Cause.GPU_LOST,
    }
)
HAND_REFUSALS = frozenset(
    {Refusal.ASK, Refusal.BUDGET, Refusal.HALTED, Refusal.OPERATOR, Refusal.FAILED_START}
)


def needs_hand(state: TargetState) -> bool:
    """Can only a person help now?"""
    return waits_for_hand(state) or (state.resume is not None and state.resume.halted)


def waits_for_hand(state: TargetState) -> bool:
    """The same, but for a training that is not resumed any more."""
    refused = any(reason in HAND_REFUSALS for _, reason in state.refusals)
    return (state.phase in WAITING and refused) or state.verdict.cause in HAND_CAUSES
