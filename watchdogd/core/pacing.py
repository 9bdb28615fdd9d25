"""When the next round is due."""

from __future__ import annotations

from watchdogd.core.events import Observed
from watchdogd.core.model import TargetState, Verdict
from watchdogd.core.turn import Turn
from watchdogd.core.words import ACTING, STEADY, Outcome, Phase, Vantage

SECOND_LOOK_SECONDS = 1.0
"""After a first good round: two measurements make health, they need not be far apart."""


def only_shown(state: TargetState) -> bool:
    """Paused, and no act of ours to be proved: looked at for the display, at the pace of health."""
    return state.pause is not None and state.phase not in ACTING


def until_next(turn: Turn, event: Observed, verdict: Verdict, *, counts: bool) -> float:
    """Seconds until the next round."""
    state, policy = turn.state, turn.policy
    if state.phase is STEADY or only_shown(state):
        # Spread over 10 %: many agents must not knock at one server in step.
        return policy.interval * (0.95 + 0.1 * turn.env.chance)
    first = state.phase is Phase.SUSPECT and state.streak.fails == 1
    if first and counts and all(one.vantage is not Vantage.SERVER for one in event.observations):
        return 0.0  # the first failure, not looked at from the server: do that too, now
    if verdict.outcome is Outcome.OK and state.phase is not Phase.SETTLING:
        return min(SECOND_LOOK_SECONDS, policy.suspect_interval)
    return policy.suspect_interval
