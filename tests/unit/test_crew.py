"""Threads that are used again."""

from __future__ import annotations

import queue
import threading
import weakref

from tests.lab.waiting import until
from watchdogd.adapters.crew import Crew

WAIT = 20.0


def test_a_thread_that_rests_takes_the_next_job_under_its_name() -> None:
    crew = Crew(rest=WAIT / 10)
    seen: queue.Queue[tuple[threading.Thread, str]] = queue.Queue()

    def job() -> None:
        one = threading.current_thread()
        seen.put((one, one.name))

    crew.start("first", job)
    first, name = seen.get(timeout=WAIT)
    assert name == "first"
    until(lambda: crew._resting, "it rests")
    crew.start("second", job)
    assert seen.get(timeout=WAIT) == (first, "second")
    first.join(WAIT)
    assert not first.is_alive()


def test_jobs_at_once_have_a_thread_each() -> None:
    crew, met = Crew(rest=0.0), threading.Barrier(3)

    def meet() -> None:
        met.wait(WAIT)

    for number in range(2):
        crew.start(f"job-{number}", meet)
    met.wait(WAIT)


def test_a_thread_that_rests_holds_nothing_of_its_last_job() -> None:
    class Load:
        pass

    crew, load = Crew(rest=WAIT / 10), Load()
    gone = weakref.ref(load)
    crew.start("holding", lambda held=load: None)  # type: ignore[misc]
    del load
    until(lambda: gone() is None, "the job is forgotten while its thread rests")


def test_no_job_is_lost_between_rest_and_end() -> None:
    crew, done = Crew(rest=0.0), threading.Semaphore(0)
    for _ in range(500):
        crew.start("short", done.release)
    for _ in range(500):
        assert done.acquire(timeout=WAIT)
