"""What the agent would have done and whether that would have been right, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from watchdogd.core.shadow import sentence
from watchdogd.core.words import Mode


def hindsight(target: Mapping[str, Any], *, least: int = 1) -> Iterator[str]:
    """The sentences for one target of ``status``; none where nothing was ever held back but in
    ``observe``, whose purpose they are. Of an older agent, which keeps no score, there are none.
    ``least``: a score of fewer cases than that says nothing."""
    shadow = target.get("shadow")
    if not isinstance(shadow, Mapping):
        return
    if known := shadow.get("open"):
        yield f"would do {known['remedy']} ({known['reason']}); whether that is right shows soon"
    scores = shadow.get("scores") or []
    for one in scores:
        if one["right"] + one["false_alarms"] < least:
            continue
        yield sentence(one["remedy"], one["right"], one["false_alarms"])
    if not scores and not known and target.get("mode") == Mode.OBSERVE:
        yield "observes only: so far there was nothing that it would have done"
