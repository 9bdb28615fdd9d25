"""When a link counts as silent."""

from __future__ import annotations

import threading

from tests.fakes_clock import FakeClock
from watchdogd.adapters.keepalive import Keepalive


class Script:
    """A far side that a test plays: ``keepalive.Asked`` and ``LinkNews`` in one."""

    def __init__(self, clock: FakeClock, steps: list[tuple[float, bool]]) -> None:
        self.clock = clock
        self.steps = steps
        self.told: list[str] = []
        self.last_received = clock.run()
        self.ended = threading.Event()

    def ask(self) -> bool:
        self.ended.wait(5)
        return False

    def await_end(self, seconds: float) -> str | None:
        if not self.steps:
            self.ended.set()
            return "cut"
        passed, spoke = self.steps.pop(0)
        self.clock.pass_by(passed)
        if spoke:
            self.last_received = self.clock.run()
        return None

    def silent(self) -> None:
        self.told.append(f"silent after {self.clock.run() - self.last_received:.1f}")

    def speaking(self) -> None:
        self.told.append("speaking")

    def lost(self, detail: str) -> None:
        self.told.append(f"lost: {detail}")


def play(*steps: tuple[float, bool], interval: float = 5.0) -> list[str]:
    clock = FakeClock()
    script = Script(clock, list(steps))
    keepalive = Keepalive(
        script,
        lambda: script.last_received,
        interval=interval,
        clock=clock,
        news=script,
        name="test",
    )
    keepalive.start()
    for thread in threading.enumerate():
        if thread.name.startswith("test-"):
            thread.join(5)
    return script.told


def test_two_keepalives_without_a_message_are_silence_told_once() -> None:
    assert play(*[(0.25, False)] * 80) == ["silent after 10.2", "lost: cut"]


def test_any_message_in_time_is_speech() -> None:
    assert play(*[*[(0.25, False)] * 38, (0.25, True)] * 3) == ["lost: cut"]


def test_a_silent_link_speaks_again() -> None:
    told = play(*[(0.25, False)] * 45, (0.25, True), (0.25, True))
    assert told == ["silent after 10.2", "speaking", "lost: cut"]


def test_an_agent_that_stood_still_does_not_blame_the_link() -> None:
    assert play((60.0, False), (0.25, True), (0.25, False)) == ["lost: cut"]


def test_an_agent_that_stood_still_finds_a_dead_link_later() -> None:
    told = play((60.0, False), *[(0.25, False)] * 21)
    assert told[0].startswith("silent after 65")
