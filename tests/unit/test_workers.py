"""The pool: one job, one deadline, exactly one answer."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from tests.lab.local_link import until
from watchdogd.adapters.clock import SystemClock
from watchdogd.workers import HUNG_LIMIT, Answer, Overdue, Raised, Value, Workers

SOON = 5.0


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers(SystemClock(), limit=4)
    yield pool
    assert pool.close(SOON) == ()


@pytest.fixture
def answers() -> queue.Queue[Answer[str]]:
    return queue.Queue()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Hangs jobs until set; set at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


def test_a_value_comes_back_once(workers: Workers, answers: queue.Queue[Answer[str]]) -> None:
    workers.submit("job", lambda: "done", SOON, answers.put)
    assert answers.get(timeout=SOON) == Value("done")
    assert workers.close(SOON) == ()
    assert answers.empty()


def test_what_a_job_raises_is_its_answer(
    workers: Workers, answers: queue.Queue[Answer[str]]
) -> None:
    def broken() -> str:
        raise ZeroDivisionError

    workers.submit("job", broken, SOON, answers.put)
    answer = answers.get(timeout=SOON)
    assert isinstance(answer, Raised)
    assert isinstance(answer.error, ZeroDivisionError)
    workers.submit("next", lambda: "still here", SOON, answers.put)
    assert answers.get(timeout=SOON) == Value("still here")


def test_a_job_that_hangs_is_answered_at_its_deadline_and_its_late_result_dropped(
    workers: Workers,
    answers: queue.Queue[Answer[str]],
    gate: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def hang() -> str:
        gate.wait()
        return "too late"

    job = workers.submit("slow", hang, 0.2, answers.put)
    assert answers.get(timeout=SOON) == Overdue()
    assert workers.hung() == 1
    assert job.running()
    with caplog.at_level(logging.WARNING):
        gate.set()
        assert workers.close(SOON) == ()
    assert not job.running()
    assert workers.hung() == 0
    assert answers.empty()
    assert "result is dropped" in caplog.text


def test_hung_jobs_take_no_place_of_others_and_are_reported_above_the_limit(
    workers: Workers, answers: queue.Queue[Answer[str]], gate: threading.Event
) -> None:
    def hang() -> str:
        gate.wait()
        return ""

    for count in range(1, HUNG_LIMIT + 2):
        assert workers.health() == ""
        workers.submit(f"slow {count}", hang, 0.1, answers.put)
        assert answers.get(timeout=SOON) == Overdue()
    assert str(HUNG_LIMIT + 1) in workers.health()
    workers.submit("quick", lambda: "served", SOON, answers.put)
    assert answers.get(timeout=SOON) == Value("served")
    gate.set()


def test_a_job_that_found_no_thread_by_its_deadline_is_never_begun(
    answers: queue.Queue[Answer[str]], gate: threading.Event
) -> None:
    pool = Workers(SystemClock(), limit=1)
    begun = threading.Event()
    pool.submit("first", lambda: str(gate.wait()), SOON, answers.put)

    def second() -> str:
        begun.set()
        return ""

    pool.submit("second", second, 0.05, answers.put)
    assert answers.get(timeout=SOON) == Overdue()
    gate.set()
    assert answers.get(timeout=SOON) == Value("True")
    assert pool.close(SOON) == ()
    assert not begun.is_set()


def test_many_jobs_are_each_answered_exactly_once(workers: Workers) -> None:
    got: queue.Queue[Answer[int]] = queue.Queue()
    for number in range(200):
        workers.submit(f"job {number}", lambda number=number: number, SOON, got.put)  # type: ignore[misc]
    values = [got.get(timeout=SOON) for _ in range(200)]
    assert sorted(one.value for one in values if isinstance(one, Value)) == list(range(200))
    assert got.empty()


def test_close_names_what_hangs_on_and_answers_nothing_more(
    answers: queue.Queue[Answer[str]], gate: threading.Event
) -> None:
    pool = Workers(SystemClock(), limit=1)
    inside = threading.Event()

    def hang() -> str:
        inside.set()
        gate.wait()
        return ""

    pool.submit("wedged", hang, SOON, answers.put)
    assert inside.wait(SOON)
    assert pool.close(0.05) == ("wedged",)
    gate.set()
    assert pool.close(SOON) == ()
    pool.submit("after the end", lambda: "", SOON, answers.put)
    assert answers.empty()


def burst(pool: Workers, size: int) -> None:
    """So many jobs at once, each in a thread of its own; returns when all are idle again."""
    together, got = threading.Barrier(size), queue.Queue[Answer[int]]()
    for number in range(size):
        pool.submit(f"burst {number}", together.wait, SOON, got.put)
    assert all(isinstance(got.get(timeout=SOON), Value) for _ in range(size))
    until(lambda: pool.idle() == size)


def has_idle(pool: Workers, count: int) -> bool:
    return pool.idle() >= count


def one_by_one(pool: Workers, count: int) -> list[str]:
    """Which threads carry out jobs that come when all of the pool is idle."""
    names: list[str] = []
    for number in range(count):
        got: queue.Queue[Answer[str]] = queue.Queue()
        before = pool.idle()
        pool.submit(f"job {number}", lambda: threading.current_thread().name, SOON, got.put)
        answer = got.get(timeout=SOON)
        assert isinstance(answer, Value)
        names.append(answer.value)
        until(partial(has_idle, pool, before))
    return names


def test_a_job_goes_to_the_thread_that_worked_last(workers: Workers) -> None:
    burst(workers, 4)
    assert len(set(one_by_one(workers, 20))) == 1


def test_the_threads_of_a_burst_end_though_another_one_is_never_idle_for_long() -> None:
    pool = Workers(SystemClock(), limit=4, idle_seconds=0.3)
    burst(pool, 4)

    def alone() -> bool:
        got: queue.Queue[Answer[str]] = queue.Queue()
        pool.submit("round", lambda: "", SOON, got.put)
        assert got.get(timeout=SOON) == Value("")
        until(pool.idle)
        return pool.idle() == 1

    until(alone)
    burst(pool, 4)
    assert pool.close(SOON) == ()


def test_what_an_answer_submits_first_is_done_by_the_same_thread(workers: Workers) -> None:
    done: queue.Queue[tuple[str, int]] = queue.Queue()
    both = threading.Barrier(2)

    def note(name: str) -> None:
        both.wait(SOON)  # the second one must not wait for the first
        done.put((name, threading.get_ident()))

    def then(_: Answer[int]) -> None:
        workers.submit("first", lambda: note("first"), SOON, lambda answer: None)
        workers.submit("second", lambda: note("second"), SOON, lambda answer: None)
        done.put(("answer", threading.get_ident()))

    workers.submit("job", lambda: 1, SOON, then)
    found = dict(done.get(timeout=SOON) for _ in range(3))
    assert found["first"] == found["answer"] != found["second"]


def test_a_job_that_waits_comes_before_what_an_answer_submits(gate: threading.Event) -> None:
    pool = Workers(SystemClock(), limit=1)
    order: queue.Queue[str] = queue.Queue()

    def then(_: Answer[bool]) -> None:
        pool.submit("new", lambda: order.put("new"), SOON, lambda answer: None)

    pool.submit("held", gate.wait, SOON, then)
    pool.submit("old", lambda: order.put("old"), SOON, lambda answer: None)
    gate.set()
    assert [order.get(timeout=SOON), order.get(timeout=SOON)] == ["old", "new"]
    assert pool.close(SOON) == ()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_answer_that_breaks_takes_no_job_with_it(
    workers: Workers, answers: queue.Queue[Answer[str]]
) -> None:
    def then(_: Answer[int]) -> None:
        workers.submit("job", lambda: "done", SOON, answers.put)
        raise ZeroDivisionError

    workers.submit("job", lambda: 1, SOON, then)
    assert answers.get(timeout=SOON) == Value("done")
