"""Log lines on a terminal: sentences for a person, each thing said once."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest

from watchdogd.core.commands import (
    Fact,
    IncidentOpened,
    RemedyEnded,
    RemedyIntended,
    RemedyRefused,
    RemedyVerified,
    ShadowOpened,
    ShadowScored,
    StateChanged,
)
from watchdogd.core.events import BindFailed, DialFailed, Event, LinkUp, PortBound, Woke
from watchdogd.core.model import Env, Incident, Intent, TargetState
from watchdogd.core.sight import Generation
from watchdogd.core.words import Cause, Hindsight, Refusal, Remedy, Result, State
from watchdogd.sinks import log
from watchdogd.sinks.console import Console
from watchdogd.sinks.sentences import Place, fact_line

PLACES = {"a100": Place(local="127.0.0.1:9000", host="abc.com")}
INCIDENT = Incident(id="a100-17", cause=Cause.HOST_KEY, opened_wall=1.0, first_failure_boot=0.5)
INTENT = Intent(
    key="k1",
    remedy=Remedy.START_SESSION,
    incident="a100-17",
    cause=Cause.SESSION_MISSING,
    generation=Generation(),
    decided=1.0,
    deadline_seconds=10.0,
    charged=True,
)
ENV = Env(run=1.0, boot=1.0, wall=1_790_000_000.0, boot_id="b", chance=0.5)


@pytest.fixture
def kept_loggers() -> Iterator[None]:
    """The process's logging as it was before."""
    root, own = logging.getLogger(), logging.getLogger("watchdogd")
    before = (list(root.handlers), root.level, own.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])
    logging.captureWarnings(capture=False)


def told(event: Event, facts: tuple[Fact, ...] = (), level: str = "info") -> list[str]:
    """What one step writes on a terminal, each line without its time."""
    stream = io.StringIO()
    log.configure("console", level, lambda: [], stream=stream, environ={})
    log.LogSink(PLACES).told("a100", event, facts, TargetState(incident=INCIDENT), ENV)
    written = stream.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d \S|         to mend it: ", one) for one in written)
    return [one[9:] for one in written]


def refused(reason: Refusal, detail: str) -> RemedyRefused:
    return RemedyRefused(remedy=Remedy.START_SESSION, reason=reason, detail=detail)


def hindsight(outcome: Hindsight) -> ShadowScored:
    return ShadowScored(
        remedy=Remedy.START_SESSION,
        cause=Cause.SESSION_MISSING,
        reason=Refusal.ASK,
        outcome=outcome,
        seconds=300.0,
    )


@pytest.mark.usefixtures("kept_loggers")
@pytest.mark.parametrize(
    ("event", "line"),
    [
        (PortBound(), "a100: forward listens on 127.0.0.1:9000"),
        (LinkUp(number=1), "a100: SSH link to abc.com is up"),
        (BindFailed(holder="nc (pid 7)"), "WARNING a100: 127.0.0.1:9000 is held by nc (pid 7)"),
    ],
)
def test_a_line_says_who_and_where(event: Event, line: str) -> None:
    assert told(event) == [line]


@pytest.mark.usefixtures("kept_loggers")
@pytest.mark.parametrize(
    ("fact", "line"),
    [
        (RemedyIntended(intent=INTENT), "a100: start_session begins"),
        (
            RemedyEnded(intent=INTENT, result=Result.DONE, seconds=1.23, detail="it answers"),
            "a100: start_session is done after 1.2 s: it answers",
        ),
        (RemedyVerified(intent=INTENT, healthy=True), "a100: start_session worked: healthy again"),
        (
            RemedyVerified(intent=INTENT, healthy=False),
            "WARNING a100: start_session did not bring health in time",
        ),
        (
            refused(Refusal.GRACE, "one reading is not enough"),
            "a100: start_session is not done yet: one reading is not enough",
        ),
        (
            refused(Refusal.OPERATOR, "somebody stopped it"),
            "WARNING a100: start_session is not done: somebody stopped it",
        ),
        (refused(Refusal.PAUSED, ""), "WARNING a100: start_session is not done: paused"),
        (
            refused(Refusal.OBSERVE, "mode is observe"),
            "a100: would do start_session (observe only): mode is observe",
        ),
        (
            ShadowOpened(
                remedy=Remedy.START_SESSION, cause=Cause.SESSION_MISSING, reason=Refusal.ASK
            ),
            "a100: start_session would begin now; hindsight will tell whether that was right",
        ),
        (
            hindsight(Hindsight.RIGHT),
            "a100: start_session would have been right: health did not come back by itself",
        ),
        (
            hindsight(Hindsight.FALSE_ALARM),
            "a100: start_session would have been a false alarm: health came back by itself",
        ),
        (
            hindsight(Hindsight.UNDECIDED),
            "a100: nobody knows whether start_session would have been right: somebody acted",
        ),
    ],
)
def test_a_remedy_is_told_in_a_sentence(fact: Fact, line: str) -> None:
    assert told(Woke(), (fact,)) == [line]


@pytest.mark.parametrize(
    ("new", "cause", "level"),
    [
        (State.DEGRADED, None, "info"),
        (State.DEGRADED, Cause.DISK_FULL, "warning"),
        (State.DOWN, None, "warning"),
        (State.UP, None, "info"),
    ],
)
def test_a_state_warns_of_trouble_only(new: State, cause: Cause | None, level: str) -> None:
    assert fact_line(StateChanged(old=State.HEALING, new=new, cause=cause)).level == level


@pytest.mark.usefixtures("kept_loggers")
def test_one_happening_says_its_detail_and_its_mend_once() -> None:
    detail, mend = "the host key is not known", "ssh-keyscan abc.com"
    cause = Cause.HOST_KEY
    event = DialFailed(
        number=1, cause=cause, permanent=True, reached=True, detail=detail, mend=mend
    )
    facts = (
        StateChanged(old=State.UNKNOWN, new=State.DOWN, cause=cause, detail=detail, mend=mend),
        IncidentOpened(incident=INCIDENT, detection_seconds=1.0, detail=detail, mend=mend),
    )
    assert told(event, facts) == [
        "ERROR a100: no SSH link to abc.com: host_key: the host key is not known",
        "to mend it: ssh-keyscan abc.com",
        "WARNING a100: now down: host_key (was unknown)",
        "WARNING a100: incident: host_key",
    ]


@pytest.mark.usefixtures("kept_loggers")
def test_what_programs_read_is_written_with_debug_only() -> None:
    fact = RemedyIntended(intent=INTENT)
    assert told(Woke(), (fact,)) == ["a100: start_session begins"]
    (line,) = told(Woke(), (fact,), level="debug")
    for field in ("incident='a100-17'", "key='k1'", "logger='watchdogd.facts'"):
        assert field in line


def rendered(console: Console, **record: object) -> str:
    return console(None, "", {"timestamp": 1_790_000_000.0, "level": "info", **record})


def test_a_detail_comes_again_later_and_repeats_are_counted() -> None:
    console = Console(colors=False, fields=False)
    first = rendered(console, event="lost", target="a", detail="reset")
    assert first.endswith(" a: lost: reset")
    assert rendered(console, event="lost", target="b", detail="reset").endswith(" b: lost: reset")
    later = rendered(
        console, event="lost", target="a", detail="reset", timestamp=1_790_000_060.0, repeated=3
    )
    assert later.endswith(" a: lost: reset (3 times more since this was last written)")


def test_a_server_cannot_steer_the_terminal_or_forge_a_line() -> None:
    evil = "x\n00:00:00 a100: now up\x1b[2J"
    console = Console(colors=False, fields=True)
    line = rendered(console, event=evil, target="a", detail=evil + "!", mend=evil, cause=[evil])
    assert "\x1b" not in line
    assert line.count("\n") == 1, "only the line with the mend"


def test_a_library_is_named_in_the_place_of_the_target() -> None:
    console = Console(colors=False, fields=False)
    assert rendered(console, event="slow", logger="docker.api").endswith(" docker: slow")
    assert rendered(console, event="stopped", logger="watchdogd.app.run").endswith(":20 stopped")


def test_a_warning_is_coloured_on_a_terminal() -> None:
    line = rendered(Console(colors=True, fields=False), event="lost", target="a", level="warning")
    assert line.endswith(" \x1b[33mWARNING\x1b[0m a: lost")
