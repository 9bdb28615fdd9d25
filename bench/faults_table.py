"""What the client's answers come to: figures for each fault and opponent, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

DELAYED = 0.5
"""Seconds: an answer that takes longer is a delayed one."""
AS_GOOD = 0.5
"""Seconds: who is usable again so little after the first one is as good."""


class Got(Enum):
    """What became of a request."""

    SERVED = "served"
    REFUSED = "refused"
    """The connect was refused, or answered with a 503."""
    FAILED = "failed"
    """Reset, ended too early, or given up after the client's patience."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: seconds of the run's clock."""

    begun: float
    ended: float
    got: Got

    def good(self, slow: bool) -> bool:
        """Served, and at once unless the fault is that everything is ``slow``."""
        return self.got is Got.SERVED and (slow or not self.delayed())

    def delayed(self) -> bool:
        """Served, but late."""
        return self.got is Got.SERVED and self.ended - self.begun > DELAYED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One fault under one opponent."""

    refused: int
    failed: int
    delayed: int
    usable: float | None
    """Seconds from the fault to the answer from which on all was good; ``None``: not in its window."""
    dials: int
    """TCP connections that reached the server or the line before it."""
    lost: int
    """Open connections that ended, or hung to the end."""


def outcome(
    answers: Sequence[Answer], began: float, *, slow: bool, dials: int, lost: int
) -> Outcome:
    """``began``: when the fault came. Requests that ended before it are left out."""
    met = [one for one in answers if one.ended >= began]
    return Outcome(
        refused=sum(one.got is Got.REFUSED for one in met),
        failed=sum(one.got is Got.FAILED for one in met),
        delayed=sum(one.delayed() for one in met),
        usable=usable_again(met, began, slow=slow),
        dials=dials,
        lost=lost,
    )


def usable_again(answers: Sequence[Answer], began: float, *, slow: bool) -> float | None:
    """Seconds from ``began`` to the first served request that was sent after the last one that went wrong,
    or to the end of that one if it was late only. 0 if none went wrong, ``None`` if none was served."""
    bad = [one.begun for one in answers if not one.good(slow)]
    if not bad:
        return 0.0 if answers else None
    last = max(bad)
    after = [one.ended for one in answers if one.got is Got.SERVED and one.begun >= last]
    return max(0.0, min(after) - began) if after else None


def calm_since(
    answers: Sequence[Answer], pending: Sequence[float], since: float, *, slow: bool
) -> bool:
    """True if every request sent since then is well, and one was served; ``pending``: when those without
    an answer were sent. A ``slow`` line's are believed."""
    recent = [one for one in answers if one.ended >= since]
    hangs = not slow and any(sent < since for sent in pending)
    return bool(recent) and not hangs and all(one.good(slow) for one in recent)


# ---------------------------------------------------------------- for people and programs

Results = Mapping[str, Mapping[str, Outcome | None]]
"""By fault, by opponent; ``None`` where the fault cannot be done to that one."""


def page(results: Results, window: float, late: Mapping[str, float]) -> str:
    """The table by fault and opponent, and the summary. ``late``: seconds for which the bench itself stood
    still within each fault; beyond ``DELAYED`` its figures are marked."""
    lines = [
        f"{'fault':<22}{'opponent':<20}{'usable again':>14}{'refused':>9}{'failed':>8}"
        f"{'delayed':>9}{'dials':>7}{'open lost':>11}"
    ]
    for fault, row in results.items():
        for number, (name, one) in enumerate(row.items()):
            lines.append(f"{fault if not number else '':<22}{name:<20}{_cells(one, window)}")
        if late.get(fault, 0.0) > DELAYED:
            lines.append(f"{'':<22}the bench itself stood still for {late[fault]:.1f} s")
    return "\n".join([*lines, "", *_summary(results, window)])


def brief(row: Mapping[str, Outcome | None]) -> str:
    """One fault in one line: seconds until usable."""
    words = (
        f"{name} {'-' if one.usable is None else f'{one.usable:.2f} s'}"
        for name, one in row.items()
        if one is not None
    )
    return "; ".join(words)


def _cells(one: Outcome | None, window: float) -> str:
    if one is None:
        return f"{'does not apply':>14}"
    usable = f"not in {window:g} s" if one.usable is None else f"{one.usable:.2f} s"
    return (
        f"{usable:>14}{one.refused:>9}{one.failed:>8}{one.delayed:>9}{one.dials:>7}{one.lost:>11}"
    )


def _summary(results: Results, window: float) -> list[str]:
    lines = [
        f"{'in all':<22}{'faults':>7}{'best':>6}{'not back':>10}{'sum until usable':>18}"
        f"{'refused':>9}{'failed':>8}{'delayed':>9}{'dials':>7}{'open lost':>11}"
    ]
    for name, one in summary(results, window).items():
        lines.append(
            f"{name:<22}{one['faults']:>7}{one['best']:>6}{one['not_back']:>10}"
            f"{one['seconds']:>16.0f} s{one['refused']:>9}{one['failed']:>8}"
            f"{one['delayed']:>9}{one['dials']:>7}{one['lost']:>11}"
        )
    return lines


def summary(results: Results, window: float) -> dict[str, dict[str, float]]:
    """Sums for each opponent over the faults that apply to it. ``seconds`` until usable, the window for
    one that was not; ``best``: no other was usable more than ``AS_GOOD`` earlier."""
    sums: dict[str, dict[str, float]] = {}
    for row in results.values():
        first = min((_seconds(one, window) for one in row.values() if one), default=0.0)
        for name, one in row.items():
            if one is not None:
                _add(sums.setdefault(name, _nothing()), one, window, first)
    return sums


def _nothing() -> dict[str, float]:
    names = ("faults", "best", "not_back", "seconds", "refused", "failed", "delayed", "dials")
    return dict.fromkeys((*names, "lost"), 0)


def _add(sums: dict[str, float], one: Outcome, window: float, first: float) -> None:
    seconds = _seconds(one, window)
    sums["faults"] += 1
    sums["best"] += one.usable is not None and seconds <= first + AS_GOOD
    sums["not_back"] += one.usable is None
    sums["seconds"] += seconds
    for name in ("refused", "failed", "delayed", "dials", "lost"):
        sums[name] += getattr(one, name)


def _seconds(one: Outcome, window: float) -> float:
    return window if one.usable is None else one.usable


def record(results: Results, window: float, late: Mapping[str, float]) -> dict[str, Any]:
    """The same as figures."""
    return {
        "schema": "watchdogd.link_faults/1",
        "window_seconds": window,
        "bench_stood_still_seconds": dict(late),
        "faults": {
            fault: {name: asdict(one) if one else None for name, one in row.items()}
            for fault, row in results.items()
        },
        "in_all": summary(results, window),
    }
