"""Probe ``forward``: is the listener on the local port ours? Whether bytes pass is for ``runtime_tunnel``."""

from __future__ import annotations

from collections.abc import Sequence

from watchdogd.core.words import Cause, Layer, ProbeName, Vantage
from watchdogd.ports import Deadline, Reach, Reading, port_mend
from watchdogd.probes.observing import Watch


def forward(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """OK if the port is ours, FAIL ``port_conflict`` if somebody holds it, UNKNOWN before the first bind."""
    watch = Watch.start(reach.clock, ProbeName.FORWARD, Layer.FORWARD, Vantage.LAPTOP)
    facts, local = reach.links.forward(), reach.target.forward.local
    if facts.bound:
        return Reading(observations=(watch.ok(),))
    if facts.holder:
        seen = watch.fail(
            Cause.PORT_CONFLICT,
            f"{local} is held by {facts.holder}",
            mend=port_mend(facts.holder, reach.target.name),
        )
    else:
        seen = watch.unknown(f"{local} is not bound yet")
    return Reading(observations=(seen,))
