"""The small parts of the composition root: doors, health, results, one round."""

from __future__ import annotations

import queue
from dataclasses import replace

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.app import health as health_module
from watchdogd.app.doors import Door, Doors
from watchdogd.app.health import health
from watchdogd.app.once import FirstRound
from watchdogd.app.results import CheckResult, exit_code, state_of
from watchdogd.app.run import _warn
from watchdogd.core.events import DialFailed, Event, LinkUp, Observed, Woke
from watchdogd.core.model import (
    Env,
    Intent,
    Observation,
    TargetState,
    Verdict,
)
from watchdogd.core.sight import Generation
from watchdogd.core.words import (
    Cause,
    Kind,
    Layer,
    Outcome,
    ProbeName,
    Remedy,
    State,
    Vantage,
)
from watchdogd.ports import Deadline
from watchdogd.settings import AgentSettings, Settings, SshSettings, TargetSettings

CLOCK = SystemClock()
FAIL, OK, UNKNOWN = Outcome.FAIL, Outcome.OK, Outcome.UNKNOWN


# -------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict(outcome=OK, usable=True), State.UP),
        (Verdict(outcome=FAIL, cause=Cause.DISK_FULL, usable=True), State.DEGRADED),
        (Verdict(outcome=FAIL, cause=Cause.SSHD_DOWN, usable=False), State.DOWN),
        (Verdict(outcome=FAIL, cause=Cause.RUNTIME_HUNG, usable=None), State.DOWN),
        (Verdict(outcome=FAIL, cause=Cause.OFFLINE, usable=False), State.OFFLINE),
        (Verdict(outcome=UNKNOWN), State.UNKNOWN),
        (Verdict(outcome=FAIL, cause=Cause.BUG, void=True), State.UNKNOWN),
    ],
)
def test_what_one_verdict_amounts_to(verdict: Verdict, state: State) -> None:
    assert state_of(verdict) is state


def result(state: State, cause: Cause | None = None) -> CheckResult:
    return CheckResult(verdict=Verdict(cause=cause), observations=(), state=state)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([result(State.UP)], 0),
        ([result(State.UP), result(State.DEGRADED)], 1),
        ([result(State.DEGRADED), result(State.UNKNOWN)], 3),
        ([result(State.OFFLINE)], 3),
        ([result(State.UNKNOWN), result(State.DOWN)], 2),
        ([result(State.DOWN), result(State.DOWN, Cause.AUTH)], 77),
        ([result(State.UP), result(State.DOWN, Cause.HOST_KEY)], 77),
    ],
)
def test_the_exit_code_is_that_of_the_worst(results: list[CheckResult], code: int) -> None:
    assert exit_code({str(number): one for number, one in enumerate(results)}) == code


# -------------------------------------------------------------------- run


def test_the_agent_says_at_its_start_what_config_check_warns_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    target = TargetSettings(name="a100", ssh=SshSettings(host="localhost"))
    _warn(Settings(agent=AgentSettings(), targets={"a100": target}))
    (told,) = caplog.messages
    assert "the forward would reach itself; set another forward.local" in told
    assert caplog.records[0].levelname == "WARNING"


# -------------------------------------------------------------------- run --once


class Once:
    """A ``FirstRound`` of one target, told by hand."""

    def __init__(self) -> None:
        self.done = 0
        self.sink = FirstRound({"a100": Kind.CONTAINER}, self._done)

    def _done(self) -> None:
        self.done += 1

    def tell(self, event: Event, run: float, state: TargetState | None = None) -> int:
        env = Env(run=run, boot=run, wall=run, boot_id="b", chance=0.5)
        self.sink.told("a100", event, (), state or TargetState(), env)
        return self.done


def observed(started: float, *, deep: bool = True, outcome: Outcome = OK) -> Observed:
    seen = Observation(
        probe=ProbeName.RUNTIME_TUNNEL,
        layer=Layer.RUNTIME,
        vantage=Vantage.TUNNEL,
        outcome=outcome,
        started=started,
        ended=started,
        cause=Cause.RUNTIME_REFUSED if outcome is FAIL else None,
    )
    server = replace(seen, probe=ProbeName.HOST, layer=Layer.HOST, vantage=Vantage.SERVER)
    return Observed(
        round=1, started=started, observations=(seen, replace(server, outcome=OK))[: 1 + deep]
    )


def test_a_round_from_before_the_dial_ended_does_not_count() -> None:
    once = Once()
    once.tell(observed(5.0), 6.0)
    once.tell(LinkUp(number=1), 10.0)
    assert once.tell(observed(9.0), 11.0) == 0
    assert once.tell(observed(10.0), 12.0) == 1
    assert once.sink.results()["a100"].state is State.UP
    assert once.tell(observed(14.0), 15.0) == 1


def test_a_failed_dial_counts_as_one_too() -> None:
    once = Once()
    failed = DialFailed(number=1, cause=Cause.SSHD_DOWN, permanent=False, reached=False)
    once.tell(failed, 10.0)
    assert once.tell(observed(11.0), 12.0) == 1


def test_neither_a_shallow_nor_a_stalled_round_nor_one_beside_a_remedy_counts() -> None:
    once = Once()
    once.tell(LinkUp(number=1), 10.0)
    intent = Intent(
        key="k",
        remedy=Remedy.RECONNECT,
        incident="i",
        cause=Cause.LINK_LOST,
        generation=Generation(),
        decided=0,
        deadline_seconds=1,
        charged=False,
    )
    assert once.tell(observed(11.0, deep=False), 12.0) == 0
    assert once.tell(replace(observed(12.0), stalled=True), 13.0) == 0
    assert once.tell(observed(13.0), 14.0, TargetState(intent=intent)) == 0
    assert once.tell(Woke(), 15.0) == 0
    assert once.tell(observed(14.0), 15.0) == 1


def test_a_target_that_had_no_whole_round_is_unknown() -> None:
    assert Once().sink.results()["a100"].state is State.UNKNOWN


# -------------------------------------------------------------------- health


def test_health_names_the_worst_first() -> None:
    assert health(lambda: "", lambda: 1.0, 10.0) == ""
    assert health(lambda: "5 jobs hang", lambda: 99.0, 10.0) == "5 jobs hang"
    assert "99 s" in health(lambda: "", lambda: 99.0, 10.0)


def test_health_sees_that_descriptors_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "DESCRIPTORS_LEFT", 2**62)
    assert "file descriptors are in use" in health(lambda: "", lambda: 0.0, 10.0)


def test_descriptors_are_listed_only_where_their_number_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = []

    def used() -> int:
        listed.append(7)
        return 7

    monkeypatch.setattr(health_module, "_used", used)
    monkeypatch.setattr(health_module, "_told", lambda: 7)
    assert health(lambda: "", lambda: 0.0, 10.0) == ""
    assert not listed
    monkeypatch.setattr(health_module, "_told", lambda: 0)
    assert health(lambda: "", lambda: 0.0, 10.0) == ""
    monkeypatch.setattr(health_module, "_told", lambda: 2**62)  # no such number: looked at closely
    assert health(lambda: "", lambda: 0.0, 10.0) == ""
    assert len(listed) == 2


# -------------------------------------------------------------------- doors


class OneDoor:
    """Opens after some refusals; remembers being closed."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.opened: queue.Queue[str] = queue.Queue()
        self.closed = 0

    def __call__(self) -> Door:
        if self.refusals:
            self.refusals -= 1
            raise OSError(98, "Address already in use")
        self.opened.put("open")
        return self

    def close(self, deadline: Deadline) -> None:
        self.closed += 1


def test_a_door_that_is_blocked_holds_up_no_other_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocked, free = OneDoor(2), OneDoor(0)
    doors = Doors({"blocked": blocked, "free": free}, CLOCK, retry_seconds=0.02)
    doors.open()
    assert free.opened.get_nowait() == "open"
    assert caplog.text.count("blocked cannot be opened") == 1
    assert blocked.opened.get(timeout=5.0) == "open"
    doors.close(Deadline.after(CLOCK, 5.0))
    assert (blocked.closed, free.closed, free.opened.qsize()) == (1, 1, 0)
    assert caplog.text.count("blocked cannot be opened") == 1


def test_a_door_that_never_opens_ends_with_the_others() -> None:
    never = OneDoor(2**62)
    doors = Doors({"never": never}, CLOCK, retry_seconds=60)
    doors.open()
    doors.close(Deadline.after(CLOCK, 5.0))
    assert never.opened.empty()


def test_a_door_that_moves_is_closed_and_opened_or_tried_again() -> None:
    door = OneDoor(0)
    doors = Doors({"door": door}, CLOCK, retry_seconds=0.02)
    doors.open()
    assert door.opened.get_nowait() == "open"
    doors.reopen("door", Deadline.after(CLOCK, 5.0))
    assert (door.closed, door.opened.get_nowait()) == (1, "open")
    door.refusals = 2
    doors.reopen("door", Deadline.after(CLOCK, 5.0))
    assert door.opened.get(timeout=5.0) == "open"
    doors.close(Deadline.after(CLOCK, 5.0))
    assert door.closed == 3
