"""What the duel says: sums over many runs, as tables for people or figures for programs."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from watchdogd.sim.faults import Kind
from watchdogd.sim.score import Score

HOUR = 3600.0


@dataclass(slots=True)
class Total:
    """Sums over runs, for one healer. Seconds."""

    awake: float = 0.0
    usable: float = 0.0
    lost_by_healer: float = 0.0
    trained: float = 0.0
    destructive: int = 0
    needless: int = 0
    by_hand: int = 0
    messages: int = 0
    heal: dict[Kind, array[float]] = field(default_factory=dict)

    def add(self, score: Score) -> None:
        """One run more."""
        for name in ("awake", "usable", "lost_by_healer", "trained"):
            setattr(self, name, getattr(self, name) + getattr(score, name))
        for name in ("destructive", "needless", "by_hand", "messages"):
            setattr(self, name, getattr(self, name) + getattr(score, name))
        for kind, seconds in score.heal.items():
            self.heal.setdefault(kind, array("d")).extend(seconds)


@dataclass(slots=True)
class Tally:
    """All healers in the same worlds."""

    runs: int = 0
    totals: dict[str, Total] = field(default_factory=dict)
    first_loss: dict[str, int] = field(default_factory=dict)
    """The lowest seed in which a healer lost training by its own act."""

    def add(self, seed: int, scores: dict[str, Score]) -> None:
        """One world more."""
        self.runs += 1
        for name, score in scores.items():
            self.totals.setdefault(name, Total()).add(score)
            if score.lost_by_healer > 0:
                self.first_loss[name] = min(seed, self.first_loss.get(name, seed))

    def relative(self, name: str) -> float:
        """Availability as a share of the oracle's."""
        one, best = self.totals[name], self.totals["oracle"]
        return (one.usable / one.awake) / (best.usable / best.awake)


def quantiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and 95 %."""
    if len(seconds) < 2:
        return (seconds[0], seconds[0]) if seconds else (0.0, 0.0)
    return statistics.median(seconds), statistics.quantiles(seconds, n=20, method="inclusive")[18]


def page(tallies: dict[float, Tally]) -> str:
    """The tables."""
    parts = []
    for factor, tally in tallies.items():
        parts += [f"fault rates x{factor:.2g}, {tally.runs} runs of 30 days", *_main(tally), ""]
        parts += ["time to heal by true cause, median / 95 %, in seconds", *_heal(tally), ""]
    return "\n".join(parts)


def _main(tally: Tally) -> list[str]:
    lines = [
        f"{'in 30 days':<26}{'hours lost by own acts':>24}{'availability/oracle':>21}"
        f"{'destructive':>13}{'needless':>10}{'by hand':>9}{'hours trained':>15}"
    ]
    for name, one in tally.totals.items():
        runs = tally.runs
        lines.append(
            f"{name:<26}{one.lost_by_healer / HOUR / runs:>24.2f}{tally.relative(name):>21.4f}"
            f"{one.destructive / runs:>13.2f}{one.needless / runs:>10.2f}"
            f"{one.by_hand / runs:>9.2f}{one.trained / HOUR / runs:>15.1f}"
        )
    return lines


def _heal(tally: Tally) -> list[str]:
    lines = [f"{'':<18}" + "".join(f"{name[:15]:>20}" for name in tally.totals)]
    for kind in Kind:
        cells = [_cell(one.heal.get(kind)) for one in tally.totals.values()]
        if any(cells):
            lines.append(f"{kind:<18}" + "".join(f"{cell:>20}" for cell in cells))
    return lines


def _cell(seconds: Sequence[float] | None) -> str:
    if not seconds:
        return ""
    middle, most = quantiles(seconds)
    return f"{middle:.3g} / {most:.4g}" if most < 10000 else f"{middle:.3g} / {most / HOUR:.3g} h"


def record(tallies: dict[float, Tally], missed: Sequence[str]) -> dict[str, Any]:
    """The same as figures."""
    return {
        "schema": "watchdogd.duel/1",
        "missed": list(missed),
        "rates": [
            {
                "factor": factor,
                "runs": tally.runs,
                "healers": {name: _figures(tally, name) for name in tally.totals},
            }
            for factor, tally in tallies.items()
        ],
    }


def _figures(tally: Tally, name: str) -> dict[str, Any]:
    one, runs = tally.totals[name], tally.runs
    return {
        "hours_lost_by_own_acts": one.lost_by_healer / HOUR / runs,
        "availability": one.usable / one.awake,
        "availability_of_oracle": tally.relative(name),
        "destructive": one.destructive / runs,
        "needless": one.needless / runs,
        "by_hand": one.by_hand / runs,
        "hours_trained": one.trained / HOUR / runs,
        "messages": one.messages / runs,
        "first_seed_with_loss": tally.first_loss.get(name),
        "heal_seconds": {str(kind): quantiles(one.heal[kind]) for kind in one.heal},
    }
