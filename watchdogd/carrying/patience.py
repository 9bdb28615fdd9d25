"""How long a probe of one target may take: as configured, and longer on a slow line.

A line with seconds of delay (a satellite, full buffers) is no fault of what answers behind it. In the
flow: the executor asks before each round, and tells what the round found.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from statistics import median

from watchdogd.core.events import Observed
from watchdogd.core.words import Outcome, ProbeName
from watchdogd.ports import Reach

FACTOR = 3.0
"""Times the usual answer: a single slow one is no failure (the mission's rule for slow lines)."""
LONGEST_SECONDS = 30.0
"""Whatever is measured: beyond it nobody would call the line usable."""
ROUND_TRIPS = 2
"""Of an answer through the forward, at least: one opens the channel, one asks."""
ANSWERS_KEPT = 9


class Patience:
    """``seconds`` and ``learn`` may be called from any thread."""

    def __init__(self) -> None:
        self._answers: deque[float] = deque(maxlen=ANSWERS_KEPT)

    def seconds(self, configured: float, round_trip: float | None) -> float:
        """For one probe. ``round_trip``: seconds, of the link's last keepalive; ``None`` = not known.

        At least ``configured``; beyond it ``FACTOR`` times the usual answer through the forward, at most
        ``LONGEST_SECONDS``.
        """
        usual = ROUND_TRIPS * (round_trip or 0.0)
        if answers := tuple(self._answers):
            usual = max(usual, median(answers))
        return max(configured, min(LONGEST_SECONDS, FACTOR * usual))

    def learn(self, event: Observed) -> None:
        """Keep how long a good answer through the forward took. A failure says nothing of that."""
        for one in event.observations:
            if one.probe is ProbeName.RUNTIME_TUNNEL and one.outcome is Outcome.OK:
                self._answers.append(one.ended - one.started)


def within(reach: Reach, timeout: float) -> Reach:
    """The same reach, for a round whose probes may take so long."""
    target = reach.target
    if timeout == target.probe.timeout:
        return reach
    return replace(reach, target=replace(target, probe=replace(target.probe, timeout=timeout)))
