"""What a benchmark says: a figure, its opponent's in the same run, and whether a limit was kept."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing beside its opponent. Several runs each; the medians are compared, or the worst."""

    name: str
    unit: str
    ours: Sequence[float]
    opponent: str
    theirs: Sequence[float]
    limit: float
    """On ``measure``; above it is a failure."""
    measure: str
    """What the limit is on: ``ours``, ``ratio`` or ``difference``."""
    at_least: bool = False
    """Below the limit is the failure, not above it."""
    worst: bool = False
    """The greatest of each are compared, not the medians."""
    note: str = ""
    failed: str = ""
    """Why it is a failure whatever the limit says."""

    def value(self) -> float:
        """What the limit is compared with."""
        ours, theirs = self._compared()
        return {"ours": ours, "ratio": _ratio(ours, theirs), "difference": ours - theirs}[
            self.measure
        ]

    def _compared(self) -> tuple[float, float]:
        pick = max if self.worst else statistics.median
        return pick(self.ours), pick(self.theirs)

    def kept(self) -> bool:
        """True if the limit was kept."""
        value = self.value()
        return not self.failed and (value >= self.limit if self.at_least else value <= self.limit)

    def line(self) -> str:
        """As a row of the table."""
        ours, theirs = self._compared()
        sign = ">=" if self.at_least else "<="
        limits = {"ours": f"{sign} {self.limit:g} {self.unit}", "ratio": f"{sign} {self.limit:g}x"}
        limits["difference"] = f"{sign} +{self.limit:g} {self.unit}"
        of = " worst" if self.worst else ""
        word = "kept" if self.kept() else f"MISSED {self.failed}".rstrip()
        return (
            f"{self.name:<46} {_span(self.ours, self.unit):<28} {self.opponent:<34} "
            f"{_span(self.theirs, self.unit):<28} {_ratio(ours, theirs):>6.2f}x  "
            f"{limits[self.measure] + of:<12} {word}"
        )


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else float("inf") if ours else 1.0


def _span(values: Sequence[float], unit: str) -> str:
    """Median, and least to most if there are several."""
    middle = f"{statistics.median(values):.3g} {unit}"
    return middle if len(values) < 2 else f"{middle} ({min(values):.3g} to {max(values):.3g})"


def print_table(found: Iterable[Figure]) -> bool:
    """The figures, each as it comes, and where they were measured; true if each limit was kept."""
    kept = True
    system = f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs"
    print(f"{system}, Python {platform.python_version()}, loopback\n\n{HEAD}")
    for figure in found:
        kept = figure.kept() and kept
        note = f"\n    {figure.note}" if figure.note else ""
        print(figure.line() + note, flush=True)
    return kept


def say(text: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


HEAD = (
    f"{'figure':<46} {'watchdogd: median (least, most)':<28} {'opponent':<34} {'':<28} "
    f"{'ratio':>7}  limit"
)
