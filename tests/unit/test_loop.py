"""The loop with a scripted step: order, timers, clocks, sinks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.core.commands import Bind, Command, Dial, Fact, Publish, StateChanged, Wake
from watchdogd.core.events import (
    BindFailed,
    ClockStepped,
    Event,
    LinkUp,
    Observed,
    PortBound,
    Resumed,
    SettingsChanged,
    Woke,
)
from watchdogd.core.link import Dialing
from watchdogd.core.model import (
    Charge,
    Env,
    Policy,
    TargetState,
)
from watchdogd.core.words import Remedy, State
from watchdogd.loop import Inbox, Letterbox, Loop, Member, Regroup
from watchdogd.ports import Sink

CHANGED = StateChanged(old=State.UNKNOWN, new=State.UP, cause=None)
Answers = dict[type, tuple[Command, ...]]


class Ear:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Event, tuple[Fact, ...]]] = []

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        self.heard.append((event, tuple(facts)))


class Deaf:
    """A sink that always fails."""

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        raise OSError("disk full")


class Mute:
    """Carries out nothing."""

    def carry(self, command: Command, env: Env) -> None:
        pass


class Bench:
    """A loop turned by hand; its step answers by the event's type and remembers what it was given."""

    def __init__(self, answers: Answers | None = None, *, sinks: Sequence[Sink] = ()) -> None:
        self.answers = answers or {}
        self.clock = FakeClock()
        self.inbox = Inbox()
        self.seen: list[tuple[str, Event]] = []
        self.carried: list[tuple[Command, int]] = []
        self.took: list[float] = []
        self.sinks = sinks
        self.loop = self.made()

    def made(self) -> Loop:
        """A loop that has not begun."""
        member = Member(policy=Policy(interval=15.0), carrier=self)
        return Loop(
            {"a100": member},
            self.inbox,
            self.clock,
            step=self.step,
            first=lambda env: TargetState(),
            anew=lambda before, env: TargetState(round=100 + before.round),
            sinks=self.sinks,
            completed=self.took.append,
        )

    def step(
        self, state: TargetState, event: Event, policy: Policy, env: Env
    ) -> tuple[TargetState, tuple[Command, ...]]:
        self.seen.append(("a100", event))
        return replace(state, round=state.round + 1), self.answers.get(type(event), ())

    def carry(self, command: Command, env: Env) -> None:
        self.carried.append((command, self.loop.view().targets["a100"].round))

    def post(self, *events: Event) -> Bench:
        for event in events:
            self.inbox.post("a100", event)
        return self

    def turn(self, times: int = 1) -> list[Event]:
        """Complete rounds without waiting; what was stepped in them."""
        before = len(self.seen)
        for _ in range(times):
            self.loop.round(0)
        return [event for _, event in self.seen[before:]]


def test_events_are_stepped_one_at_a_time_in_order_of_arrival() -> None:
    bench = Bench().post(LinkUp(number=1), PortBound(), LinkUp(number=2))
    assert bench.turn() == [LinkUp(number=1)]
    assert bench.turn(2) == [PortBound(), LinkUp(number=2)]


def test_the_state_is_replaced_before_its_commands_are_carried_out() -> None:
    bench = Bench({PortBound: (Dial(number=1), Bind())}).post(PortBound())
    bench.turn()
    assert bench.carried == [(Dial(number=1), 1), (Bind(), 1)]


def test_the_view_is_another_record_after_each_step_and_the_old_one_stays_as_it_was() -> None:
    bench = Bench().post(PortBound())
    before = bench.loop.view()
    bench.turn()
    assert before.targets["a100"].round == 0
    assert bench.loop.view().targets["a100"].round == 1


def test_a_timer_fires_once_and_not_early() -> None:
    bench = Bench({PortBound: (Wake(at=1010.0),)}).post(PortBound())
    bench.turn()
    bench.clock.pass_by(9.9)
    assert bench.turn() == []
    bench.clock.pass_by(0.1)
    assert bench.turn() == [Woke()]
    bench.clock.pass_by(5)
    assert bench.turn() == []


def test_the_newest_wake_replaces_the_older() -> None:
    bench = Bench({PortBound: (Wake(at=1002.0),), LinkUp: (Wake(at=1008.0),)})
    bench.post(PortBound(), LinkUp(number=1)).turn(2)
    bench.clock.pass_by(5)
    assert bench.turn() == []
    bench.clock.pass_by(3)
    assert bench.turn() == [Woke()]


def test_a_flood_of_events_does_not_starve_a_timer() -> None:
    bench = Bench({PortBound: (Wake(at=1001.0),)})
    bench.post(PortBound()).turn()
    bench.post(*[LinkUp(number=number) for number in range(10)])
    bench.clock.pass_by(1)
    assert bench.turn() == [LinkUp(number=0), Woke()]


def test_the_wait_ends_with_the_next_timer() -> None:
    bench = Bench({PortBound: (Wake(at=1000.05),)}).post(PortBound())
    bench.turn()
    waited = threading.Timer(0.01, bench.clock.pass_by, [0.05])
    waited.start()
    bench.loop.round(5.0)
    waited.join()
    assert [event for _, event in bench.seen] == [PortBound(), Woke()]


@pytest.mark.parametrize(("link", "longest"), [(None, 1.0), (7, 5.0)])
def test_without_a_link_the_clocks_are_looked_at_every_second(
    link: int | None, longest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No link's own watch would notice a wake, so a network that is there again would be found late."""
    bench, waits, known = Bench(), list[float](), Dialing(up=link)
    monkeypatch.setattr(bench, "step", lambda state, *_: (replace(state, dialing=known), ()))
    bench.loop = bench.made()
    bench.post(PortBound()).loop.round(0)
    monkeypatch.setattr(bench.inbox, "take", waits.append)
    bench.loop.round(5.0)
    assert waits == [longest]


def test_sleep_is_told_to_every_target_before_anything_else() -> None:
    bench = Bench().post(PortBound())
    bench.clock.sleep(3600)
    assert bench.turn() == [Resumed(slept=3600.0), PortBound()]
    assert bench.loop.pulse().suspended_seconds == 3600.0
    assert bench.loop.pulse().resumes == 1


def test_two_seconds_of_difference_are_no_sleep() -> None:
    bench = Bench()
    bench.clock.sleep(1.9)
    assert bench.turn() == []


@pytest.mark.parametrize(("gap", "told"), [(37.0, []), (38.0, [Resumed(slept=38.0)])])
def test_a_loop_that_stood_still_counts_as_asleep(gap: float, told: list[Event]) -> None:
    """2.5 intervals of 15 s: 37.5 s."""
    bench = Bench()
    bench.clock.pass_by(gap)
    assert bench.turn() == told


@pytest.mark.parametrize("by", [61.0, -3600.0])
def test_a_set_wall_clock_is_told(by: float) -> None:
    bench = Bench()
    bench.clock.set_wall(by)
    assert bench.turn() == [ClockStepped(by=by)]
    assert bench.loop.pulse().clock_steps == 1
    assert bench.turn() == []


def test_a_small_step_of_the_wall_clock_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.clock.set_wall(6.0)
    assert bench.turn() == []
    assert "set by +6 s" in caplog.text


def test_sleep_is_no_step_of_the_wall_clock() -> None:
    bench = Bench()
    bench.clock.sleep(300)
    assert bench.turn() == [Resumed(slept=300.0)]


def observed(started: float) -> Observed:
    return Observed(round=1, started=started, observations=())


def test_a_round_that_straddled_a_sleep_is_void_and_the_next_one_is_not() -> None:
    bench = Bench().post(observed(bench_start := 1000.0))
    bench.clock.sleep(60)
    assert bench.turn()[-1] == replace(observed(bench_start), stalled=True)
    bench.clock.pass_by(1)
    bench.post(observed(1000.5))
    assert bench.turn() == [observed(1000.5)]


def test_a_round_that_straddled_a_standstill_or_a_set_clock_is_void() -> None:
    stood = Bench().post(observed(1000.0))
    stood.clock.pass_by(12)
    assert stood.turn() == [replace(observed(1000.0), stalled=True)]
    stepped = Bench().post(observed(1000.0))
    stepped.clock.set_wall(120)
    assert stepped.turn()[-1] == replace(observed(1000.0), stalled=True)


def test_facts_reach_every_sink_with_their_event_and_a_failing_sink_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ear = Ear()
    bench = Bench({PortBound: (Publish(fact=CHANGED), Bind())}, sinks=[Deaf(), ear])
    bench.post(PortBound(), PortBound()).turn(2)
    assert ear.heard == [(PortBound(), (CHANGED,))] * 2
    assert len(bench.carried) == 2
    assert bench.loop.pulse().sink_failures == 2
    assert caplog.text.count("sink Deaf failed") == 1


def test_rounds_are_the_heartbeat() -> None:
    bench = Bench()
    bench.clock.pass_by(7)
    assert bench.loop.age() == 7.0
    bench.turn()
    assert bench.loop.age() == 0.0
    assert bench.loop.pulse().rounds == 1
    assert bench.loop.view().last_round_wall == bench.clock.wall()
    assert bench.took == [0.0]


def test_an_exception_in_step_ends_the_loop_and_the_heartbeat() -> None:
    bench = Bench().post(PortBound())

    def broken(*_: object) -> tuple[TargetState, tuple[Command, ...]]:
        raise ZeroDivisionError

    bench.loop._step = broken
    with pytest.raises(ZeroDivisionError):
        bench.loop.run()
    assert bench.loop.pulse().rounds == 0


def test_stop_ends_a_waiting_loop_at_once() -> None:
    bench = Bench()
    thread = threading.Thread(target=bench.loop.run)
    thread.start()
    bench.loop.stop()
    thread.join(2.0)
    assert not thread.is_alive()


class Other:
    """Another target's carrier."""

    def __init__(self) -> None:
        self.carried: list[Command] = []

    def carry(self, command: Command, env: Env) -> None:
        self.carried.append(command)


def test_targets_come_go_and_begin_anew_between_two_events() -> None:
    bench = Bench({PortBound: (Bind(),)})
    before = bench.loop.view().targets["a100"]
    seen: list[list[str]] = []
    wanted = Regroup(
        members={
            "a100": Member(policy=Policy(interval=60.0), carrier=bench),
            "b": Member(policy=Policy(), carrier=Other()),
        },
        changed={"a100": SettingsChanged()},
        moved=lambda: seen.append(list(bench.loop.view().targets)),
    )
    bench.inbox.regroup(wanted)
    assert bench.turn() == [SettingsChanged()]
    assert (seen, wanted.done.is_set()) == ([["a100", "b"]], True)
    assert bench.loop.view().targets["a100"].round == before.round + 1

    renewed = Other()
    again = Regroup(members={"b": Member(policy=Policy(), carrier=renewed)}, anew=frozenset({"b"}))
    bench.post(PortBound())
    bench.inbox.regroup(again)
    bench.inbox.post("b", PortBound())
    bench.post(PortBound())
    bench.turn(4)
    assert list(bench.loop.view().targets) == ["b"]
    assert bench.loop.view().targets["b"].round == 101  # begun anew, then one event
    assert renewed.carried == [Bind()]
    assert bench.carried == [(Bind(), 2)]  # what came after its going is dropped


def test_a_timer_of_a_target_that_went_does_not_fire() -> None:
    bench = Bench({PortBound: (Wake(at=1001.0),)}).post(PortBound())
    bench.turn()
    bench.inbox.regroup(Regroup(members={}))
    bench.clock.pass_by(5.0)
    assert bench.turn(2) == []


def test_each_step_is_told_what_the_whole_fleet_did_lately() -> None:
    clock, inbox, told = FakeClock(), Inbox(), list[tuple[str, int]]()
    did = Charge(
        remedy=Remedy.RESTART_CONTAINER, key="a", wall=clock.wall(), boot=clock.boot(), boot_id=""
    )

    def step(
        state: TargetState, event: Event, policy: Policy, env: Env
    ) -> tuple[TargetState, tuple[Command, ...]]:
        told.append((type(event).__name__, env.fleet))
        # a port that is bound stands for a remedy, one that fails for a charge that grew old
        charges = {PortBound: (did, did), BindFailed: ()}.get(type(event), state.charges)
        return replace(state, charges=charges), ()

    members = {name: Member(policy=Policy(), carrier=Mute()) for name in ("a", "b", "c")}
    loop = Loop(
        members,
        inbox,
        clock,
        step=step,
        first=lambda env: TargetState(),
        anew=lambda before, env: TargetState(charges=before.charges[:1]),
    )
    for target, event in (("a", PortBound()), ("b", PortBound()), ("c", LinkUp(number=1))):
        inbox.post(target, event)
    inbox.regroup(Regroup(members=members, anew=frozenset({"a"})))
    inbox.post("c", LinkUp(number=2))
    inbox.post("b", BindFailed(holder=""))
    inbox.post("c", LinkUp(number=3))
    for _ in range(7):
        loop.round(0)
    assert told == [
        *(("PortBound", 0), ("PortBound", 2), ("LinkUp", 4)),
        *(("LinkUp", 3), ("BindFailed", 3), ("LinkUp", 1)),
    ]


def test_a_closed_letterbox_takes_nothing() -> None:
    bench = Bench()
    letters = Letterbox(bench.inbox, "a100")
    letters.post(PortBound())
    letters.close()
    letters.post(LinkUp(number=1))
    assert bench.turn(2) == [PortBound()]
