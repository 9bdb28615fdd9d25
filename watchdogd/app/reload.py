"""Reading the configuration again: whole, or not at all.

A thread of its own reads, checks and has the change taken up, so that neither the decision loop nor a
signal waits for a disk or for ``ssh -G``. What is refused leaves the former configuration in force.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from watchdogd.app.changes import Changes
from watchdogd.errors import ConfigError, Transient
from watchdogd.ports import Clock
from watchdogd.settings import Settings

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""After a refusal: ``ssh -G`` did not answer, a folder could not be made, or what was wrong is mended without a
change of the files (a program that may be run now)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """How the last reading of the configuration ended."""

    at: float
    """Unix time."""
    problems: tuple[str, ...] = ()
    """Why it was refused; empty: it is in force."""


class Reload:
    """One reading at a time; a wish that comes meanwhile leads to another one."""

    def __init__(
        self,
        load: Callable[[], Settings],
        take_up: Callable[[Settings], Changes],
        clock: Clock,
        *,
        asked: Callable[[], None] = lambda: None,
        ended: Callable[[Reloaded], None] = lambda reloaded: None,
    ) -> None:
        """``load`` raises ``ConfigError``; ``take_up`` raises it too, or ``Transient`` or ``OSError``,
        before it changed anything. ``asked`` is called before a reading that somebody asked for,
        ``ended`` after each."""
        self._load = load
        self._take_up = take_up
        self._clock = clock
        self._told_asked = asked
        self._ended = ended
        self._last = Reloaded(at=clock.wall())
        self._wish = threading.Event()
        self._asked = False
        self._again = False
        """The last reading was refused, and another may end otherwise."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Begin to listen to wishes."""
        self._thread.start()

    def wish(self, *, asked: bool = False) -> None:
        """Have the configuration read again soon; returns at once. ``asked``: by a person, who is told
        also that nothing changed."""
        self._asked = self._asked or asked
        self._wish.set()

    def last(self) -> Reloaded:
        """How the last reading ended; the start counts as one."""
        return self._last

    def close(self, seconds: float) -> None:
        """Begin no reading any more; waits so long for one that runs."""
        self._stopping = True
        self._wish.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            self._wish.wait(RETRY_SECONDS if self._again else None)
            self._wish.clear()
            if self._stopping:
                return
            asked, self._asked = self._asked, False
            if asked:
                self._told_asked()
            problems = self._read(asked=asked)
            self._last = Reloaded(at=self._clock.wall(), problems=problems)
            self._ended(self._last)

    def _read(self, *, asked: bool) -> tuple[str, ...]:
        """The problems; empty if what stands in the files is in force now."""
        self._again = True
        try:
            changes = self._take_up(self._load())
        except ConfigError as error:
            problems = tuple(str(problem) for problem in error.problems)
        except (Transient, OSError) as error:
            problems = (str(error),)
        except Exception as error:
            self._again = False
            log.exception("the configuration could not be taken up")
            problems = (f"{type(error).__name__}; the log has the traceback",)
        else:
            self._again = False
            if changes or asked or self._last.problems:
                log.info("the configuration was read again: %s", changes)
            return ()
        if asked or problems != self._last.problems:  # one that is tried again is told once
            told = "; ".join(problems)
            log.error("the configuration is refused, the former one stays in force: %s", told)
        return problems
