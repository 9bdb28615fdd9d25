"""Probe ``kernel``: which kernels the runtime has, and which are busy. A busy one is a sign of life.

Asked through the forward, after the runtime itself answered there: of a silent runtime nothing more is
asked. ``no_track_activity`` leaves the runtime's own idle clock alone. No WebSocket: a ping would throw
away the output that is kept for an absent browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from watchdogd.core.sight import KernelSight
from watchdogd.core.words import Cause, Layer, Outcome, ProbeName, Vantage
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline, HttpEnd, Reach, Reading
from watchdogd.probes.observing import Watch

KERNELS = "/api/kernels?no_track_activity=1"
BROKEN = 500
"""So and above, HTTP says that the server itself is at fault."""
_ID = re.compile(r"[0-9a-f-]{8,64}")
_MOST = 1000


def kernel(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """OK with a ``KernelSight``; FAIL ``runtime_error`` if this one handler is broken; UNKNOWN if the
    runtime did not answer in this round, or wants a token that is not known."""
    watch = Watch.start(reach.clock, ProbeName.KERNEL, Layer.KERNEL, Vantage.TUNNEL)
    if not _answered(so_far):
        return Reading(observations=(watch.unknown("the runtime did not answer"),))
    try:
        token = reach.tokens.current()
    except (Transient, Permanent) as error:
        return Reading(observations=(watch.unknown(error.detail, error.mend),))
    until = deadline.at_most(reach.target.probe.timeout)
    answer = reach.http(reach.target.forward.local, KERNELS, token=token, deadline=until)
    if not answer.ours and answer.status >= BROKEN:
        what = f"the runtime answers, but its list of kernels is {answer.status}"
        return Reading(observations=(watch.fail(Cause.RUNTIME_ERROR, what),))
    if answer.ours or answer.end is not HttpEnd.ANSWERED or answer.status != 200:
        return Reading(observations=(watch.unknown("the runtime does not tell of its kernels"),))
    sight = parse(answer.body, reach.clock.run())
    if sight is None:
        return Reading(observations=(watch.unknown("the list of kernels makes no sense"),))
    told = f"{len(sight.kernels)} kernels, {len(sight.busy)} busy" if sight.kernels else ""
    return Reading(observations=(watch.ok(told),), kernels=sight)


def parse(body: bytes, read_at: float) -> KernelSight | None:
    """The runtime's list of kernels; ``None`` if it is none. What is odd in an entry leaves it out, but
    a state that is not known counts as busy."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or len(found) > _MOST:
        return None
    entries = [one for one in found if isinstance(one, dict) and _id(one)]
    connections = [one.get("connections") for one in entries]
    return KernelSight(
        read_at=read_at,
        kernels=frozenset(_id(one) for one in entries),
        busy=frozenset(
            _id(one)
            for one in entries
            if one.get("execution_state") not in ("idle", "starting", "dead")
        ),
        connections=sum(one for one in connections if isinstance(one, int) and 0 <= one < 10**6),
    )


def _id(entry: dict[str, object]) -> str:
    name = entry.get("id")
    return name if isinstance(name, str) and _ID.fullmatch(name) else ""


def _answered(so_far: Sequence[Reading]) -> bool:
    return any(
        seen.probe is ProbeName.RUNTIME_TUNNEL and seen.outcome is Outcome.OK
        for reading in so_far
        for seen in reading.observations
    )
