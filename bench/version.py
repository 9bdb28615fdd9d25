"""``watchdogd --version`` beside an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure
from watchdogd.adapters.clock import SystemClock

REPETITIONS = 20
LIMIT = 0.15


def figures() -> Iterator[Figure]:
    """In turns; the first of each is not counted."""
    program = Path(sys.executable).with_name("watchdogd")
    argvs = ([str(program), "--version"], [sys.executable, "-c", "pass"])
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(REPETITIONS + 1):
        for argv, result in zip(argvs, times, strict=True):
            seconds = _timed(argv)
            if number:
                result.append(seconds)
    yield Figure(
        name="watchdogd --version",
        unit="s",
        ours=times[0],
        opponent="python -c pass",
        theirs=times[1],
        limit=LIMIT,
        measure="difference",
    )


def _timed(argv: list[str]) -> float:
    clock = SystemClock()
    begun = clock.run()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=30)
    return clock.run() - begun
