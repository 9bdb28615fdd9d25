"""What would have been done, and how hindsight judged it, as plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping

from watchdogd.core.model import TargetState


def shadow_answer(state: TargetState) -> Mapping[str, object]:
    """``open``: what waits for hindsight, or null; ``scores``: one entry for each judged remedy."""
    known = state.would
    return {
        "open": None
        if known is None
        else {
            "remedy": str(known.would.remedy),
            "cause": str(known.would.cause),
            "reason": str(known.would.reason),
            "observed_seconds": round(known.seconds, 3),
        },
        "scores": [
            {
                "remedy": str(one.remedy),
                "right": one.right,
                "false_alarms": one.false_alarms,
            }
            for one in state.shadow.scores
        ],
    }
