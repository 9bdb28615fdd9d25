"""Probe ``ssh``: what the link itself knows.

It opens no connection of its own: a server counts those that do not log in, and then shuts us out.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Layer, ProbeName, Vantage
from watchdogd.ports import Deadline, LinkStatus, Reach, Reading
from watchdogd.probes.by_hand import by_hand
from watchdogd.probes.observing import Watch
from watchdogd.settings import TargetSettings


def ssh(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """OK while the link is up and speaks; else FAIL with the last dial's cause, or ``link_lost``.

    UNKNOWN while the very first dial runs, or before it.
    """
    watch = Watch.start(reach.clock, ProbeName.SSH, Layer.SSH, Vantage.LAPTOP)
    return Reading(observations=(_observe(watch, reach.links.status(), reach.target),))


def _observe(watch: Watch, status: LinkStatus, target: TargetSettings) -> Observation:
    link = status.link
    if link is not None and link.alive() and not status.silent:
        return watch.ok()
    if status.failure is not None:
        mend = status.failure_mend or by_hand(status.failure, target)
        return watch.fail(status.failure, status.failure_detail, mend)
    if link is not None and link.alive():
        age = watch.started - link.facts().last_received_at
        return watch.fail(Cause.LINK_LOST, f"nothing has come over the link for {age:.0f} s")
    if link is not None or status.number is not None:
        return watch.fail(Cause.LINK_LOST, "the link ended; a new one is being dialled")
    return watch.unknown("the first dial still runs" if status.dialing else "no dial was made yet")
