"""The pool that does the waiting: one job, one deadline, exactly one answer.

In the flow: the loop's commands become jobs here; their answers go back into the loop's inbox.
A thread cannot be stopped from outside, so at its deadline a job is *answered*, not ended. A job that
hangs on is counted, its late result is logged and dropped, and its place in the pool is given to
another thread, so that one wedged call starves nobody. A job goes to the thread that worked last: those
that a burst needed are then idle long enough to end, however regularly the few others work. The first job
that an answer submits stays in the answer's thread, which is free a moment later: a lane of probes is one
thread's work, and wakes no other.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from watchdogd.ports import Clock, Deadline

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

log = logging.getLogger(__name__)

HUNG_LIMIT = 4
"""Jobs that may hang past their deadline before the agent stops trusting itself."""
IDLE_SECONDS = 60.0
"""An idle thread ends after so long."""


@dataclass(frozen=True, slots=True)
class Value(Generic[T_co]):
    """The job returned this."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Raised:
    """The job raised this."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Overdue:
    """The deadline passed first; whatever the job does later is dropped."""


Answer = Value[T] | Raised | Overdue


@dataclass(slots=True, eq=False)
class Job:
    """One submitted piece of work. Only ``running`` is for callers."""

    name: str
    work: Callable[[], Any]
    answer: Callable[[Any], None]
    at: float
    """``run`` clock of its deadline."""
    answered: bool = False
    begun: bool = False
    ended: bool = False
    hung: bool = False

    def running(self) -> bool:
        """True while a thread is still inside the work, also long after the answer."""
        return self.begun and not self.ended


@dataclass(slots=True, eq=False)
class _Seat:
    """Where one idle thread waits for the job that is given to it."""

    turn: threading.Condition
    job: Job | None = None


class _Own(threading.local):
    """Of one thread of the pool."""

    answering = False
    """It gives an answer, and goes on with what that submits first."""
    next: Job | None = None


class Workers:
    """At most ``limit`` threads for jobs that keep their deadlines; made when needed, named ``worker-N``.

    ``answer`` callbacks run on a pool thread and must neither block nor raise.
    """

    def __init__(
        self, clock: Clock, limit: int = 32, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._new_due = threading.Condition(self._lock)
        self._waiting: deque[Job] = deque()
        self._due: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._names = itertools.count(1)
        self._threads: set[threading.Thread] = set()
        self._busy: set[Job] = set()
        self._own = _Own()
        self._seats: list[_Seat] = []  # of idle threads; the one that worked last comes last
        self._hung = 0
        self._closed = False
        self._timer: threading.Thread | None = None

    def submit(
        self,
        name: str,
        job: Callable[[], T],
        deadline: float,
        answer: Callable[[Answer[T]], None],
    ) -> Job:
        """Run ``job`` soon; ``answer`` gets its one answer within ``deadline`` seconds from now.

        A job that found no free thread by then is answered ``Overdue`` and never begun. After
        ``close`` nothing is begun and nothing is answered.
        """
        made = Job(name, job, answer, self._clock.run() + deadline)
        with self._lock:
            if self._closed:
                return made
            heapq.heappush(self._due, (made.at, next(self._order), made))
            if self._due[0][2] is made:
                self._new_due.notify()
            if self._own.answering and self._own.next is None and not self._waiting:
                self._own.next = made
            elif self._seats:
                self._call(self._seats.pop(), made)
            else:
                self._waiting.append(made)
            self._staff()
        return made

    def resize(self, limit: int) -> None:
        """At most so many threads from now on; what runs is not ended."""
        with self._lock:
            self._limit = limit
            self._staff()

    def hung(self) -> int:
        """How many jobs are past their deadline and still hold a thread."""
        with self._lock:
            return self._hung

    def idle(self) -> int:
        """How many threads wait for a job."""
        with self._lock:
            return len(self._seats)

    def health(self) -> str:
        """Empty, or why the pool cannot be trusted any more."""
        hung = self.hung()
        return f"{hung} jobs hang past their deadlines" if hung > HUNG_LIMIT else ""

    def close(self, seconds: float) -> tuple[str, ...]:
        """Begin and answer nothing more, wait for what runs; returns the names of jobs that hang on."""
        until = Deadline.after(self._clock, seconds)
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._due.clear()
            self._new_due.notify()
            while self._seats:
                self._call(self._seats.pop(), None)
            threads = [*self._threads, *([self._timer] if self._timer else [])]
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(until.remaining())
        with self._lock:
            return tuple(sorted(job.name for job in self._busy))

    def _call(self, seat: _Seat, job: Job | None) -> None:
        seat.job = job
        seat.turn.notify()

    def _staff(self) -> None:
        if self._timer is None:
            self._timer = threading.Thread(
                target=self._watch_deadlines, name="worker-deadlines", daemon=True
            )
            self._timer.start()
        if self._waiting and len(self._threads) - self._hung < self._limit:
            thread = threading.Thread(
                target=self._work, name=f"worker-{next(self._names)}", daemon=True
            )
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                answer = self._carry_out(job)
                self._finish(job, answer)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                if self._own.next is not None:  # the answer broke, and with it this thread
                    self._waiting.append(self._own.next)
                    self._staff()

    def _next(self) -> Job | None:
        with self._lock:
            while not self._closed:
                job, self._own.next = self._own.next, None
                if job is None:
                    job = self._waiting.popleft() if self._waiting else self._given()
                if job is None or self._closed:
                    return None
                if not job.answered:
                    job.begun = True
                    self._busy.add(job)
                    return job
            return None

    def _given(self) -> Job | None:
        """Waits until this thread is called; ``None`` if it is not needed any more."""
        if len(self._threads) - self._hung > self._limit:
            return None  # others took the place of hung jobs that ended after all
        seat = _Seat(threading.Condition(self._lock))
        self._seats.append(seat)
        if not seat.turn.wait_for(lambda: seat not in self._seats, self._idle_seconds):
            self._seats.remove(seat)
        return seat.job

    def _carry_out(self, job: Job) -> Answer[Any]:
        try:
            return Value(job.work())
        except Exception as error:  # noqa: BLE001 - whatever a job raises is its answer, not our end
            return Raised(error)

    def _finish(self, job: Job, answer: Answer[Any]) -> None:
        with self._lock:
            job.ended = True
            self._busy.discard(job)
            if job.hung:
                self._hung -= 1
            late, job.answered = job.answered or self._closed, True
        if not late:
            self._own.answering = True
            job.answer(answer)
            self._own.answering = False
        elif job.hung:
            log.warning("job %s ended after its deadline; its result is dropped", job.name)

    def _watch_deadlines(self) -> None:
        while (due := self._overdue()) is not None:
            for job in due:
                log.warning("job %s did not answer by its deadline", job.name)
                job.answer(Overdue())

    def _overdue(self) -> list[Job] | None:
        """Blocks until a deadline passes; gives the jobs that missed it; ``None`` once closed."""
        with self._lock:
            while not self._closed:
                late = self._take_late(self._clock.run())
                if late:
                    return late
                wait = self._due[0][0] - self._clock.run() if self._due else None
                self._new_due.wait(wait if wait is None else max(0.0, wait))
            return None

    def _take_late(self, now: float) -> list[Job]:
        late: list[Job] = []
        while self._due and (self._due[0][0] <= now or self._due[0][2].answered):
            job = heapq.heappop(self._due)[2]
            if job.answered:
                continue
            job.answered = True
            if job.begun:
                job.hung = True
                self._hung += 1
                self._staff()
            late.append(job)
        return late
