"""What one round says of a target, and the exit code for it: shared by ``check`` and ``run --once``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watchdogd.core.judge import judge
from watchdogd.core.model import Observation, Verdict
from watchdogd.core.words import Cause, Kind, Outcome, State

REFUSED = frozenset({Cause.AUTH, Cause.HOST_KEY})
NO_NETWORK = frozenset({Cause.OFFLINE, Cause.CAPTIVE_PORTAL})
CODES = {State.UP: 0, State.DEGRADED: 1, State.DOWN: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One target after one round of all probes."""

    verdict: Verdict
    observations: tuple[Observation, ...]
    state: State
    """``up``, ``degraded``, ``down``, ``offline`` or ``unknown``."""


def result_of(observations: tuple[Observation, ...], kind: Kind) -> CheckResult:
    """The verdict on one round, and the state that it amounts to without any history."""
    verdict = judge(observations, kind)
    return CheckResult(verdict=verdict, observations=observations, state=state_of(verdict))


def state_of(verdict: Verdict) -> State:
    """What a single verdict amounts to."""
    if verdict.void or verdict.outcome is Outcome.UNKNOWN:
        return State.UNKNOWN
    if verdict.cause in NO_NETWORK:
        return State.OFFLINE
    if verdict.usable:
        return State.UP if verdict.cause is None else State.DEGRADED
    return State.DOWN


def exit_code(results: Mapping[str, CheckResult]) -> int:
    """77 for a refused login or host key; else the worst of 2 down, 3 unknown, 1 degraded, 0 up."""
    if any(result.verdict.cause in REFUSED for result in results.values()):
        return 77
    codes = {CODES.get(result.state, 3) for result in results.values()}
    return next((code for code in (2, 3, 1) if code in codes), 0)
