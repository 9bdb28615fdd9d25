"""One target's links, on an engine and a forward that behave."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import an_intent, reach_with
from tests.fakes_ssh import FakeEngine, FakeForward
from watchdogd.adapters.clock import SystemClock
from watchdogd.core.events import (
    BindFailed,
    DialFailed,
    Event,
    LinkLost,
    LinkSilent,
    LinkSpeaking,
    LinkUp,
    PortBound,
)
from watchdogd.core.words import Cause, Remedy, Result
from watchdogd.errors import Permanent, Transient
from watchdogd.links import TargetLinks
from watchdogd.ports import Deadline
from watchdogd.remedies.connection import reconnect

CLOCK = SystemClock()


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


def await_waiting(thread: threading.Thread) -> None:
    """Returns once it waits for the end of somebody else's dial."""
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        frame = sys._current_frames().get(thread.ident or 0)
        names = set()
        while frame is not None:
            names.add((frame.f_code.co_name, "flight" in frame.f_locals))
            frame = frame.f_back
        if ("dial", True) in names and ("wait", False) in names:
            return
        threading.Event().wait(0.005)
    raise AssertionError("it does not wait")


class Bench:
    """The object under test and all that it touches."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.engine = FakeEngine(CLOCK)
        self.forward = FakeForward()
        self.orders: list[int] = []
        """The links that were there at each order of a person."""
        self.links = TargetLinks(
            self.engine,
            self.forward,
            CLOCK,
            self.events.append,
            target="a100",
            order=lambda: self.orders.append(len(self.engine.links)),
        )

    def dial(self, number: int) -> None:
        self.links.dial(number, soon())

    def in_thread(self, job: object, *args: object) -> threading.Thread:
        assert callable(job)
        thread = threading.Thread(target=job, args=args, name="test-caller")
        thread.start()
        return thread


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.engine.may_go.set()
    made.links.close(soon())


def await_true(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "did not come true"
        threading.Event().wait(0.005)


class TestDial:
    def test_a_good_dial_serves_and_says_its_number(self, bench: Bench) -> None:
        bench.dial(1)
        assert bench.events == [LinkUp(number=1)]
        assert bench.forward.serving is bench.engine.links[0]
        assert bench.links.current() is bench.engine.links[0]

    def test_a_number_is_never_used_twice(self, bench: Bench) -> None:
        bench.dial(7)
        bench.dial(7)
        assert bench.events == [LinkUp(number=7), LinkUp(number=8)]

    def test_a_failed_dial_tells_all_it_knows(self, bench: Bench) -> None:
        bench.engine.failures.append(
            Permanent(Cause.HOST_KEY, "changed", phase="host_key", mend="ssh-keygen", reached=True)
        )
        bench.dial(1)
        assert bench.events == [
            DialFailed(
                number=1,
                cause=Cause.HOST_KEY,
                permanent=True,
                reached=True,
                detail="changed",
                mend="ssh-keygen",
            )
        ]
        status = bench.links.status()
        assert (status.link, status.number, status.failure) == (None, None, Cause.HOST_KEY)
        assert (status.failure_detail, status.failure_mend) == ("changed", "ssh-keygen")

    def test_success_forgets_the_failure(self, bench: Bench) -> None:
        bench.engine.failures.append(Transient(Cause.DNS, "no name"))
        bench.dial(1)
        bench.dial(2)
        assert bench.links.status().failure is None

    def test_two_dials_at_once_are_one(self, bench: Bench) -> None:
        bench.engine.may_go.clear()
        callers = [bench.in_thread(bench.dial, number) for number in (1, 2)]
        assert bench.engine.dialed.acquire(timeout=5)
        assert bench.links.status().dialing
        assert bench.forward.is_dialing
        bench.engine.may_go.set()
        for caller in callers:
            caller.join(5)
        assert len(bench.events) == len(bench.engine.links) == 1
        assert not bench.links.status().dialing
        assert not bench.forward.is_dialing

    def test_the_next_dial_may_start_from_the_event_of_the_last(self, bench: Bench) -> None:
        dialing: list[bool] = []
        links = TargetLinks(
            bench.engine,
            bench.forward,
            CLOCK,
            lambda event: dialing.append(links.status().dialing),
        )
        bench.engine.failures.append(Transient(Cause.DNS, "no name"))
        links.dial(1, soon())
        links.dial(2, soon())
        assert dialing == [False, False]

    def test_one_on_its_way_begins_anew_and_only_its_end_is_told(self, bench: Bench) -> None:
        bench.links.start_over()  # none is on its way
        bench.engine.may_go.clear()
        caller = bench.in_thread(bench.dial, 1)
        assert bench.engine.dialed.acquire(timeout=5)
        bench.links.start_over()
        assert bench.engine.dialed.acquire(timeout=5)
        bench.engine.may_go.set()
        caller.join(5)
        assert bench.events == [LinkUp(number=1)]

    def test_an_unexpected_error_is_handed_on_and_blocks_nothing(self, bench: Bench) -> None:
        bench.engine.failures.append(ZeroDivisionError())  # type: ignore[arg-type]
        with pytest.raises(ZeroDivisionError):
            bench.dial(1)
        bench.dial(2)
        assert bench.events == [LinkUp(number=2)]


class TestNews:
    def test_silence_holds_clients_and_speech_lets_them_in(self, bench: Bench) -> None:
        bench.dial(1)
        link = bench.engine.links[0]
        link.news.silent()
        assert bench.forward.serving is None
        assert bench.links.status().silent
        with pytest.raises(Transient, match="silent"):
            bench.links.current()
        link.news.speaking()
        assert bench.forward.serving is link
        assert bench.events[1:] == [LinkSilent(number=1), LinkSpeaking(number=1)]

    def test_a_silent_link_that_was_replaced_stays_replaced(self, bench: Bench) -> None:
        bench.dial(1)
        bench.engine.links[0].news.silent()
        bench.dial(2)
        bench.engine.links[0].news.speaking()
        assert bench.forward.serving is bench.engine.links[1]

    def test_a_lost_link_serves_no_more(self, bench: Bench) -> None:
        bench.dial(1)
        bench.engine.links[0].lose()
        assert bench.forward.serving is None
        assert bench.events[1:] == [LinkLost(number=1, detail="cut")]
        with pytest.raises(Transient) as raised:
            bench.links.current()
        assert raised.value.cause is Cause.LINK_LOST
        assert bench.links.status().number == 1

    def test_loss_of_an_old_link_leaves_the_new_one(self, bench: Bench) -> None:
        bench.dial(1)
        bench.dial(2)
        bench.engine.links[0].lose()
        assert bench.forward.serving is bench.engine.links[1]

    def test_a_link_lost_before_it_arrived_is_told_in_order(self, bench: Bench) -> None:
        whole = bench.engine.dial

        def dies_young(deadline: Deadline, news: object) -> object:
            link = whole(deadline, news)  # type: ignore[arg-type]
            link.lose()
            return link

        bench.engine.dial = dies_young  # type: ignore[method-assign, assignment]
        bench.dial(1)
        assert bench.events == [LinkUp(number=1), LinkLost(number=1, detail="cut")]
        assert bench.forward.serving is None


class TestAskLink:
    def test_the_link_of_that_number_is_asked_and_no_other(self, bench: Bench) -> None:
        bench.dial(1)
        bench.dial(2)
        bench.links.ask_link(2)
        bench.links.ask_link(99)
        assert [link.asked for link in bench.engine.links] == [0, 1]

    def test_one_that_is_being_closed_is_not(self, bench: Bench) -> None:
        bench.dial(1)
        bench.forward.riders = lambda link: 1
        bench.links.close_link(1, 60.0)
        bench.links.ask_link(1)
        assert bench.engine.links[0].asked == 0


class TestCloseLink:
    def test_waits_for_the_last_client(self, bench: Bench) -> None:
        bench.dial(1)
        riding = threading.Event()
        riding.set()
        bench.forward.riders = lambda link: int(riding.is_set())
        bench.dial(2)
        bench.links.close_link(1, 0.05)  # it speaks, so nobody's connection is cut
        threading.Event().wait(0.25)
        assert not bench.engine.links[0].closed
        riding.clear()
        await_true(lambda: bench.engine.links[0].closed)
        assert not bench.engine.links[1].closed
        assert bench.forward.serving is bench.engine.links[1]

    @pytest.mark.parametrize("silent", [False, True])
    def test_waits_for_who_is_about_to_ride_unless_nothing_opens_any_more(
        self, bench: Bench, silent: bool
    ) -> None:
        bench.dial(1)
        opening = threading.Event()
        opening.set()
        bench.forward.openers = lambda link: int(opening.is_set())
        link = bench.engine.links[0]
        if silent:
            link.news.silent()
        bench.links.close_link(1, 60.0)
        if not silent:
            threading.Event().wait(0.25)
            assert not link.closed
            opening.clear()
        await_true(lambda: link.closed)

    def test_a_silent_link_does_not_wait_for_ever(self, bench: Bench) -> None:
        bench.dial(1)
        bench.forward.riders = lambda link: 1
        bench.engine.links[0].heard = lambda: 0.0
        bench.links.close_link(1, 0.1)
        await_true(lambda: bench.engine.links[0].closed)
        assert bench.events == [LinkUp(number=1)]

    def test_an_unknown_number_is_no_error(self, bench: Bench) -> None:
        bench.links.close_link(99, 1)
        assert bench.events == []


class TestReconnect:
    @pytest.mark.parametrize("ordered", [False, True])
    def test_the_engine_hears_of_a_person_s_order_before_it_dials(
        self, bench: Bench, ordered: bool
    ) -> None:
        reach = replace(reach_with(FakeClock()), links=bench.links)
        intent = replace(an_intent(Remedy.RECONNECT, Cause.AUTH), ordered=ordered)
        assert reconnect(reach, intent, soon()).result is Result.DONE
        assert bench.orders == [0] * ordered
        bench.dial(2)
        assert bench.orders == [0] * ordered

    def test_proves_the_new_link(self, bench: Bench) -> None:
        bench.dial(1)
        bench.links.reconnect(soon())
        assert bench.events[1:] == [LinkUp(number=2)]
        assert bench.forward.serving is bench.engine.links[1]

    def test_waits_for_the_dial_in_flight(self, bench: Bench) -> None:
        bench.engine.may_go.clear()
        dialer = bench.in_thread(bench.dial, 1)
        assert bench.engine.dialed.acquire(timeout=5)
        remedy = bench.in_thread(bench.links.reconnect, soon())
        bench.engine.may_go.set()
        dialer.join(5)
        remedy.join(5)
        assert bench.events == [LinkUp(number=1)]

    def test_raises_what_the_dial_raised(self, bench: Bench) -> None:
        bench.engine.failures.append(Transient(Cause.SSHD_DOWN, "refused"))
        with pytest.raises(Transient) as raised:
            bench.links.reconnect(soon())
        assert raised.value.cause is Cause.SSHD_DOWN
        assert isinstance(bench.events[0], DialFailed)

    def test_who_waits_for_a_dial_that_broke_is_told_so(self, bench: Bench) -> None:
        # Else the core would wait for that dial's event for ever, and never dial again.
        bench.engine.may_go.clear()
        bench.engine.failures.append(RuntimeError("a bug"))  # type: ignore[arg-type]
        told: list[Exception] = []

        def catch(job: Callable[[], None]) -> None:
            try:
                job()
            except RuntimeError as error:
                told.append(error)

        remedy = bench.in_thread(catch, lambda: bench.links.reconnect(soon()))
        assert bench.engine.dialed.acquire(timeout=5)
        dialer = bench.in_thread(catch, lambda: bench.dial(1))
        await_waiting(dialer)
        bench.engine.may_go.set()
        remedy.join(5)
        dialer.join(5)
        assert len(told) == 2
        assert bench.events == []


class TestPort:
    def test_bind_tells_how_it_went(self, bench: Bench) -> None:
        bench.forward.held_by = "nc (pid 7)"
        bench.links.bind()
        bench.forward.held_by = ""
        bench.links.bind()
        assert bench.events == [BindFailed(holder="nc (pid 7)"), PortBound()]

    def test_reopen_binds_and_takes_a_refusal_for_an_answer(self, bench: Bench) -> None:
        bench.dial(1)
        bench.links.reopen(soon())
        assert bench.links.forward().bound

    def test_reopen_names_the_holder(self, bench: Bench) -> None:
        bench.dial(1)
        bench.forward.held_by = "nc (pid 7)"
        with pytest.raises(Transient, match="nc") as raised:
            bench.links.reopen(soon())
        assert raised.value.cause is Cause.PORT_CONFLICT

    def test_the_answer_names_target_cause_and_next_attempt(self, bench: Bench) -> None:
        bench.links.set_answer(Cause.SSHD_DOWN, 12.0)
        text, retry_after = bench.forward.told
        assert "a100" in text
        assert "sshd_down" in text
        assert "12 s" in text
        assert retry_after == 12.0

    def test_an_answer_without_a_next_attempt(self, bench: Bench) -> None:
        bench.links.set_answer(Cause.HOST_KEY, float("inf"))
        text, retry_after = bench.forward.told
        assert "person" in text
        assert retry_after < float("inf")


class TestClose:
    def test_closes_all_and_says_no_more(self, bench: Bench) -> None:
        bench.dial(1)
        bench.links.bind()
        told = list(bench.events)
        bench.links.close(soon())
        bench.engine.links[0].news.lost("late")
        bench.dial(2)
        assert bench.engine.links[0].closed
        assert not bench.forward.bound
        assert bench.events == told

    def test_clients_that_do_not_end_leave_time_to_close_the_links(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left: list[float] = []
        bench.dial(1)
        monkeypatch.setattr(
            bench.forward, "close", lambda until: threading.Event().wait(until.remaining())
        )
        monkeypatch.setattr(
            bench.engine.links[0], "close", lambda until: left.append(until.remaining())
        )
        bench.links.close(soon(0.4))
        assert left[0] > 0.1

    def test_a_link_that_comes_too_late_is_closed(self, bench: Bench) -> None:
        bench.engine.may_go.clear()
        dialer = bench.in_thread(bench.dial, 1)
        assert bench.engine.dialed.acquire(timeout=5)
        bench.links.close(soon())
        bench.engine.may_go.set()
        dialer.join(5)
        assert bench.engine.links[0].closed
        assert bench.events == []
