"""For how long a runtime that fails on its own server was watched doing nothing at all.

Held memory of a GPU is believed to be work until an hour of such silence is together. A look that is
missed (a link that broke, a night), or that could not read every sign, adds nothing to it and forgets
nothing: what the processes did meanwhile stands in their counters. Any sign begins the hour anew.
"""

from __future__ import annotations

from watchdogd.core.events import Observed
from watchdogd.core.life import IO_FLOOR_BYTES, moved, work_between
from watchdogd.core.model import Policy, Verdict
from watchdogd.core.pacing import only_shown
from watchdogd.core.records import merged
from watchdogd.core.sight import GpuTool, HostSight, Sight
from watchdogd.core.traces import NO_QUIET, Life, Quiet
from watchdogd.core.turn import Turn


def follow(turn: Turn, event: Observed, verdict: Verdict) -> None:
    """What a round adds, or ends. Only for one that counts, once its signs are in the state's ``life``."""
    known, life = turn.state.life.quiet, turn.state.life
    if verdict.usable or verdict.served or only_shown(turn.state) or _sign_since(life, known):
        known = NO_QUIET
    elif verdict.served is False and _all_read(event.sight, turn.policy):
        known = _longer(turn, known, event.sight.host)
    if known is not life.quiet:
        turn.change(life=merged(life, {"quiet": known}))


def _sign_since(life: Life, known: Quiet) -> bool:
    """Any other sign of work since the last reading, whatever else that round could not read."""
    if known.host is None:
        return False
    seen = (life.cpu_run, life.io_run, life.gpu_run, life.log_run, life.busy_run)
    since = known.host.read_at
    return any(at is not None and at > since for at in seen)


def _all_read(sight: Sight, policy: Policy) -> bool:
    """Did this very round read every sign that "no sign" rests on (``life.unread``)?"""
    if sight.host is None or sight.host.processes is None:
        return False
    if policy.gpus and (sight.gpu is None or sight.gpu.tool not in (GpuTool.OK, GpuTool.NONE)):
        return False
    return not policy.watches_training or sight.training is not None


def _longer(turn: Turn, known: Quiet, host: HostSight | None) -> Quiet:
    """The silence with this reading, which begins anew if a counter tells of work since the last one."""
    last = known.host
    if host is None or (last is not None and last.io_bytes is not None and host.io_bytes is None):
        return known
    # What was not watched (the rounds between were missed) is not counted as watched, nor is work in it
    # measured by its whole length.
    most = 2 * (turn.policy.suspect_interval + turn.policy.timeout)
    if last is None or _worked(last, host, most):
        return Quiet(host=host)
    gap = min(most, max(0.0, host.read_at - last.read_at))
    return Quiet(seconds=known.seconds + gap, host=host)


def _worked(last: HostSight, now: HostSight, most: float) -> bool:
    """Were CPU or disk used that no look was there to see? A counter that fell tells nothing, so it may."""
    read = moved(last.io_bytes, now.io_bytes)
    disk = read is not None and (read < 0 or read > IO_FLOOR_BYTES)
    return disk or bool(work_between(last, now, at_most=most))
