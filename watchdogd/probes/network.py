"""Probe ``network``: is there a way off this machine to the SSH host, does its name resolve, and does a
captive portal answer in everybody's place?

While the link speaks it sends nothing to anybody but the resolver: an answer of the server's own sshd proves
more than any page. Only once a link is lost or silent, or a dial failed, are the canaries asked, if some are
configured.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Layer, ProbeName, Vantage
from watchdogd.ports import CanaryFacts, Deadline, LinkStatus, Reach, Reading, RouteFacts
from watchdogd.probes.by_hand import by_hand
from watchdogd.probes.observing import Watch
from watchdogd.settings import TargetSettings

_BROWSER = "open" if sys.platform == "darwin" else "xdg-open"
NOBODY_ASKED = CanaryFacts()


def network(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """FAIL ``offline`` without a route; FAIL ``captive_portal`` if all canaries that answer answer something
    else than their own page; FAIL ``dns`` with a route but no address; UNKNOWN if canaries are configured and
    none answers; else OK. One good canary is enough.
    """
    watch = Watch.start(reach.clock, ProbeName.NETWORK, Layer.NETWORK, Vantage.LAPTOP)
    route = reach.route(deadline)
    canaries = NOBODY_ASKED
    status = reach.links.status()
    if route.routed is not False and _suspicious(status):
        # A refused host key is the one thing that must not be believed on an older word.
        since = status.failed_at if status.failure is Cause.HOST_KEY else None
        canaries = reach.canaries(deadline, since=since)
    return Reading(observations=(_observe(watch, route, canaries, reach.target),))


def _suspicious(status: LinkStatus) -> bool:
    """The link is gone or silent, or a dial failed; not while the first dial of all still runs."""
    if status.link is not None and status.link.alive():
        return status.silent
    return status.failure is not None or status.number is not None


def _observe(
    watch: Watch, facts: RouteFacts, canaries: CanaryFacts, target: TargetSettings
) -> Observation:
    # a machine that is offline resolves no names either: the route explains the name, not the reverse
    if facts.routed is False:
        return watch.fail(Cause.OFFLINE, f"no route to the SSH host: {facts.error}")
    # and a portal may well answer for the resolver, too
    if canaries.foreign:
        return watch.fail(Cause.CAPTIVE_PORTAL, _portal(canaries), _open(canaries.foreign))
    if facts.resolved is False:
        last = f"; last good address {facts.address}" if facts.address else ""
        return watch.fail(Cause.DNS, f"{facts.error}{last}", by_hand(Cause.DNS, target))
    if facts.routed is None and not canaries.good:
        return watch.unknown(f"the routing table does not tell: {facts.error}")
    if canaries.asked and not canaries.good:
        return watch.unknown(f"none of the {canaries.asked} canaries answers: is there a network?")
    return watch.ok()


def _portal(canaries: CanaryFacts) -> str:
    return (
        f"a captive portal: {canaries.foreign} was answered by {canaries.said}; open a browser and log in to "
        "this Wi-Fi"
    )


def _open(url: str) -> str:
    return f"{_BROWSER} {shlex.quote(url)}"
