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
from watchdogd.ports import Deadline, LinkNews


class Told:
    """Keeps what a link told."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def silent(self) -> None:
        self.words.append("silent")

    def speaking(self) -> None:
        self.words.append("speaking")

    def lost(self, detail: str) -> None:
        self.words.append(f"lost: {detail}")


class Bench:
    """One engine's dials, of which a test says what becomes of each try."""

    def __init__(self) -> None:
        self.clock, self.told = FakeClock(), Told()
        self.attempts = Attempts(self.clock)
        self.limit = Deadline.after(self.clock, 30.0)
        self.seen: list[Attempt] = []
        self.links: list[FakeLink] = []

    def run(self, *tries: str | Exception, seconds: float = 0.0) -> FakeLink:
        """The result of a dial whose tries are all, but for the last, given up while they run: each makes a link,
        after which what it says is told by that (``""``: nothing), or fails. ``seconds`` pass in each."""
        left = list(tries)

        def dial(attempt: Attempt, news: LinkNews) -> FakeLink:
            self.seen.append(attempt)
            self.clock.pass_by(seconds)
            outcome = left.pop(0)
            if left:
                self.attempts.start_over()
            if isinstance(outcome, Exception):
                raise outcome
            self.links.append(FakeLink(self.clock, news))
            if outcome:
                news.lost(outcome)
            return self.links[-1]

        return self.attempts.run(dial, self.limit, self.told)


def dead() -> Transient:
    return Transient(Cause.SSHD_REJECTS, "ended the connection", phase="banner", reached=True)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_one_that_was_given_up_is_made_once_more(bench: Bench) -> None:
    assert bench.run(dead(), Permanent(Cause.HOST_KEY, "another key"), "") is bench.links[0]
    assert [one.over for one in bench.seen] == [True, True, False]


def test_a_failure_of_its_own_is_told(bench: Bench) -> None:
    with pytest.raises(Transient, match="ended the connection"):
        bench.run(dead())


@pytest.mark.parametrize("outcome", ["", dead()])
def test_with_no_time_left_it_is_not_made_again_and_nothing_is_said_of_the_server(
    bench: Bench, outcome: str | Exception
) -> None:
    with pytest.raises(Transient, match="another one") as raised:
        bench.run(outcome, "", seconds=29.0)
    assert (raised.value.cause, raised.value.reached) == (Cause.HOST_UNREACHABLE, False)
    assert len(bench.seen) == 1
    assert all(link.closed for link in bench.links)


def test_a_link_that_was_made_on_the_former_way_is_closed_and_tells_nothing(bench: Bench) -> None:
    assert bench.run("cut by us", "cut early") is bench.links[1]
    assert [link.closed for link in bench.links] == [True, False]
    assert bench.told.words == ["lost: cut early"]
    old, new = bench.links
    old.news.silent()
    new.news.speaking()
    assert bench.told.words == ["lost: cut early", "speaking"]


def test_those_that_ended_are_left_alone(bench: Bench) -> None:
    link = bench.run("")
    bench.attempts.start_over()
    assert not bench.seen[0].over
    assert not link.closed


def test_what_is_waited_for_is_ended_while_it_is_and_never_begun_later() -> None:
    attempt, ended = Attempt(), list[str]()
    with attempt.hold(lambda: ended.append("before")):
        pass
    with attempt.hold(lambda: ended.append("now")):
        attempt.give_up()
    assert ended == ["now"]
    with pytest.raises(Transient, match="another one"), attempt.hold(lambda: ended.append("after")):
        raise AssertionError
    attempt.give_up()
    assert ended == ["now"]


def test_a_resolver_that_hangs_is_left_at_once() -> None:
    attempt, may_end, late = Attempt(), threading.Event(), list[int]()
    ended = threading.Event()

    def job() -> int:
        attempt.give_up()
        may_end.wait(5)  # sooner than the deadline: who waits for this gets an answer
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
