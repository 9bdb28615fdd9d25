"""A crash loop: who starts for the third time in 10 min has not learned yet why, and only observes.

Pure; the journal keeps the starts, and asks this at each new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watchdogd.core.model import Env

CRASHES = 2
"""So many earlier starts that nobody ended: the present one is the third."""
CRASH_WINDOW_SECONDS = 600.0
OBSERVED_SECONDS = 600.0
"""So long it has to live before it is believed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of the agent. Times are those of the ``boot`` clock."""

    boot: float
    boot_id: str
    """The laptop's: what ended with it was no crash."""
    asked: bool
    """It was ended by somebody: a signal, the service manager, ``--once``."""
    observes_until: float = 0.0


def observes_until(earlier: Sequence[Start], now: Env) -> float:
    """Until when (``boot`` clock) the start at ``now`` only observes; 0 if it may repair.

    ``earlier``: oldest first. A restart that somebody asked for neither counts as a crash nor cuts
    short what an earlier one still had to observe.
    """
    known = [one for one in earlier if one.boot_id == now.boot_id]
    if not known:
        return 0.0
    lately = [one for one in known if now.boot - one.boot < CRASH_WINDOW_SECONDS]
    if not known[-1].asked and sum(not one.asked for one in lately) >= CRASHES:
        return now.boot + OBSERVED_SECONDS
    return known[-1].observes_until if known[-1].observes_until > now.boot else 0.0
