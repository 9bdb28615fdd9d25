"""Why nothing was done, as plain JSON values: what ``status --why`` shows."""

from __future__ import annotations

from collections.abc import Mapping

from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.rung import Rung
from watchdogd.core.ways import Way
from watchdogd.core.why import why


def why_answer(
    state: TargetState, policy: Policy, env: Env, *, target: str
) -> Mapping[str, object]:
    """``answer`` in sentences with its ``ways`` (commands to type; ``forced``: over what holds the remedy
    back), ``counted`` (against what a remedy wants), ``signs`` of work, ``processes`` (ids on the server
    of those that show it), ``looked_at`` and ``not_looked_at`` for such signs, ``unread``, all three as
    of ``looked_ago``, ``hazard`` of the kinds ``hazards_looked_for``, ``rungs``, ``waits_for_person``.
    Times in seconds."""
    found = why(state, policy, env)
    return {
        "answer": {
            "says": found.answer.says,
            "then": found.answer.then,
            "yours": found.answer.yours,
            "remedy": None if found.answer.remedy is None else str(found.answer.remedy),
            "ways": [
                {"does": way.does, "command": _command(way, target), "forced": way.forced}
                for way in found.answer.ways
            ],
        },
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
        "processes": list(found.processes),
        "looked_at": list(found.looked_at),
        "not_looked_at": list(found.not_looked_at),
        "unread": found.unread,
        "looked_ago": round(found.looked_ago, 1),
        "hazard": found.hazard,
        "hazards_looked_for": list(found.hazards_looked_for),
        "flapping": state.flaps.flapping,
        "rungs": [_rung(one) for one in found.rungs],
        "waits_for_person": None if found.waits_for_person is None else str(found.waits_for_person),
    }


def _command(way: Way, target: str) -> str:
    remedy = f" --remedy {way.remedy}" if way.remedy is not None else ""
    return f"watchdogd {way.verb} {target}{remedy}"


def _rung(rung: Rung) -> dict[str, object]:
    most, span = rung.window or (None, None)
    return {
        "remedy": str(rung.remedy),
        "refusal": None if rung.refusal is None else str(rung.refusal),
        "detail": rung.detail,
        "after": None if rung.after is None else str(rung.after[0]),
        "budget": rung.budget,
        "budget_of": most,
        "budget_seconds": span,
        "next_budget_in": round(rung.next_budget, 1),
        "earliest_in": None if rung.earliest is None else round(rung.earliest, 1),
    }
