"""For how long a runtime that fails on its own server was watched doing nothing at all.

Held memory of a GPU is believed to be work until an hour of such silence is together. A look that is
missed (a link that broke, a night) adds nothing to it, and forgets nothing: what the processes did
meanwhile stands in their counters, and any of it begins the hour anew.
"""

from __future__ import annotations

from watchdogd.core.events import Observed
from watchdogd.core.life import IO_FLOOR_BYTES, moved, work_between
from watchdogd.core.model import Verdict
from watchdogd.core.records import merged
from watchdogd.core.sight import HostSight
from watchdogd.core.traces import NO_QUIET, Life, Quiet
from watchdogd.core.turn import Turn


def follow(turn: Turn, event: Observed, verdict: Verdict) -> None:
    """What a round adds, or ends. Only for one that counts, once its signs are in the state's ``life``."""
    known = turn.state.life.quiet
    if verdict.usable or verdict.served:
        if known is not NO_QUIET:
            _keep(turn, NO_QUIET)
        return
    host = event.sight.host
    if verdict.served is False and host is not None and host.processes is not None:
        _keep(turn, _longer(turn, known, host))


def _keep(turn: Turn, quiet: Quiet) -> None:
    turn.change(life=merged(turn.state.life, {"quiet": quiet}))


def _longer(turn: Turn, known: Quiet, host: HostSight) -> Quiet:
    """The silence with this reading: begun anew by any work since the last one."""
    last = known.host
    if last is None or _worked(turn.state.life, last, host):
        return Quiet(host=host)
    # What was not watched (the rounds between were missed) is not counted as watched.
    most = 2 * (turn.policy.suspect_interval + turn.policy.timeout)
    return Quiet(
        seconds=known.seconds + min(most, max(0.0, host.read_at - last.read_at)), host=host
    )


def _worked(life: Life, last: HostSight, now: HostSight) -> bool:
    """A sign seen since, or used CPU and disk that no look was there to see."""
    seen = (life.cpu_run, life.io_run, life.gpu_run, life.log_run, life.busy_run)
    if any(at is not None and at > last.read_at for at in seen):
        return True
    read = moved(last.io_bytes, now.io_bytes)
    return bool(work_between(last, now)) or (read is not None and read > IO_FLOOR_BYTES)
