"""Hazards, and how fresh what was read on the server is: what forbids to act, whatever else is known.

A reading that is missing permits nothing: it is *no sight*, never "no hazard".
"""

from __future__ import annotations

from dataclasses import replace

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


def hazard(state: TargetState, *, destructive: bool) -> str:
    """Why what is stopped now could not start again, or silence is no proof; empty if nothing."""
    host = state.sight.host
    container = state.sight.container
    if container is not None and container.publish_as_configured is False:
        return "the container's published port is not the configured one"
    if container is not None and container.status is ContainerStatus.DEAD:
        return "the container is dead: the engine failed to remove it, and cannot start it again"
    if host is None:
        return ""
    if host.disk_free_bytes is not None and host.disk_free_bytes < LEAST_DISK_BYTES:
        return "less than 2 GB of disk free on the server"
    if host.inodes_free_ratio is not None and host.inodes_free_ratio < LEAST_INODES_RATIO:
        return "less than 2 % of inodes free on the server"
    if host.uptime_seconds is not None and host.uptime_seconds < SETTLED_UPTIME_SECONDS:
        return "the server booted less than 120 s ago"
    gpu = state.sight.gpu
    if gpu is not None and gpu.tool is GpuTool.MISMATCH:
        return (
            "the GPU's driver and library are of two versions: what ends now could not start again"
        )
    return _strain(host) if destructive else ""


def _strain(host: HostSight) -> str:
    load, pressure = host.load_per_core, host.pressure_ratio
    if load is not None and load > MOST_LOAD_PER_CORE:
        return "the server's load is above 4 per core: silence under load is not death"
    if pressure is not None and pressure > MOST_PRESSURE:
        return "all work on the server waits for memory or its disk: silence then is not death"
    return ""


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
