"""A full cycle: one round of all probes of eight targets, beside one target alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from bench.report import Figure, say
from bench.scene import Scene, scene
from watchdogd.adapters.clock import SystemClock

TARGETS = 8
REPETITIONS = 5
LIMIT = 8.0
"""Eight times the work must not take longer than eight times one after the other."""


def figures() -> Iterator[Figure]:
    """``watchdogd check``: the start, a link and a round for each; in turns."""
    with scene(TARGETS) as many, scene(1) as one:
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(REPETITIONS):
            say(f"cycle {number + 1} of {REPETITIONS}")
            for made, result in zip((many, one), times, strict=True):
                result.append(_timed(made))
    yield Figure(
        name=f"a full cycle of {TARGETS} targets (watchdogd check)",
        unit="s",
        ours=times[0],
        opponent="the same of one target",
        theirs=times[1],
        limit=LIMIT,
        measure="ratio",
    )


def _timed(made: Scene) -> float:
    clock = SystemClock()
    begun = clock.run()
    subprocess.run(
        made.argv("check"), env=made.environ(), check=True, stdout=subprocess.DEVNULL, timeout=60
    )
    return clock.run() - begun
