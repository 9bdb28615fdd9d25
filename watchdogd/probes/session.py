"""Probe ``session``: the tmux session, a view of the container's log or the runtime's own home."""

from __future__ import annotations

from collections.abc import Sequence

from watchdogd.core.model import Observation
from watchdogd.core.sight import SessionSight
from watchdogd.core.words import Cause, Kind, Layer, ProbeName, Vantage
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline, EngineRefused, Reach, Reading
from watchdogd.probes.observing import Watch
from watchdogd.settings import RuntimeSettings


def session(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """FAIL ``session_missing`` if the session, or the runtime's command in it, is not there.

    Without a configured session there is nothing to observe, and the reading is empty.
    """
    name = reach.target.runtime.session.name
    if reach.sessions is None or not name:
        return Reading(observations=())
    watch = Watch.start(reach.clock, ProbeName.SESSION, Layer.CONTAINER, Vantage.SERVER)
    try:
        sight = reach.sessions.look(name, deadline)
    except EngineRefused as refused:
        return Reading(observations=(watch.unknown(refused.detail, refused.mend),))
    except (Transient, Permanent) as error:
        return Reading(observations=(watch.unknown(error.detail, error.mend),))
    seen = _observe(watch, sight, reach.target.runtime)
    return Reading(observations=(seen,), session=sight)


def _observe(watch: Watch, sight: SessionSight, runtime: RuntimeSettings) -> Observation:
    name = runtime.session.name
    if sight.exists is None:
        return watch.unknown(f"tmux does not tell whether session {name} exists")
    if not sight.exists:
        return watch.fail(Cause.SESSION_MISSING, f"there is no tmux session {name}")
    if runtime.kind is Kind.SESSION and sight.command_running is False:
        why = f"the command in tmux session {name} has ended"
        return watch.fail(Cause.SESSION_MISSING, why, runtime.session.last_words)
    return watch.ok()
