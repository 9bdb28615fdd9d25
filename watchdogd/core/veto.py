"""Hazards, and how fresh what was read on the server is: what forbids to act, whatever else is known.

A reading that is missing permits nothing: it is *no sight*, never "no hazard".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from watchdogd.core.lengths import length
from watchdogd.core.life import FRESH_SECONDS
from watchdogd.core.model import Policy, TargetState
from watchdogd.core.sight import GpuTool, HostSight, Sight
from watchdogd.core.words import ContainerStatus, Kind, Outcome, ProbeName

LEAST_DISK_BYTES = 2 * 10**9
LEAST_INODES_RATIO = 0.02
MOST_LOAD_PER_CORE = 4.0
SETTLED_UPTIME_SECONDS = 120.0
ENDED = (ContainerStatus.CREATED, ContainerStatus.EXITED, ContainerStatus.DEAD)
MOST_PRESSURE = 0.4
"""Share of a minute in which all work waited: silence then says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """Why what is stopped now could not start again, or why silence is no proof."""

    what: str
    """With what was read."""
    once: str
    """What ends it."""
    yours: str
    """What a person can do about it."""
    risk: str = "it might not start again"
    """For whoever restarts it all the same."""
    passes: bool = True
    """It can end without a person."""


def hazard(state: TargetState, *, destructive: bool) -> Hazard | None:
    """The first that is found."""
    host = state.sight.host
    container = state.sight.container
    if container is not None and container.publish_as_configured is False:
        return OTHER_PORT
    if container is not None and container.status is ContainerStatus.DEAD:
        return DEAD
    if host is None:
        return None
    if host.disk_free_bytes is not None and host.disk_free_bytes < LEAST_DISK_BYTES:
        return _short(f"{host.disk_free_bytes / 1e9:.1f} GB of disk", "2 GB are", "disk space")
    if host.inodes_free_ratio is not None and host.inodes_free_ratio < LEAST_INODES_RATIO:
        free = f"{host.inodes_free_ratio:.1%} of the inodes (room for files)"
        return _short(free, "2 % are", "inodes, by removing files")
    if host.uptime_seconds is not None and host.uptime_seconds < SETTLED_UPTIME_SECONDS:
        return Hazard(
            what=f"the server booted {length(host.uptime_seconds)} ago and is left alone for its "
            f"first {length(SETTLED_UPTIME_SECONDS)}",
            once=f"the server is up for {length(SETTLED_UPTIME_SECONDS)}",
            yours="nothing to do",
            risk="what starts with the server may still be on its way",
        )
    gpu = state.sight.gpu
    if gpu is not None and gpu.tool is GpuTool.MISMATCH:
        return OTHER_DRIVER
    return _strain(host) if destructive else None


OTHER_PORT = Hazard(
    what="the container's published port is not the configured one, and a restart keeps its ports",
    once="the container is made anew with that port, or the configuration is changed",
    yours="make the container anew with the configured port, or configure the port that it has",
    passes=False,
)
DEAD = Hazard(
    what="the container is dead: the engine failed to remove it, and cannot start it again",
    once="the container was removed",
    yours="have it removed on the server (docker rm -f)",
    passes=False,
)
OTHER_DRIVER = Hazard(
    what="the GPU's driver and library are of two versions: what ends now could not start again",
    once="the driver was loaded anew, or the server booted",
    yours="ask whoever runs the server to load the new GPU driver, or to reboot",
    passes=False,
)


def _short(free: str, needed: str, what: str) -> Hazard:
    return Hazard(
        what=f"only {free} free on the server ({needed} needed): it might not start again",
        once=f"{needed} free",
        yours=f"free {what} on the server",
    )


def _strain(host: HostSight) -> Hazard | None:
    load, pressure = host.load_per_core, host.pressure_ratio
    if load is not None and load > MOST_LOAD_PER_CORE:
        return _slow(
            f"is overloaded (load {load:.1f} per core, limit {MOST_LOAD_PER_CORE:g})",
            f"the load is at most {MOST_LOAD_PER_CORE:g} per core",
        )
    if pressure is not None and pressure > MOST_PRESSURE:
        return _slow(
            f"is short of memory or disk speed (all work waited {pressure:.0%} of the last minute for "
            f"it, limit {MOST_PRESSURE:.0%})",
            f"work waits for that at most {MOST_PRESSURE:.0%} of a minute",
        )
    return None


def _slow(how: str, once: str) -> Hazard:
    return Hazard(
        what=f"the server {how}, so it may only be slow, not hung",
        once=once,
        yours="log in to the server and see what causes it (top); it may be your own job",
        risk="what slows the server down may be work in it",
    )


def without_hazards(sight: Sight) -> Sight:
    """The same reading, where ``hazard`` finds nothing."""
    host, container, gpu = sight.host, sight.container, sight.gpu
    return replace(
        sight,
        container=container and replace(container, publish_as_configured=None),
        host=host
        and replace(
            host,
            disk_free_bytes=None,
            inodes_free_ratio=None,
            uptime_seconds=None,
            load_per_core=None,
            pressure_ratio=None,
        ),
        gpu=replace(gpu, tool=GpuTool.OK) if gpu and gpu.tool is GpuTool.MISMATCH else gpu,
    )


def looked_for(sight: Sight, run: float) -> tuple[str, ...]:
    """The kinds of hazards that would have been seen now."""
    host, gpu = sight.host, sight.gpu
    if host is None or run - host.read_at > FRESH_SECONDS:
        return ()
    driver = gpu is not None and run - gpu.read_at <= FRESH_SECONDS
    read = {
        "disk": host.disk_free_bytes is not None,
        "load": host.load_per_core is not None,
        "a fresh boot": host.uptime_seconds is not None,
        "GPU driver": driver and gpu is not None and gpu.tool in (GpuTool.OK, GpuTool.MISMATCH),
    }
    return tuple(name for name, seen in read.items() if seen)


def host_seen(state: TargetState, run: float) -> bool:
    """Have the machine's own facts, the hazards among them, been read lately enough to act on?"""
    host = state.sight.host
    return host is not None and run - host.read_at <= FRESH_SECONDS


def seen_failing(state: TargetState, run: float) -> bool:
    """Did the newest request executed on the server fail, and lately enough to act on?"""
    asked = [one for one in state.observations if one.probe is ProbeName.RUNTIME_SERVER]
    return bool(asked) and all(
        one.outcome is Outcome.FAIL and run - one.ended <= FRESH_SECONDS for one in asked
    )


def not_running(state: TargetState, kind: Kind) -> bool:
    """Does the newest reading itself show that what is to be started does not run?"""
    container, session = state.sight.container, state.sight.session
    if kind is Kind.SESSION:
        return session is not None and session.command_running is False
    return container is not None and (container.id is None or container.status in ENDED)


def server_seen(state: TargetState, policy: Policy, run: float) -> bool:
    """Has the server side been read lately enough to act on?"""
    sight = state.sight
    parts = [sight.container] if policy.kind is Kind.CONTAINER else [sight.session]
    return all(part is not None and run - part.read_at <= FRESH_SECONDS for part in parts)
