"""What a benchmark says: a figure, its opponent's in the same run, and whether a limit was kept."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing beside its opponent. Several runs each; the medians are compared."""

    name: str
    unit: str
    ours: Sequence[float]
    opponent: str
    theirs: Sequence[float]
    limit: float
    """On ``measure``; above it is a failure."""
    measure: str
    """What the limit is on: ``ours``, ``ratio`` or ``difference``."""
    note: str = ""
    failed: str = ""
    """Why it is a failure whatever the limit says."""

    def value(self) -> float:
        """What the limit is compared with."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return {"ours": ours, "ratio": ours / theirs, "difference": ours - theirs}[self.measure]

    def kept(self) -> bool:
        """True if the limit was kept."""
        return not self.failed and self.value() <= self.limit

    def line(self) -> str:
        """As a row of the table."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        limits = {"ours": f"<= {self.limit:g} {self.unit}", "ratio": f"<= {self.limit:g}x"}
        limits["difference"] = f"<= +{self.limit:g} {self.unit}"
        word = "kept" if self.kept() else f"MISSED {self.failed}".rstrip()
        return (
            f"{self.name:<46} {_span(self.ours, self.unit):<28} {self.opponent:<34} "
            f"{_span(self.theirs, self.unit):<28} {ours / theirs:>6.2f}x  "
            f"{limits[self.measure]:<12} {word}"
        )


def _span(values: Sequence[float], unit: str) -> str:
    """Median, and least to most if there are several."""
    middle = f"{statistics.median(values):.3g} {unit}"
    return middle if len(values) < 2 else f"{middle} ({min(values):.3g} to {max(values):.3g})"


def say(text: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


HEAD = (
    f"{'figure':<46} {'watchdogd: median (least, most)':<28} {'opponent':<34} {'':<28} "
    f"{'ratio':>7}  limit"
)
