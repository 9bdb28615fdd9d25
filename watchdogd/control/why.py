"""Why nothing was done, as plain JSON values: what ``status --why`` shows."""

from __future__ import annotations

from collections.abc import Mapping

from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.why import Rung, why


def why_answer(state: TargetState, policy: Policy, env: Env) -> Mapping[str, object]:
    """``counted`` (against what a remedy wants), ``signs`` of work, ``unread``, ``hazard``, ``rungs``,
    ``waits_for_person``, ``next``. Times in seconds."""
    found = why(state, policy, env)
    return {
        "counted": {
            "fails": found.fails,
            "needed_fails": found.needed_fails,
            "seconds": round(found.seconds, 1),
            "needed_seconds": found.needed_seconds,
        },
        "signs": [
            {"rank": str(sign.rank), "what": sign.what, "age": round(sign.age, 1)}
            for sign in found.signs
        ],
        "unread": found.unread,
        "hazard": found.hazard,
        "flapping": state.flaps.flapping,
        "rungs": [_rung(one) for one in found.rungs],
        "waits_for_person": None if found.waits_for_person is None else str(found.waits_for_person),
        "next": found.following,
    }


def _rung(rung: Rung) -> dict[str, object]:
    return {
        "remedy": str(rung.remedy),
        "refusal": None if rung.refusal is None else str(rung.refusal),
        "detail": rung.detail,
        "change": rung.change,
        "budget": rung.budget,
        "next_budget_in": round(rung.next_budget, 1),
        "earliest_in": None if rung.earliest is None else round(rung.earliest, 1),
    }
