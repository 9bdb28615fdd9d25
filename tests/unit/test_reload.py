"""A configuration is read again one at a time; what is refused is said, and leaves the former one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.app.changes import Changes
from watchdogd.app.reload import Reload, Reloaded
from watchdogd.core.words import Cause
from watchdogd.errors import ConfigError, Problem, Transient
from watchdogd.settings import AgentSettings, Settings

SOON = 10.0
SETTINGS = Settings(agent=AgentSettings(), targets={})
Begin = Callable[..., Reload]


@pytest.fixture
def ended() -> queue.Queue[Reloaded]:
    return queue.Queue()


@pytest.fixture
def begin(ended: queue.Queue[Reloaded]) -> Iterator[Begin]:
    made: list[Reload] = []

    def start(
        load: Callable[[], Settings] = lambda: SETTINGS,
        take_up: Callable[[Settings], Changes] = lambda settings: Changes(),
    ) -> Reload:
        reload = Reload(load, take_up, FakeClock(), ended=ended.put)
        reload.start()
        made.append(reload)
        return reload

    yield start
    for reload in made:
        reload.close(SOON)


def refuse(error: Exception) -> Callable[[], Settings]:
    def load() -> Settings:
        raise error

    return load


def test_what_is_whole_is_taken_up(begin: Begin, ended: queue.Queue[Reloaded]) -> None:
    taken: list[Settings] = []

    def take_up(settings: Settings) -> Changes:
        taken.append(settings)
        return Changes(added=("a",))

    reload = begin(take_up=take_up)
    reload.wish()
    assert ended.get(timeout=SOON).problems == ()
    assert (taken, reload.last().problems) == ([SETTINGS], ())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError((Problem("c", "k", "x", "y"), Problem("c", "l", "x", "y"))), "c: k: found x"),
        (Transient(Cause.AGENT, "ssh does not answer"), "ssh does not answer"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left"),
        (RuntimeError("token=abc"), "RuntimeError; the log has the traceback"),
    ],
)
def test_what_is_refused_is_told_until_it_is_mended(
    begin: Begin,
    ended: queue.Queue[Reloaded],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    told: str,
) -> None:
    caplog.set_level("INFO", logger="watchdogd")
    answers = iter((refuse(error), lambda: SETTINGS))
    reload = begin(load=lambda: next(answers)())
    reload.wish()
    problems = ended.get(timeout=SOON).problems
    assert problems[0].startswith(told)
    assert reload.last().problems == problems
    assert "the former one stays in force" in caplog.text
    reload.wish()
    assert ended.get(timeout=SOON).problems == ()
    assert "was read again" in caplog.text


def test_who_asks_is_told_that_nothing_changed_and_a_watch_is_not(
    begin: Begin, ended: queue.Queue[Reloaded], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="watchdogd")
    reload = begin()
    reload.wish()
    ended.get(timeout=SOON)
    assert caplog.text == ""
    reload.wish(asked=True)
    ended.get(timeout=SOON)
    assert "nothing that matters here" in caplog.text


def test_a_wish_during_a_reading_leads_to_another(
    begin: Begin, ended: queue.Queue[Reloaded]
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def load() -> Settings:
        inside.set()
        assert go_on.wait(SOON)
        return SETTINGS

    reload = begin(load=load)
    reload.wish()
    assert inside.wait(SOON)
    reload.wish()
    reload.wish()
    go_on.set()
    ended.get(timeout=SOON)
    ended.get(timeout=SOON)
    reload.close(SOON)
    assert ended.empty()


@pytest.mark.parametrize(
    "error",
    [
        Transient(Cause.AGENT, "ssh does not answer"),
        ConfigError((Problem("c", "k", "a program that you may not run", "one that is there"),)),
    ],
)
def test_what_may_be_mended_without_a_change_of_the_files_is_tried_again(
    begin: Begin, ended: queue.Queue[Reloaded], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("watchdogd.app.reload.RETRY_SECONDS", 0.01)
    answers = iter((refuse(error), lambda: SETTINGS))
    begin(load=lambda: next(answers)()).wish()
    assert ended.get(timeout=SOON).problems
    assert ended.get(timeout=SOON).problems == ()


def test_a_refusal_that_lasts_is_logged_once(
    begin: Begin,
    ended: queue.Queue[Reloaded],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("watchdogd.app.reload.RETRY_SECONDS", 0.01)
    begin(load=refuse(OSError(28, "No space left on device"))).wish()
    for _ in range(5):
        assert ended.get(timeout=SOON).problems
    assert caplog.text.count("stays in force") == 1
