"""The thread that tells people: grouped, in time, tried again, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.core.people import Forgetful
from tests.core.world import healthy
from tests.fakes_clock import FakeClock
from tests.lab.waiting import SOON, until
from tests.unit.test_messages import Disk
from watchdogd.adapters.notify_urls import NoUrls
from watchdogd.core.commands import Command, Publish
from watchdogd.core.events import Event, FilesChanged, Resumed
from watchdogd.core.model import Env, Policy, TargetState, Verdict
from watchdogd.core.notices import News
from watchdogd.core.words import Cause, State
from watchdogd.ports import Outbox
from watchdogd.settings import NotifySettings, Secret
from watchdogd.sinks import notify
from watchdogd.sinks.heartbeat import Beats
from watchdogd.sinks.notify import Notifier, Outside
from watchdogd.sinks.outgoing import Outgoing

TELLS = NotifySettings(urls_file="/urls")
BEATS = NotifySettings(heartbeat_url=Secret("https://x/secret"))
A, B = Secret("json://a/path-of-a"), Secret("slack://b/path-of-b")


class Outer:
    """The outside world, as told."""

    def __init__(self) -> None:
        self.urls: tuple[Secret, ...] | str = (A,)
        self.fails: dict[Secret, str] = {}
        self.sent: list[tuple[Secret, str, str]] = []
        self.tries: Counter[Secret] = Counter()
        self.pings: list[tuple[str, str]] = []
        self.counted: Counter[tuple[str, bool]] = Counter()
        self.expected: set[str] = set()
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def outside(self) -> Outside:
        return Outside(
            send=self.send,
            ping=self.ping,
            source=lambda settings: self,
            channel=lambda url: url.reveal().partition(":")[0],
            count=lambda channel, taken: self.counted.update([(channel, taken)]),
            expect=self.expected.update,
        )

    def send(self, url: Secret, title: str, body: str) -> str:
        self.entered.set()
        assert self.open.wait(SOON)
        self.tries[url] += 1
        if why := self.fails.get(url, ""):
            return why
        self.sent.append((url, title, body))
        return ""

    def ping(self, url: Secret, suffix: str, text: str) -> str:
        self.pings.append((suffix, text))
        return self.fails.get(url, "")

    def changed(self) -> bool:
        return False

    def read(self) -> tuple[Secret, ...]:
        if isinstance(self.urls, str):
            raise NoUrls(self.urls)
        return self.urls

    def bodies(self, url: Secret = A) -> list[str]:
        return [body for one, _, body in self.sent if one == url]


@pytest.fixture
def outer() -> Outer:
    return Outer()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


Begin = Callable[..., Notifier]


@pytest.fixture
def begin(outer: Outer, clock: FakeClock) -> Iterator[Begin]:
    made: list[Notifier] = []

    def begin(settings: NotifySettings = TELLS, outbox: Outbox | None = None) -> Notifier:
        outgoing = Outgoing(outbox or Forgetful(), str)
        notifier = Notifier(outgoing, outer.outside(), clock)
        notifier.use(settings, {"a100": Policy(), "b200": Policy()})
        notifier.start()
        made.append(notifier)
        return notifier

    yield begin
    outer.open.set()
    for one in made:
        assert one.close(SOON)


@dataclass
class Teller:
    """Implements ``ports.Recorder``: tells the notifier, as the loop does."""

    notifier: Notifier
    target: str

    def stepped(
        self,
        target: str,
        before: TargetState,
        event: Event,
        policy: Policy,
        env: Env,
        after: TargetState,
        commands: Sequence[Command],
    ) -> None:
        facts = [one.fact for one in commands if isinstance(one, Publish)]
        self.notifier.told(self.target, event, facts, after, env)


def outage(notifier: Notifier, *, person: bool = False, target: str = "a100") -> Callable[[], None]:
    """A target goes down for so long that it is told (or, ``person``, at once); returns what mends it."""
    world = healthy(recorder=Teller(notifier, target))
    world.dial = Cause.HOST_KEY if person else Cause.HOST_UNREACHABLE
    world.dial_permanent = person
    world.kill_link().play(60 if person else 250)

    def mend() -> None:
        world.dial, world.dial_permanent = None, False
        world.take(FilesChanged())
        world.play(600)

    return mend


def moved(notifier: Notifier, clock: FakeClock, seconds: float) -> None:
    clock.pass_by(seconds)
    notifier._nudge()


def test_what_is_not_urgent_waits_for_company_and_then_goes_as_one(
    begin: Begin, outer: Outer, clock: FakeClock
) -> None:
    notifier = begin()
    until(lambda: "json" in outer.expected, "the addresses")
    outage(notifier)
    outage(notifier, target="b200")
    until(lambda: not notifier._posted, "its attention")
    assert outer.sent == []
    moved(notifier, clock, 31)
    until(lambda: outer.sent, "a message")
    ((_, title, body),) = outer.sent
    assert title == "watchdogd: 2 messages"
    assert ("a100 is not usable" in body, "b200 is not usable" in body) == (True, True)
    assert outer.counted == {("json", True): 1}


def test_a_person_is_called_at_once(begin: Begin, outer: Outer) -> None:
    outage(begin(), person=True)
    until(lambda: outer.sent, "a message")
    assert "a100 needs a person: host_key" in outer.bodies()[0]


def test_one_that_is_down_holds_up_no_other_and_gets_all_as_one_message(
    begin: Begin, outer: Outer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outer.urls, outer.fails = (B, A), {B: "no answer in 4 s"}
    notifier = begin()
    mend = outage(notifier, person=True)
    until(lambda: outer.sent and outer.tries[B], "both tried")
    for _ in range(5):
        tried = outer.tries[B]
        moved(notifier, clock, 700)
        until(lambda tried=tried: outer.tries[B] > tried, "another try")  # type: ignore[misc]
    mend()
    moved(notifier, clock, 31)
    until(lambda: len(outer.bodies()) == 2, "the end")
    outer.fails = {}
    moved(notifier, clock, 700)
    until(lambda: outer.bodies(B), "the message")
    (body,) = outer.bodies(B)
    assert body.count("\n") == 0
    assert "a100 is well again" in body
    assert outer.counted["slack", False] >= 6
    assert [one.getMessage() for one in caplog.records] == [
        "messages to slack are not taken (no answer in 4 s); they wait, and are tried again",
        "messages to slack are taken again",
    ]
    assert "path-of" not in caplog.text


def test_tries_grow_rare(begin: Begin, outer: Outer, clock: FakeClock) -> None:
    outer.fails = {A: "refused"}
    notifier = begin()
    outage(notifier, person=True)
    until(lambda: outer.tries[A] == 1, "a try")
    pauses = []
    for number in range(2, 11):
        (one,) = notifier._destinations
        until(lambda: one.failures == number - 1, "its end")  # noqa: B023 - called at once
        pauses.append(one.not_before - clock.run())
        moved(notifier, clock, pauses[-1] + 0.1)
        until(lambda number=number: outer.tries[A] == number, "another try")  # type: ignore[misc]
    assert pauses == sorted(pauses)
    assert 2.5 <= pauses[0] <= 5
    assert 300 <= pauses[-1] <= 600


def test_nobody_waits_for_a_send_that_hangs(begin: Begin, outer: Outer) -> None:
    outer.open.clear()
    notifier = begin()
    outage(notifier, person=True)
    assert outer.entered.wait(SOON)
    outage(notifier, target="b200", person=True)  # told returns: nothing of it waits for the thread
    assert outer.sent == []
    outer.open.set()
    until(lambda: len(outer.sent) == 2, "both")


def test_offline_nothing_is_tried_and_then_all_at_once(
    begin: Begin, outer: Outer, clock: FakeClock
) -> None:
    outer.fails = {A: "refused"}
    notifier = begin()
    outage(notifier, person=True)
    until(lambda: outer.tries[A] == 1, "a try")
    env = healthy().env()
    for target in ("a100", "b200"):
        notifier.told(target, Resumed(slept=0.0), (), TargetState(shown=State.OFFLINE), env)
    until(lambda: notifier._was_cut_off, "offline")
    moved(notifier, clock, 3600)
    outer.fails = {}
    notifier.told("b200", Resumed(slept=0.0), (), TargetState(shown=State.UP), env)
    until(lambda: outer.sent, "the message")
    assert outer.tries[A] == 2


def test_what_was_not_sent_is_sent_by_the_next_agent_and_nothing_twice(
    begin: Begin, outer: Outer
) -> None:
    disk = Disk()
    outer.fails = {A: "refused"}
    first = begin(outbox=disk)
    outage(first, person=True)
    until(lambda: outer.tries[A] == 1, "a try")
    assert first.close(SOON)
    outer.fails = {}
    second = begin(outbox=disk)
    until(lambda: outer.sent, "the message")
    assert second.close(SOON)
    third = begin(outbox=disk)
    until(lambda: third._destinations, "the addresses")
    assert third.close(SOON)
    assert len(outer.sent) == 1


def test_a_defect_in_sending_holds_up_one_address_for_its_pause(
    begin: Begin, outer: Outer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, broken = outer.send, threading.Event()

    def broken_once(url: Secret, title: str, body: str) -> str:
        if url == A and not broken.is_set():
            broken.set()
            raise ZeroDivisionError
        return send(url, title, body)

    monkeypatch.setattr(outer, "send", broken_once)
    outer.urls = (A, B)
    notifier = begin()
    outage(notifier, person=True)
    until(lambda: outer.bodies(B), "the other address")
    assert broken.is_set()
    assert not outer.bodies()
    assert outer.counted["json", False] == 1
    moved(notifier, clock, 700)
    until(outer.bodies, "the next try")


class Breaks:
    """What it is put in front of raises once, and works from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> None:
        self.works = getattr(where, name)
        self.broken = threading.Event()
        monkeypatch.setattr(where, name, self.call)

    def call(self, *given: object, **named: object) -> object:
        if not self.broken.is_set():
            self.broken.set()
            raise ZeroDivisionError
        return self.works(*given, **named)


@pytest.mark.parametrize(
    "name", ["_take_up", "_read_if_due", "_send_if_due", "_beat_if_due", "_cut_off"]
)
def test_a_defect_of_ours_ends_nothing_but_its_own_pass(
    begin: Begin,
    outer: Outer,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    monkeypatch.setattr(notify, "BROKEN_SECONDS", 0.01)
    breaks = Breaks(monkeypatch, Notifier, name)
    monkeypatch.setattr(Notifier, name, lambda self, *given: breaks.call(self, *given))
    outage(begin(), person=True)
    until(lambda: outer.sent, "a message")
    assert breaks.broken.is_set()
    assert "a100 needs a person: host_key" in outer.bodies()[0]
    assert [one.exc_info is not None for one in caplog.records if one.levelname == "ERROR"] == [
        True
    ]


def test_what_comes_after_a_message_that_cannot_be_kept_is_kept(
    begin: Begin, outer: Outer, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer.open.clear()
    notifier = begin()
    outage(notifier, person=True)
    assert outer.entered.wait(SOON), "the thread is busy with the first"
    for target in ("b200", "a100"):
        outage(notifier, person=True, target=target)
    breaks = Breaks(monkeypatch, notifier._outgoing, "post")
    outer.open.set()
    assert notifier.close(SOON)
    assert breaks.broken.is_set()
    kept, _ = notifier._outgoing.waiting(notifier._destinations[0].name)
    assert kept


def test_a_target_that_is_gone_is_ended(begin: Begin, outer: Outer, clock: FakeClock) -> None:
    notifier = begin()
    outage(notifier, person=True)
    until(lambda: outer.sent, "a message")
    notifier.use(TELLS, {"b200": Policy()})
    until(lambda: len(outer.sent) == 2, "its end")
    assert "a100 is no longer in the configuration" in outer.bodies()[1]


def test_addresses_that_cannot_be_had_are_asked_for_again_and_nothing_is_lost(
    begin: Begin, outer: Outer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    outer.urls = "line 1 of the addresses is none"
    notifier = begin()
    outage(notifier, person=True)
    until(lambda: "line 1" in caplog.text, "a line")
    moved(notifier, clock, 61)
    outer.urls = (A,)
    moved(notifier, clock, 61)
    until(lambda: outer.sent, "the message")
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1
    assert A in notifier.secrets()


def test_without_notify_nothing_is_decided(begin: Begin, outer: Outer) -> None:
    notifier = begin(NotifySettings())
    outage(notifier, person=True)
    assert notifier._following == {}
    assert (outer.sent, outer.pings) == ([], [])


# ---------------------------------------------------------------- the dead man's switch


def test_it_is_pinged_only_while_rounds_complete(
    begin: Begin, outer: Outer, clock: FakeClock
) -> None:
    notifier = begin(BEATS)
    until(lambda: notifier._beats._due > 0, "a look")
    assert outer.pings == []
    notifier.completed()
    moved(notifier, clock, 6)
    until(lambda: outer.pings == [("", "")], "a ping")
    moved(notifier, clock, 310)  # no round in that time
    until(lambda: notifier._beats._due > clock.boot(), "a look")
    assert outer.pings == [("", "")]
    notifier.completed()
    moved(notifier, clock, 6)
    until(lambda: len(outer.pings) == 2, "a ping")
    assert outer.counted == {("heartbeat", True): 2}


def test_a_person_a_sleep_and_incidents_are_told_to_it() -> None:
    beats, env = Beats(), TargetState()
    beats.completed(0.0)
    assert beats.take(0.0, 0.0) == (("", ""),)
    assert beats.take(1.0, 1.0) == ()
    needy = TargetState(verdict=Verdict(cause=Cause.AUTH))
    assert beats.note("b", Resumed(slept=7200.0), (), needy)
    assert beats.note("a", Resumed(slept=0.0), (), needy)
    assert beats.take(2.0, 2.0) == (("/fail", "needs a person: a, b; awake again after 2h"),)
    assert not beats.note("a", Resumed(slept=0.0), (), needy)
    beats.note("a", Resumed(slept=0.0), (), env)
    assert beats.take(3.0, 3.0) == (("/fail", "needs a person: b"),)
    beats.note("b", Resumed(slept=0.0), (), env)
    assert beats.take(4.0, 4.0) == (("", ""),)
    beats.failed(4.0)
    assert beats.next_at() == 64.0


def test_the_words_of_news_are_those_that_are_kept() -> None:
    assert {str(one) for one in News} == {
        *("opened", "intended", "outcome", "person", "reminder", "resolved", "unwatched")
    }
