"""Signs of life and hazards: what forbids ending something that may be at work.

A reading that is missing permits nothing: it is *no sight*, never "no sign".
"""

from __future__ import annotations

from watchdogd.core.model import Policy, TargetState
from watchdogd.core.sight import HostSight, ProcessCpu
from watchdogd.core.words import ContainerStatus, Kind, Outcome, ProbeName

WORK_RATIO = 0.01
"""More than this share of one core, used by a process other than the runtime server, is work."""
WORK_FLOOR_SECONDS = 0.03
"""Less CPU than three clock ticks between two readings is noise, however short the gap."""
LEAST_DISK_BYTES = 2 * 10**9
LEAST_INODES_RATIO = 0.02
MOST_LOAD_PER_CORE = 4.0
SETTLED_UPTIME_SECONDS = 120.0
ENDED = (ContainerStatus.CREATED, ContainerStatus.EXITED, ContainerStatus.DEAD)
SIGN_SECONDS = 60.0
"""A sign of work counts for so long. No setting shortens it: it is what protects a run."""
FRESH_SECONDS = 30.0
"""A server-side reading older than this is no sight (invariant I1)."""


def work_between(older: HostSight, newer: HostSight) -> bool | None:
    """Did a process other than the runtime server use CPU between two readings?

    ``None`` = one of them has no process list. A process that appeared in between counts with
    all that it used; one that ended counts as no sign, it is gone.
    """
    if older.processes is None or newer.processes is None:
        return None
    before = {(one.pid, one.started): one.cpu_seconds for one in older.processes}
    used = sum(_used(one, before) for one in newer.processes)
    elapsed = max(0.0, newer.read_at - older.read_at)
    return used > max(WORK_FLOOR_SECONDS, WORK_RATIO * elapsed)


def _used(process: ProcessCpu, before: dict[tuple[int, int], float]) -> float:
    return max(0.0, process.cpu_seconds - before.get((process.pid, process.started), 0.0))


def sign_of_life(state: TargetState, policy: Policy, run: float) -> bool | None:
    """Is there a sign that work goes on in the runtime? ``None`` = it cannot be told.

    A sign counts for 60 s, however often the target is looked at. "No sign" needs two readings of the process
    list, at least ``policy.read_gap`` apart, the newer one fresh.
    """
    seen = state.work_seen_run
    if seen is not None and run - seen <= SIGN_SECONDS:
        return True
    newest, baseline = state.sight.host, state.work_baseline
    if newest is None or newest.processes is None or run - newest.read_at > FRESH_SECONDS:
        return None
    if baseline is None or baseline.processes is None:
        return None
    if newest.read_at - baseline.read_at < policy.read_gap:
        return None
    return False


def hazard(state: TargetState, *, destructive: bool) -> str:
    """Why what is stopped now could not start again, or silence is no proof; empty if nothing."""
    host = state.sight.host
    container = state.sight.container
    if container is not None and container.publish_as_configured is False:
        return "the container's published port is not the configured one"
    if host is None:
        return ""
    if host.disk_free_bytes is not None and host.disk_free_bytes < LEAST_DISK_BYTES:
        return "less than 2 GB of disk free on the server"
    if host.inodes_free_ratio is not None and host.inodes_free_ratio < LEAST_INODES_RATIO:
        return "less than 2 % of inodes free on the server"
    if host.uptime_seconds is not None and host.uptime_seconds < SETTLED_UPTIME_SECONDS:
        return "the server booted less than 120 s ago"
    load = host.load_per_core
    if destructive and load is not None and load > MOST_LOAD_PER_CORE:
        return "the server's load is above 4 per core: silence under load is not death"
    return ""


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
