"""A last look is worth something only for a moment: no act after the deadline, none after a sleep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import (
    RUNNING,
    FakeEngine,
    FakeLink,
    FakeLinks,
    FakeSessions,
    Jupyter,
    an_intent,
    reach_with,
)
from watchdogd.core.sight import (
    ContainerSight,
    Generation,
    SessionSight,
)
from watchdogd.core.words import Cause, ContainerStatus, Kind, Refusal, Remedy, Result
from watchdogd.ports import Completed, Deadline, HttpAnswer, HttpEnd, RemedyFunction
from watchdogd.remedies.container import restart_container, start_container
from watchdogd.remedies.last_look import LastLook
from watchdogd.remedies.session import restart_session
from watchdogd.settings import ContainerSettings

SILENT = HttpAnswer(end=HttpEnd.SILENT)


def test_it_is_good_until_the_deadline_and_while_the_laptop_is_awake() -> None:
    clock = FakeClock()
    look = LastLook.begin(clock, Deadline.after(clock, 30.0))
    clock.pass_by(29.0)
    assert look.outdated() == ""
    clock.pass_by(2.0)
    assert "time" in look.outdated()


def test_a_sleep_makes_it_worthless_though_the_deadline_is_far() -> None:
    clock = FakeClock()
    look = LastLook.begin(clock, Deadline.after(clock, 30.0))
    clock.sleep(8 * 3600.0)
    assert "slept" in look.outdated()


class DozingEngine(FakeEngine):
    """The laptop falls asleep in the middle of the last look."""

    def __init__(self, clock: FakeClock, sight: ContainerSight) -> None:
        super().__init__(sight)
        self.clock = clock
        self.acts: list[str] = []

    def look(self, target: str, wanted: ContainerSettings, deadline: Deadline) -> ContainerSight:
        self.clock.sleep(8 * 3600.0)
        return self.sight

    def start(self, container_id: str, deadline: Deadline) -> None:
        self.acts.append("start")

    def restart(self, container_id: str, stop_seconds: int, deadline: Deadline) -> None:
        self.acts.append("restart")


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (restart_container, ContainerStatus.RUNNING),
        (start_container, ContainerStatus.EXITED),
    ],
)
def test_container_is_not_touched_after_a_sleep(
    act: RemedyFunction, status: ContainerStatus
) -> None:
    clock = FakeClock()
    engine = DozingEngine(clock, replace(RUNNING, status=status))
    jupyter = Jupyter(None)
    jupyter.override = SILENT
    reach = reach_with(clock, engine=engine, server=jupyter)
    judged = Generation(container=RUNNING.id, started=RUNNING.started)
    intent = an_intent(Remedy.RESTART_CONTAINER, Cause.RUNTIME_HUNG, judged)
    done = act(reach, intent, Deadline.after(clock, 60.0))
    assert (done.result, done.reason) == (Result.NOTHING, Refusal.NO_SIGHT)
    assert engine.acts == []


def pins(argv: Sequence[str], stdin: bytes) -> Completed:
    """The server writes the token file that it is asked to write."""
    mark, target = argv[4], argv[5]
    return Completed(0, f"\n{mark} /home/as/.watchdogd/{target}/token\n".encode(), b"")


class DozingSessions(FakeSessions):
    """The same for tmux."""

    def look(self, name: str, deadline: Deadline) -> SessionSight:
        self.clock.sleep(8 * 3600.0)
        return super().look(name, deadline)


def test_session_is_not_ended_after_a_sleep() -> None:
    clock = FakeClock()
    sessions = DozingSessions(clock, running={"colab_session": True})
    jupyter = Jupyter(None)
    jupyter.override = SILENT
    links = FakeLinks(link=FakeLink(clock, pins))
    reach = reach_with(clock, kind=Kind.SESSION, sessions=sessions, server=jupyter, links=links)
    intent = an_intent(Remedy.RESTART_SESSION, Cause.RUNTIME_HUNG, Generation(container="100:1"))
    done = restart_session(reach, intent, Deadline.after(clock, 60.0))
    assert (done.result, done.reason) == (Result.NOTHING, Refusal.NO_SIGHT)
    assert sessions.killed == []
