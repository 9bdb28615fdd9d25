"""When a link counts as silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters.keepalive import LEAST_SECONDS, AnswerTime, Keepalive
from watchdogd.adapters.ticker import Ticked, Ticker

LOOK = 0.25
SOON = 5.0


class Still(Ticker):
    """Ticks when a test does."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.ticked: list[Ticked] = []

    def add(self, one: Ticked) -> None:
        self.ticked.append(one)

    def remove(self, one: Ticked) -> None:
        if one in self.ticked:
            self.ticked.remove(one)


class Line:
    """A far side that a test plays: ``keepalive.Asked`` and ``LinkNews`` in one.

    One look of the watcher is one step: so much time passes, and a message came in it or did not. The
    thread that asks is waited for wherever a test relies on what it does.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.told: list[str] = []
        self.last_received = clock.run()
        self.unanswered: float | None = None
        self.taken: Callable[[], bool] = lambda: True
        """Did the keepalive take the answer?"""
        self._moved = threading.Condition()
        self._steps: list[tuple[float, bool]] = []
        self._looking = False
        self._ended = False
        self._asked = self._answered = 0

    # ------------------------------------------------------------ what the test plays

    def play(self, *steps: tuple[float, bool]) -> None:
        """Returns when the watcher looked after each of them."""
        with self._moved:
            self._steps.extend(steps)
            self._moved.notify_all()
            assert self._moved.wait_for(lambda: not self._steps and self._looking, SOON)

    def answer(self, after: float = 0.0) -> None:
        """The question that is open, or the next one, is answered after so long."""
        self.await_question()
        with self._moved:
            self.clock.pass_by(after)
            self.last_received = self.clock.run()
            self._answered += 1
            self._moved.notify_all()
        limit = time.monotonic() + SOON
        while not self.taken():
            assert time.monotonic() < limit

    def await_question(self) -> None:
        """Until one is open."""
        with self._moved:
            assert self._moved.wait_for(lambda: self._asked > self._answered, SOON)

    def asks(self) -> int:
        """How many questions came."""
        with self._moved:
            return self._asked

    def end(self) -> None:
        with self._moved:
            self._ended = True
            self._moved.notify_all()

    # ------------------------------------------------------------ what the keepalive calls

    def ask(self) -> bool:
        with self._moved:
            self._asked += 1
            mine = self._asked
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._answered >= mine or self._ended)
            return not self._ended

    def await_end(self, seconds: float) -> str | None:
        with self._moved:
            self._looking = True
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._steps or self._ended)
            self._looking = False
            if self._ended:
                return "cut"
            passed, spoke = self._steps.pop(0)
            self.clock.pass_by(passed)
            if spoke:
                self.last_received = self.clock.run()
            return None

    def stir(self) -> None:
        """Each step is a look, so nobody has to be woken."""

    def silent(self) -> None:
        self.told.append(f"silent after {self.clock.run() - self.last_received:.2f}")

    def speaking(self) -> None:
        self.told.append("speaking")

    def lost(self, detail: str) -> None:
        self.told.append(f"lost: {detail}")


class Scene:
    """A keepalive on such a line. ``interval`` passes on the real clock: 60 s is never, here."""

    def __init__(self, interval: float = 60.0, guess: float = 0.1) -> None:
        self.line = Line(FakeClock())
        self.ticker = Still(self.line.clock)
        self.keepalive = Keepalive(
            self.line,
            lambda: self.line.last_received,
            interval=interval,
            clock=self.line.clock,
            news=self.line,
            name="test",
            unanswered=lambda: self.line.unanswered,
            guess=guess,
            ticker=self.ticker,
        )
        self.line.taken = lambda: self.keepalive.round_trip is not None

    def __enter__(self) -> Line:
        self.keepalive.start()
        self.line.await_question()
        return self.line

    def __exit__(self, *_: object) -> None:
        self.line.end()
        for name in ("test-watch", "test-keepalive"):
            for thread in [one for one in threading.enumerate() if one.name == name]:
                thread.join(SOON)
                assert not thread.is_alive()
            self.keepalive.stop()


def looks(seconds: float) -> list[tuple[float, bool]]:
    return [(LOOK, False)] * int(seconds / LOOK)


def test_a_question_without_an_answer_is_silence_told_once() -> None:
    with Scene() as line:
        line.play(*looks(20))
        assert line.told == ["silent after 1.25"]
    assert line.told[1:] == ["lost: cut"]


def test_any_message_in_time_is_speech() -> None:
    with Scene() as line:
        line.play(*[*looks(0.75), (LOOK, True)] * 5)
        assert line.told == []


def test_a_line_that_fell_silent_after_a_message_is_found_too() -> None:
    with Scene() as line:
        line.play(*looks(0.5), (LOOK, True), *looks(2))
        assert line.told == ["silent after 1.25"]


def test_a_silent_link_speaks_again() -> None:
    with Scene() as line:
        line.play(*looks(5), (LOOK, True), (LOOK, True))
        assert line.told == ["silent after 1.25", "speaking"]


def test_no_question_is_open_and_nothing_is_asked_of_a_quiet_link() -> None:
    with Scene() as line:
        line.answer()
        line.play(*looks(30))
        assert (line.told, line.asks()) == ([], 1)


def test_traffic_that_nothing_answers_brings_a_question_at_once() -> None:
    with Scene() as line:
        line.answer()
        line.play(*looks(10))
        line.unanswered = line.clock.run()
        line.play(*looks(0.75))
        line.await_question()
        line.play(*looks(1.5))
        (told,) = line.told
        assert told == "silent after 12.00"


def test_what_comes_meanwhile_puts_the_next_question_off() -> None:
    with Scene(interval=0.05) as line:
        line.answer()
        line.play((0.04, True), (0.04, False))
        threading.Event().wait(0.2)  # the machine's own time counts for nothing
        assert line.asks() == 1
        line.play((0.02, False))
        line.answer()
        assert line.asks() == 2


def test_traffic_that_is_answered_costs_no_question() -> None:
    with Scene() as line:
        line.answer()
        for _ in range(5):
            line.unanswered = line.clock.run()
            line.play(*looks(0.25))
            line.unanswered = None
            line.play((LOOK, True))
        assert line.asks() == 1


def test_after_a_sleep_the_link_is_asked_at_once() -> None:
    with Scene() as line:
        line.answer()
        line.clock.sleep(3600)
        line.play(*looks(LOOK))
        line.await_question()
        assert line.told == []
        line.play(*looks(3))
        assert [one.partition(" after")[0] for one in line.told] == ["silent"]
        assert line.clock.run() - line.last_received <= 3.5


def test_a_link_that_answers_after_a_sleep_stays() -> None:
    scene = Scene()
    with scene as line:
        line.answer()
        line.clock.sleep(3600)
        line.play(*looks(LOOK))
        line.taken = lambda: scene.keepalive.round_trip != 0.0
        line.answer(after=0.5)
        line.play(*looks(5))
        assert (line.told, line.asks()) == ([], 2)


def test_a_clock_that_is_a_second_off_is_no_sleep() -> None:
    with Scene() as line:
        line.answer()
        for _ in range(5):
            line.clock.sleep(1.5)
            line.play(*looks(LOOK))
        assert line.asks() == 1


def test_whoever_wants_it_has_the_link_asked_now() -> None:
    scene = Scene()
    with scene as line:
        line.answer()
        scene.keepalive.ask_now()
        line.await_question()
        assert line.asks() == 2


@pytest.mark.parametrize("slow", [0.8, 6.0])
def test_what_a_slow_line_takes_is_not_silence(slow: float) -> None:
    with Scene(interval=0.01, guess=slow) as line:
        for _ in range(4):
            line.play(*looks(slow))
            line.answer()
        assert line.told == []


def test_an_agent_that_stood_still_does_not_blame_the_link() -> None:
    with Scene() as line:
        line.play((60.0, False), *looks(0.75), (LOOK, True), (LOOK, False))
        assert line.told == []


def test_an_agent_that_stood_still_finds_a_dead_link_later() -> None:
    with Scene() as line:
        line.play((60.0, False), *looks(1.5))
        assert line.told == ["silent after 61.25"]


def test_an_agent_that_is_always_late_finds_a_dead_link_all_the_same() -> None:
    with Scene() as line:
        line.play(*[(0.6, False)] * 60)
        (told,) = line.told
        assert told.startswith("silent after 2")


def test_the_time_of_an_answer_is_learned_as_tcp_does() -> None:
    time = AnswerTime(guess=3.0)
    assert time.limit() == 9.0
    time.learn(0.4)
    assert time.limit() == pytest.approx(0.4 + 4 * 0.2)
    for _ in range(40):
        time.learn(0.4)
    assert time.limit() == LEAST_SECONDS
    time.learn(4.0)  # late once: the next one is given more
    assert 2.0 < time.limit() < 3.0
    time.learn(4.0)
    assert time.limit() > 4.0


@pytest.mark.parametrize("stall", [10.0, 40.0, 4000.0])
def test_a_stall_that_healed_does_not_blind_the_link(stall: float) -> None:
    time = AnswerTime(guess=0.02)
    for _ in range(40):
        time.learn(0.02)
    time.learn(stall)
    assert time.limit() < 2.5
    for _ in range(8):
        time.learn(0.02)
    assert time.limit() == LEAST_SECONDS


class Patience(Line):
    """Keeps how long each wait of the watcher may last."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.waits: list[float] = []

    def await_end(self, seconds: float) -> str | None:
        self.waits.append(seconds)
        return super().await_end(seconds)


class Resting(Scene):
    """All is answered, and the watcher rests. ``stirred``: when it was woken."""

    def __init__(self) -> None:
        super().__init__()
        self.line = line = Patience(FakeClock())
        self.waits = line.waits
        self.keepalive = keepalive = Keepalive(
            line,
            lambda: line.last_received,
            interval=60.0,
            clock=line.clock,
            news=line,
            name="test",
            unanswered=lambda: line.unanswered,
            guess=0.1,
            ticker=self.ticker,
        )
        line.taken = lambda: keepalive.round_trip is not None
        self.stirred: list[float] = []
        line.stir = lambda: self.stirred.append(line.clock.run())  # type: ignore[method-assign]

    def __enter__(self) -> Line:
        super().__enter__()
        self.line.answer()
        self.line.play((LOOK, False), (LOOK, False))
        assert self.waits[-1] > 2 * LOOK
        self.stirred.clear()
        return self.line

    def tick(self) -> None:
        self.keepalive.tick(self.line.clock.run())


def test_the_watcher_rests_while_nothing_is_to_come_and_a_tick_wakes_it() -> None:
    scene = Resting()
    with scene as line:
        scene.tick()
        assert scene.stirred == []
        line.unanswered = line.clock.run()
        scene.tick()
        scene.tick()
        assert scene.stirred == [line.clock.run()]
        line.play((0.0, False))
        assert scene.waits[-1] == LOOK
        scene.tick()
        assert len(scene.stirred) == 1


def test_a_wake_of_the_machine_is_found_by_a_tick() -> None:
    scene = Resting()
    with scene as line:
        line.clock.sleep(3600)
        scene.tick()
        assert len(scene.stirred) == 1
        line.play((0.0, False))
        line.await_question()


def test_what_was_sent_just_after_a_tick_is_called_late_in_time() -> None:
    scene = Resting()
    with scene as line:
        line.unanswered = line.clock.run()
        line.clock.pass_by(0.45)
        scene.tick()
        line.play((0.0, False))
        assert scene.waits[-1] == pytest.approx(0.055)
        line.play((scene.waits[-1], False))
        line.await_question()


def test_a_tick_that_comes_late_does_not_blame_the_link() -> None:
    scene = Resting()
    with scene as line:
        scene.keepalive.ask_now()
        line.await_question()
        due = line.clock.run() + LOOK
        line.clock.pass_by(30.0)
        scene.keepalive.tick(due)
        line.play((0.0, False), *looks(0.75))
        assert line.told == []
        line.play(*looks(1.0))
        assert line.told != []


def test_a_link_that_ended_is_ticked_no_more() -> None:
    scene = Scene()
    with scene:
        assert scene.ticker.ticked == [scene.keepalive]
    assert scene.ticker.ticked == []


def test_a_watcher_that_was_woken_late_does_not_blame_the_link() -> None:
    with Scene(interval=0.01) as line:
        line.answer()
        line.clock.pass_by(0.02)
        line.await_question()
        line.play((30.0, False), *looks(0.75))
        assert line.told == []
