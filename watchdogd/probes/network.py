"""Probe ``network``: is there a way off this machine to the SSH host, and does its name resolve?

It sends nothing to anybody but the resolver, so it cannot see a network that exists and loses all.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Layer, ProbeName, Vantage
from watchdogd.ports import Deadline, Reach, Reading, RouteFacts
from watchdogd.probes.by_hand import by_hand
from watchdogd.probes.observing import Watch
from watchdogd.settings import TargetSettings


def network(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """FAIL ``offline`` without a route, FAIL ``dns`` with a route but no address, else OK."""
    watch = Watch.start(reach.clock, ProbeName.NETWORK, Layer.NETWORK, Vantage.LAPTOP)
    return Reading(observations=(_observe(watch, reach.route(deadline), reach.target),))


def _observe(watch: Watch, facts: RouteFacts, target: TargetSettings) -> Observation:
    # a machine that is offline resolves no names either: the route explains the name, not the reverse
    if facts.routed is False:
        return watch.fail(Cause.OFFLINE, f"no route to the SSH host: {facts.error}")
    if facts.resolved is False:
        last = f"; last good address {facts.address}" if facts.address else ""
        return watch.fail(Cause.DNS, f"{facts.error}{last}", by_hand(Cause.DNS, target))
    if facts.routed is None:
        return watch.unknown(f"the routing table does not tell: {facts.error}")
    return watch.ok()
