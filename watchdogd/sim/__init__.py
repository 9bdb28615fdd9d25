"""The same decisions away from the world: a recorded log is replayed. No I/O; imports only the core and
the log's lines."""

from watchdogd.sim.replay import News, Taken, Unplayable, replay
from watchdogd.sim.what_if import Other, what_if

__all__ = ["News", "Other", "Taken", "Unplayable", "replay", "what_if"]
