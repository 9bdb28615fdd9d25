"""Counts the agent's starts: after crashes in a row it only observes for a while; and what a start begins with."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Protocol

from watchdogd.core.events import Started
from watchdogd.loop import env_of
from watchdogd.ports import Clock, Journal, StartLog

log = logging.getLogger(__name__)


class Memory(Journal, StartLog, Protocol):
    """What of a journal is needed here."""


class Starts:
    """Of one agent. Its journal may fail: that is told where each target's memory is read."""

    def __init__(self, journal: Memory, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._observes_until = 0.0

    def began(self) -> None:
        """Note this start. One whose end nobody asks for is a crash."""
        with suppress(OSError):
            wait = self._journal.began(env_of(self._clock)) or 0.0
            self._observes_until = self._clock.run() + wait

    def asked(self) -> None:
        """Somebody wants it to end."""
        with suppress(OSError):
            self._journal.asked()

    def to_observe(self) -> float | None:
        """Seconds for which nothing is repaired from now on; ``None`` if there is no reason."""
        wait = self._observes_until - self._clock.run()
        return wait if wait > 0 else None

    def remembered(self, name: str) -> Started:
        """What a target begins with: all that a former agent left of it."""
        try:
            kept = self._journal.load(name, env_of(self._clock))
        except OSError as error:
            log.warning("the journal cannot be used (%s): %s is only observed", error, name)
            return Started(journal_ok=False)
        return Started(
            charges=kept.charges,
            memory=kept.memory,
            open=kept.open,
            hook=kept.hook,
            observe_seconds=self.to_observe(),
        )
