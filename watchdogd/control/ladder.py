"""The layers, lowest first, each with what was found there: one shape for ``status`` and ``check``."""

from __future__ import annotations

from collections.abc import Sequence

from watchdogd.core.model import Observation, Verdict
from watchdogd.core.words import Outcome

_WORST_FIRST = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.OK)


def ladder(
    verdict: Verdict, observations: Sequence[Observation], *, now: float
) -> list[dict[str, object]]:
    """One entry a layer that was judged: ``layer``, ``outcome`` (after propagation), and of the
    telling observation ``cause``, ``vantage``, ``age`` (seconds before ``now``, ``run`` clock),
    ``detail``, ``mend``; ``observations`` are all of that layer."""
    judged = dict(verdict.layers)
    for observation in observations:
        judged.setdefault(observation.layer, observation.outcome)
    return [
        {"layer": layer.name.lower(), "outcome": str(outcome)}
        | _telling([seen for seen in observations if seen.layer is layer], outcome, now)
        for layer, outcome in sorted(judged.items())
    ]


def _telling(seen: Sequence[Observation], outcome: Outcome, now: float) -> dict[str, object]:
    def rank(observation: Observation) -> tuple[bool, int]:
        return observation.outcome is not outcome, _WORST_FIRST.index(observation.outcome)

    entries = [_entry(observation, now) for observation in sorted(seen, key=rank)]
    blank = {"cause": None, "vantage": None, "age": None, "detail": "", "mend": ""}
    first = entries[0] if entries else {}
    telling = {name: first.get(name, value) for name, value in blank.items()}
    return {**telling, "observations": entries}


def _entry(observation: Observation, now: float) -> dict[str, object]:
    return {
        "probe": str(observation.probe),
        "vantage": str(observation.vantage),
        "outcome": str(observation.outcome),
        "cause": None if observation.cause is None else str(observation.cause),
        "age": round(max(0.0, now - observation.ended), 3),
        "detail": observation.detail,
        "mend": observation.mend,
    }
