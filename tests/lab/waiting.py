"""Awaiting a condition instead of sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from watchdogd.adapters.clock import SystemClock

SOON = 25.0
T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str, seconds: float = SOON) -> T:
    """Poll until the condition gives something."""
    clock, pause = SystemClock(), threading.Event()
    end = clock.run() + seconds
    late = False
    while not late:
        # looked at once more after the end: a machine that stood still meanwhile is no failure
        late = clock.run() >= end
        if found := condition():
            return found
        pause.wait(0.02)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")
