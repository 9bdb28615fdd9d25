"""The same decisions away from the world: a recorded log is replayed, or a whole world is played.

No I/O; imports only the core and the log's lines. The world (``world.py`` and what surrounds it) knows the
truth, a healer in it sees only what it could see in reality.
"""

from watchdogd.sim.replay import News, Taken, Unplayable, replay
from watchdogd.sim.what_if import Other, what_if

__all__ = ["News", "Other", "Taken", "Unplayable", "replay", "what_if"]
