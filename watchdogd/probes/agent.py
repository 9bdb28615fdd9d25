"""Probe ``agent``: can this process judge at all now? Asked first; a failure voids the round."""

from __future__ import annotations

from collections.abc import Sequence

from watchdogd.core.words import Cause, Layer, ProbeName, Vantage
from watchdogd.ports import Deadline, Reach, Reading
from watchdogd.probes.observing import Watch


def agent(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """OK, or FAIL ``agent`` with what the agent says of its own descriptors and disk."""
    watch = Watch.start(reach.clock, ProbeName.AGENT, Layer.AGENT, Vantage.LAPTOP)
    trouble = reach.agent_health()
    seen = watch.fail(Cause.AGENT, trouble) if trouble else watch.ok()
    return Reading(observations=(seen,))
