"""Keeps what must survive the agent: each change of a target's memory goes to the journal.

In the flow: told like a sink after the state changed; a thread of its own writes, the newest memory of a
target in the place of those that were not written yet. What is charged is kept elsewhere, before the act.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from watchdogd.core.commands import Fact
from watchdogd.core.events import Event
from watchdogd.core.model import Env, Memory, TargetState
from watchdogd.core.operating import memory

log = logging.getLogger(__name__)

Keep = Callable[[str, Memory, Env], None]
"""``Journal.remember``."""
RETRY_SECONDS = 30.0
"""After a failed write."""


class MemoryKeeper:
    """Implements ``ports.Sink``."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._known: dict[str, Memory] = {}
        self._waiting: dict[str, tuple[Memory, Env]] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def start(self) -> None:
        """Write from now on; what was told before waits."""
        self._thread.start()

    def close(self, seconds: float) -> bool:
        """Write what waits and end, in that time. False if the disk does not answer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        """Take note; never waits for the disk. A target whose journal cannot be used is left alone."""
        now = memory(state)
        if not state.journal_ok or self._known.get(target) == now:
            return
        self._known[target] = now
        with self._changed:
            self._waiting[target] = (now, env)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or bool(self._waiting))
                taken, self._waiting = self._waiting, {}
                closing = self._closing
            for target, (one, env) in taken.items():
                self._write(target, one, env)
            if closing:
                return

    def _write(self, target: str, one: Memory, env: Env) -> None:
        try:
            self._keep(target, one, env)
        except OSError as error:
            if not self._failing:
                log.warning("what must survive a restart of the agent cannot be kept: %s", error)
            self._failing = True
            with self._changed:
                # again with the next change of any target, unless a newer one came
                self._waiting.setdefault(target, (one, env))
                if not self._closing:
                    self._changed.wait(RETRY_SECONDS)
        else:
            if self._failing:
                log.info("what must survive a restart of the agent is kept again")
            self._failing = False
