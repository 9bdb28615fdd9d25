"""Health that comes and goes: no single streak of failures, and no steady health either.

Weighted changes of state as Nagios reckons them: 21 samples, the 20 changes between them weighted from 0.75
(oldest) to 1.25, as a share of all; on at 20 %, off at 5 %. A sample is the worst of a minute, so that a
fault that is found and mended within one counts as one.
"""

from __future__ import annotations

from itertools import pairwise

from watchdogd.core.records import merged
from watchdogd.core.traces import Flaps

SAMPLES = 21
SAMPLE_SECONDS = 60.0
ON_RATIO, OFF_RATIO = 0.20, 0.05
OLDEST_WEIGHT, NEWEST_WEIGHT = 0.75, 1.25
RECENT, RECENT_FAILS, RECENT_RUNS = 20, 8, 4
"""So many failures in so many conclusive rounds, in so many separate runs, are told, though no run of them
is long enough to be believed (1-0-1-0). One outage that is over is none of that."""


def seen(flaps: Flaps, *, good: bool, run: float) -> Flaps:
    """What is known after one more conclusive round."""
    recent = (*flaps.recent[-(RECENT - 1) :], good)
    if not flaps.minute_since:
        return merged(flaps, {"minute_since": run, "minute_good": good, "recent": recent})
    worst = flaps.minute_good and good
    if run - flaps.minute_since < SAMPLE_SECONDS:
        if worst is flaps.minute_good and recent == flaps.recent:
            return flaps
        return merged(flaps, {"minute_good": worst, "recent": recent})
    samples = (*flaps.samples[-(SAMPLES - 1) :], worst)
    share = ratio(samples)
    flapping = share >= OFF_RATIO if flaps.flapping else share >= ON_RATIO
    return Flaps(
        samples=samples, minute_good=True, minute_since=run, flapping=flapping, recent=recent
    )


def ratio(samples: tuple[bool, ...]) -> float:
    """Weighted share of changes among the samples, 0 to 1. Fewer samples have made fewer changes."""
    if all(samples):
        return 0.0
    pairs = list(pairwise(samples))
    step = (NEWEST_WEIGHT - OLDEST_WEIGHT) / (SAMPLES - 2)
    first = SAMPLES - 1 - len(pairs)
    changed = sum(
        OLDEST_WEIGHT + step * (first + at) for at, (old, new) in enumerate(pairs) if old is not new
    )
    return changed / (SAMPLES - 1)


def unsteady(flaps: Flaps) -> bool:
    """Did so many of the last rounds fail that "up" would be a lie?"""
    recent = flaps.recent
    if len(recent) < RECENT or recent.count(False) < RECENT_FAILS:
        return False
    runs = sum(1 for old, new in pairwise((True, *recent)) if old and not new)
    return runs >= RECENT_RUNS
