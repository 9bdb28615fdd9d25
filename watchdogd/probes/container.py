"""Probe ``container``: what the server's container engine says about the one container that is meant.

Only ``kind = "container"`` has one. Not being able to ask is UNKNOWN, never "missing".
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from watchdogd.core.model import Observation
from watchdogd.core.sight import ContainerSight
from watchdogd.core.words import Cause, ContainerStatus, Layer, ProbeName, Vantage
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import ContainerAmbiguous, Deadline, EngineRefused, Reach, Reading
from watchdogd.probes.observing import Watch


def container(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """OK, or FAIL ``container_*``, with a ``ContainerSight``; FAIL ``container_engine_down`` in layer
    ``host``; UNKNOWN if the engine could not be asked; nothing at all for another kind of runtime."""
    engine, wanted = reach.engine, reach.target.runtime.container
    if engine is None or wanted is None:
        return Reading(observations=())
    watch = Watch.start(reach.clock, ProbeName.CONTAINER, Layer.CONTAINER, Vantage.SERVER)
    if reach.links.status().link is None:
        return Reading(observations=(watch.unknown("there is no link to the server"),))
    try:
        sight = engine.look(reach.target.name, wanted, deadline)
    except ContainerAmbiguous as several:
        return Reading(observations=(_ambiguous(watch, several),))
    except EngineRefused as refused:
        return Reading(observations=(watch.unknown(refused.detail, refused.mend),))
    except (Transient, Permanent) as error:
        return Reading(observations=(_unasked(watch, error),))
    return Reading(observations=(_judge(watch, sight, wanted.image),), container=sight)


def _ambiguous(watch: Watch, several: ContainerAmbiguous) -> Observation:
    names = ", ".join(several.names[:5])
    return watch.fail(
        Cause.CONTAINER_AMBIGUOUS,
        f"several containers could be meant: {names}",
        "name one of them: runtime.container.name",
    )


def _unasked(watch: Watch, error: Transient | Permanent) -> Observation:
    """Only the engine's own absence is a failure, of the host below; the rest is not seeing."""
    if error.cause is Cause.CONTAINER_ENGINE_DOWN:
        host = replace(watch, layer=Layer.HOST)
        return host.fail(Cause.CONTAINER_ENGINE_DOWN, error.detail, error.mend)
    return watch.unknown(error.detail, error.mend)


def _judge(watch: Watch, sight: ContainerSight, image: str) -> Observation:
    if sight.id is None:
        return _missing(watch, sight, image)
    if sight.status is ContainerStatus.RUNNING:
        return watch.ok(_running(sight))
    if sight.status is ContainerStatus.PAUSED:
        mend = f"on the server: docker unpause {sight.name}"
        return watch.fail(Cause.CONTAINER_PAUSED, f"{sight.name} is paused", mend)
    if sight.status is ContainerStatus.RESTARTING or sight.own_policy_at_work:
        times = f"{sight.name} is being restarted by the engine ({sight.restart_count} so far)"
        return watch.fail(Cause.CONTAINER_RESTARTING, times)
    if sight.status is ContainerStatus.REMOVING:
        mend = f"on the server, if it stays so: docker ps -a --filter name={sight.name}"
        return watch.unknown(f"{sight.name} is being removed", mend)
    if sight.status is None:
        return watch.unknown(f"{sight.name} is neither running nor ended")
    return _ended(watch, sight)


def _running(sight: ContainerSight) -> str:
    adopted = " (adopted)" if sight.adopted else ""
    health = f"; its own health command says {sight.health}" if sight.health == "unhealthy" else ""
    return f"{sight.name} runs{adopted}{health}"


def _missing(watch: Watch, sight: ContainerSight, image: str) -> Observation:
    if sight.stopped_by_person:
        return watch.fail(Cause.CONTAINER_MISSING, "the container was removed by a person")
    if sight.image_present is False:
        mend = f"on the server: docker pull {shlex.quote(image)}"
        text = f"there is no container, nor its image {image}"
        return watch.fail(Cause.CONTAINER_MISSING, text, mend)
    if sight.volumes_present is False:
        text = "there is no container, and a data volume of the former one is gone"
        return watch.fail(Cause.CONTAINER_MISSING, text)
    return watch.fail(Cause.CONTAINER_MISSING, "there is no container")


def _ended(watch: Watch, sight: ContainerSight) -> Observation:
    if sight.status is ContainerStatus.DEAD:
        text = f"{sight.name} is dead: the engine failed to remove it and cannot start it again"
        return watch.fail(Cause.CONTAINER_EXITED, text, f"on the server: docker rm {sight.name}")
    if sight.oom:
        text = f"{sight.name} was killed because memory ran out"
        return watch.fail(Cause.CONTAINER_OOM, text)
    if sight.error:
        return watch.fail(Cause.CONTAINER_EXITED, f"{sight.name} did not start: {sight.error}")
    if sight.status is ContainerStatus.CREATED:
        return watch.fail(Cause.CONTAINER_EXITED, f"{sight.name} was created and never started")
    how = "was stopped by a person" if sight.stopped_by_person else "ended"
    mend = f"on the server: docker start {sight.name}" if sight.stopped_by_person else ""
    text = f"{sight.name} {how}, status {sight.exit_code}"
    return watch.fail(Cause.CONTAINER_EXITED, text, mend)
