"""Dials on their way that are begun anew."""

from __future__ import annotations

import threading

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_ssh import FakeLink
from watchdogd.adapters.bounded import within
from watchdogd.adapters.dial_attempts import Attempt, Attempts
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline


class Quiet:
    """News that nobody listens to."""

    def silent(self) -> None: ...

    def speaking(self) -> None: ...

    def lost(self, detail: str) -> None: ...


class Bench:
    """One engine's dials; each of ``tries`` is what one try does."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.attempts = Attempts(self.clock)
        self.limit = Deadline.after(self.clock, 30.0)
        self.seen: list[Attempt] = []

    def link(self) -> FakeLink:
        return FakeLink(self.clock, Quiet())

    def run(self, *tries: FakeLink | Exception | float) -> FakeLink:
        """The result of a dial whose tries are all, but for the last, given up while they run; a number is
        the seconds that pass in one that fails."""
        left = list(tries)

        def dial(attempt: Attempt) -> FakeLink:
            self.seen.append(attempt)
            outcome = left.pop(0)
            if left:
                self.attempts.start_over()
            if isinstance(outcome, float):
                self.clock.pass_by(outcome)
                outcome = dead()
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return self.attempts.run(dial, self.limit)


def dead() -> Transient:
    return Transient(Cause.HOST_UNREACHABLE, "timed out", phase="connect")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_one_that_was_given_up_is_made_once_more(bench: Bench) -> None:
    link = bench.link()
    assert bench.run(dead(), Permanent(Cause.HOST_KEY, "another key"), link) is link
    assert [one.over for one in bench.seen] == [True, True, False]


def test_a_failure_of_its_own_is_told(bench: Bench) -> None:
    with pytest.raises(Transient, match="timed out"):
        bench.run(dead())


def test_once_its_time_is_over_it_is_not_made_again(bench: Bench) -> None:
    with pytest.raises(Transient, match="timed out"):
        bench.run(31.0, bench.link())
    assert len(bench.seen) == 1


def test_a_link_that_was_made_on_the_former_way_is_closed(bench: Bench) -> None:
    old, new = bench.link(), bench.link()
    assert bench.run(old, new) is new
    assert (old.closed, new.closed) == (True, False)


def test_those_that_ended_are_left_alone(bench: Bench) -> None:
    link = bench.run(bench.link())
    bench.attempts.start_over()
    assert not bench.seen[0].over
    assert not link.closed


def test_what_is_waited_for_is_ended_once_or_never_begun() -> None:
    attempt, ended = Attempt(), list[str]()
    attempt.hold(lambda: ended.append("first"))
    attempt.give_up()
    attempt.give_up()
    with pytest.raises(Transient, match="another one"):
        attempt.hold(lambda: ended.append("second"))
    assert ended == ["first"]


def test_a_resolver_that_hangs_is_left_at_once() -> None:
    attempt, may_end, late = Attempt(), threading.Event(), list[int]()
    ended = threading.Event()

    def job() -> int:
        attempt.give_up()
        assert may_end.wait(20)
        return 7

    def told(value: int) -> None:
        late.append(value)
        ended.set()

    try:
        with pytest.raises(TimeoutError):
            within(Deadline.after(FakeClock(), 20.0), "test", job, late=told, hold=attempt.hold)
    finally:
        may_end.set()
    assert ended.wait(20)
    assert late == [7]
