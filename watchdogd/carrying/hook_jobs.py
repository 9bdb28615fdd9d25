"""One target's resume hook as jobs: first the journal's word, then the command, and exactly one answer.

In the flow: the executor hands over ``RunHook``; ``HookFinished`` is posted into the inbox. What is not on
disk is not begun, so no crash of the agent makes it run twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from watchdogd.core.events import Event, HookFinished
from watchdogd.core.model import Env
from watchdogd.core.resume import Hook
from watchdogd.core.words import Result
from watchdogd.ports import Deadline, HookFunction, Journal, Outcome, Reach
from watchdogd.workers import Answer, Overdue, Raised, Value, Workers

log = logging.getLogger(__name__)

JOURNAL_SECONDS = 10.0
"""For a commit; a disk that takes longer forbids the act."""
END_SECONDS = 10.0
"""Beyond the command's deadline: for its end by force."""


class HookJobs:
    """``carry`` returns at once and never raises."""

    def __init__(
        self,
        workers: Workers,
        post: Callable[[Event], None],
        run: HookFunction | None,
        journal: Journal | None,
        stopped: Callable[[], bool],
    ) -> None:
        """``run`` is ``None`` where nothing may be run. Once ``stopped`` nothing is begun."""
        self._workers = workers
        self._post = post
        self._run = run
        self._journal = journal
        self._stopped = stopped

    def carry(self, reach: Reach, hook: Hook, env: Env) -> None:
        """Begin it, if the journal can keep that."""
        name = reach.target.name
        if self._run is None:
            self._finished(hook, Result.NOTHING, "only harmless remedies")
        elif self._journal is None:
            self._finished(hook, Result.NOTHING, "journal: not open, so nothing may be risked")
        else:
            self._workers.submit(
                f"intent resume {name}",
                partial(self._journal.intend_hook, name, hook, env),
                JOURNAL_SECONDS,
                partial(self._intended, self._journal, self._run, reach, hook),
            )

    def _intended(
        self, journal: Journal, run: HookFunction, reach: Reach, hook: Hook, answer: Answer[None]
    ) -> None:
        match answer:
            case Value():
                self._workers.submit(
                    f"resume {reach.target.name}",
                    partial(self._begin, run, reach, hook),
                    hook.deadline_seconds + END_SECONDS,
                    partial(self._ended, journal, reach.target.name, hook),
                )
            case Overdue():
                self._finished(hook, Result.NOTHING, "journal: the disk did not answer in time")
            case Raised(FileExistsError()):
                self._finished(hook, Result.FAILED, "it was begun for this generation before")
            case Raised(error):
                log.error("journal cannot keep a resume, so it is not begun", exc_info=error)
                self._finished(hook, Result.NOTHING, f"journal: {error}")

    def _begin(self, run: HookFunction, reach: Reach, hook: Hook) -> Outcome:
        if self._stopped():
            return Outcome(result=Result.NOTHING, detail="the agent is stopping")
        return run(reach.target, hook, Deadline.after(reach.clock, hook.deadline_seconds))

    def _ended(self, journal: Journal, name: str, hook: Hook, answer: Answer[Outcome]) -> None:
        match answer:
            case Value(outcome):
                pass
            case Overdue():
                outcome = Outcome(result=Result.UNKNOWN, detail="no answer by the deadline")
            case Raised(error):
                log.error("resume_command of %s could not be run", name, exc_info=error)
                outcome = Outcome(result=Result.FAILED, detail=f"it raised {type(error).__name__}")
        self._workers.submit(
            f"journal {name}",
            partial(journal.finish_hook, name, hook.key, outcome.result),
            JOURNAL_SECONDS,
            partial(self._kept, name),
        )
        self._finished(hook, outcome.result, outcome.detail)

    def _kept(self, name: str, answer: Answer[None]) -> None:
        if isinstance(answer, Raised):
            log.error("journal of %s failed", name, exc_info=answer.error)

    def _finished(self, hook: Hook, result: Result, detail: str) -> None:
        self._post(HookFinished(key=hook.key, result=result, detail=detail))
