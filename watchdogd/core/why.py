"""Why nothing was done, and what would have to happen: the decision, told instead of carried out.

It asks the same ``choose`` with the same state, so it cannot disagree with what is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.core import life
from watchdogd.core.answer import Answer, answer
from watchdogd.core.choose import confirmation
from watchdogd.core.life import Sign
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.operating import asked
from watchdogd.core.rung import Rung, rungs
from watchdogd.core.veto import hazard
from watchdogd.core.words import HARM, Harm, Remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """All that the decision about a target rests on now."""

    answer: Answer
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


def why(state: TargetState, policy: Policy, env: Env) -> Why:
    """What stands between the present state and the next remedy."""
    found = rungs(state, policy, env)
    harm = max((HARM[one.remedy] for one in found), default=Harm.HARMLESS)
    fails, seconds = confirmation(state, policy, harm)
    signs, unread = life.signs(state, policy, env.run), life.unread(state, policy, env.run)
    told = answer(state, policy, found, working=bool(signs), unread=bool(unread))
    return Why(
        answer=told,
        fails=state.streak.fails,
        needed_fails=fails,
        seconds=state.streak.observed_seconds,
        needed_seconds=seconds,
        signs=signs,
        unread=unread,
        hazard=hazard(state, destructive=True),
        rungs=found,
        waits_for_person=asked(state),
    )
