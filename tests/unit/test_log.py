"""Logs: one form, redaction last, nothing secret anywhere, repeats held back."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from watchdogd.core.commands import (
    Fact,
    IncidentClosed,
    IncidentOpened,
    IncidentRerooted,
    KernelsGone,
    Reconnected,
    RemedyEnded,
    RemedyIntended,
    RemedyRefused,
    RemedyVerified,
    ShadowOpened,
    ShadowScored,
    StateChanged,
)
from watchdogd.core.events import (
    BindFailed,
    ClockStepped,
    DialFailed,
    Event,
    FilesChanged,
    LinkLost,
    LinkSilent,
    LinkSpeaking,
    LinkUp,
    NetworkChanged,
    Observed,
    PortBound,
    Resumed,
    Started,
    Woke,
)
from watchdogd.core.model import (
    Env,
    Incident,
    Intent,
    TargetState,
)
from watchdogd.core.sight import Generation
from watchdogd.core.words import Cause, Hindsight, Refusal, Remedy, Result, State
from watchdogd.settings import Secret
from watchdogd.sinks import log
from watchdogd.sinks.recent import RecentFacts
from watchdogd.sinks.redact import Redactor
from watchdogd.sinks.sentences import event_line, fact_line

CANARY = "c4n4ry-53cr3t-0123456789abcdef/+=&"
WORD = "hunter2-word"
"""A secret that no pattern would find: only knowing it helps."""

INCIDENT = Incident(id="a100-17", cause=Cause.LINK_LOST, opened_wall=1.0, first_failure_boot=0.5)
INTENT = Intent(
    key="k1",
    remedy=Remedy.REFRESH_TOKEN,
    incident="a100-17",
    cause=Cause.RUNTIME_AUTH,
    generation=Generation(),
    decided=1.0,
    deadline_seconds=10.0,
    charged=False,
)


def env(boot: float) -> Env:
    return Env(run=boot, boot=boot, wall=1_790_000_000.0 + boot, boot_id="b", chance=0.5)


@pytest.fixture
def kept_loggers() -> Iterator[None]:
    """The process's logging as it was before."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("watchdogd").level)
    paramiko = logging.getLogger("paramiko")  # a test with a real link silences it
    paramikos = paramiko.level
    paramiko.setLevel(logging.NOTSET)
    yield
    paramiko.setLevel(paramikos)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("watchdogd").setLevel(before[2])
    logging.captureWarnings(capture=False)


@pytest.fixture
def out(kept_loggers: None) -> io.StringIO:
    """Where JSON lines go."""
    stream = io.StringIO()
    log.configure(
        "json", "debug", lambda: [Secret(CANARY), Secret(WORD)], stream=stream, environ={}
    )
    return stream


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


# ---------------------------------------------------------------- secrets


class Holder:
    """Shows a secret in its repr, as sshtunnel's objects do."""

    def __repr__(self) -> str:
        return f"Holder(password={CANARY}, other={WORD})"


def raises_with_locals() -> None:
    token = f"local-{CANARY}"
    raise ValueError(f"http://127.0.0.1:9000/api?token={CANARY} and {WORD} {len(token)}")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.usefixtures("kept_loggers")
def test_a_secret_is_nowhere(form: str) -> None:
    stream = io.StringIO()
    log.configure(form, "debug", lambda: [Secret(CANARY), Secret(WORD)], stream=stream, environ={})
    foreign = logging.getLogger("urllib3.connectionpool")
    own = logging.getLogger("watchdogd.something")
    try:
        raises_with_locals()
    except ValueError:
        own.exception("failed with %r", Holder())
        foreign.exception("GET /api/status?token=%s", CANARY)
    own.info(
        "text", extra={"token": "other-secret-value", "nested": {"cookie": "other-secret-value"}}
    )
    own.info(
        "text",
        extra={
            "object": Holder(),
            "list": [CANARY, (WORD,), {WORD: CANARY}],
            "raw": CANARY.encode(),
        },
    )
    own.warning("Authorization: token other-secret-value")
    own.warning("Cookie: a=other-secret-value; b=other-secret-value")
    own.warning("https://me:other-secret-value@host/ and {'password': 'other-secret-value'}")
    own.warning(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nother-secret-value\n-----END OPENSSH PRIVATE KEY-----"
    )
    own.warning("-----BEGIN RSA PRIVATE KEY-----\nother-secret-value cut off")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"token={CANARY}", stacklevel=1)
    facts = (
        StateChanged(
            old=State.UP, new=State.DOWN, cause=None, detail=f"said {WORD}", mend=f"x {CANARY}"
        ),
    )
    log.LogSink().told("a", Woke(), facts, TargetState(), env(1.0))
    text = stream.getvalue()
    assert text.count("Traceback") == 2
    assert text.count("***") >= 12
    for secret in (CANARY, WORD, "other-secret-value", "local-", "c4n4ry"):
        assert secret not in text


def test_the_url_form_of_a_secret_is_redacted_too() -> None:
    redactor = Redactor(lambda: [Secret("a b/c&d")])
    assert redactor.text("x a%20b%2Fc%26d y a b/c&d") == "x *** y ***"


@pytest.mark.parametrize(
    "plain",
    [
        "refresh_token: done after 0.2 s",
        "no token known yet",
        "token_file is not there",
        "keys: 3",
        "a:b@c",
    ],
)
def test_ordinary_words_stay(plain: str) -> None:
    assert Redactor(lambda: []).text(plain) == plain


def test_facts_about_secrets_stay() -> None:
    shown = Redactor(lambda: []).value(
        {"tokens": 3, "token_known": False, "token": "", "remedy": "refresh_token"}
    )
    assert shown == {"tokens": 3, "token_known": False, "token": "", "remedy": "refresh_token"}


def test_a_line_that_cannot_be_redacted_is_not_written(kept_loggers: None) -> None:
    def broken() -> list[Secret]:
        raise OSError("unreadable")

    stream = io.StringIO()
    log.configure("json", "info", broken, stream=stream, environ={})
    logging.getLogger("watchdogd.x").warning("token is %s", WORD)
    assert WORD not in stream.getvalue()
    assert "could not be written" in stream.getvalue()


def test_a_stream_that_is_gone_hurts_nobody(
    kept_loggers: None, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    log.configure("json", "info", lambda: [], stream=stream, environ={})
    stream.close()
    logging.getLogger("watchdogd.x").warning("lost %s", WORD)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- form


def test_foreign_records_come_out_in_the_same_form(out: io.StringIO) -> None:
    logging.getLogger("docker.api").warning("slow %s", "engine")
    (record,) = lines(out)
    assert record["event"] == "slow engine"
    assert (record["level"], record["logger"]) == ("warning", "docker.api")
    assert str(record["timestamp"]).endswith("Z")


def test_a_traceback_has_at_most_twenty_frames_and_is_one_line(out: io.StringIO) -> None:
    def deep(left: int) -> None:
        if left == 0:
            raise ValueError("bottom")
        deep(left - 1)

    try:
        deep(50)
    except ValueError:
        logging.getLogger("watchdogd.x").exception("failed")
    (record,) = lines(out)
    assert 0 < str(record["exception"]).count("File ") <= 20 or "repeated" in str(
        record["exception"]
    )
    assert str(record["exception"]).endswith("ValueError: bottom")


def test_paramikos_traceback_is_one_record(out: io.StringIO) -> None:
    transport = logging.getLogger("paramiko.transport")
    for line in ("Exception (client): bad", "Traceback (most recent call last):", '  File "x", line 1, in f',
                 "    raise E", "E: bad", "", "next"):  # fmt: skip
        transport.error(line)
    assert [str(record["event"]).count("\n") for record in lines(out)] == [0, 3, 0]


def test_configuring_again_replaces_and_leaves_others_alone(kept_loggers: None) -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = io.StringIO(), io.StringIO()
    log.configure("json", "info", lambda: [], stream=first, environ={})
    log.configure("json", "info", lambda: [], stream=second, environ={})
    logging.getLogger("watchdogd.x").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
    assert other in logging.getLogger().handlers


@pytest.mark.parametrize(
    ("level", "own", "foreign"),
    [("debug", ["d", "i", "w"], ["i", "w"]), ("info", ["i", "w"], ["w"]), ("error", [], [])],
)
def test_levels(kept_loggers: None, level: str, own: list[str], foreign: list[str]) -> None:
    stream = io.StringIO()
    log.configure("json", level, lambda: [], stream=stream, environ={})
    for name in ("watchdogd.x", "foreign"):
        logging.getLogger(name).debug("d")
        logging.getLogger(name).info("i")
        logging.getLogger(name).warning("w")
    seen = [(record["logger"], record["event"]) for record in lines(stream)]
    assert seen == [("watchdogd.x", x) for x in own] + [("foreign", x) for x in foreign]


def test_auto_is_json_off_a_terminal_and_marked_for_the_journal(
    kept_loggers: None, tmp_path: Path
) -> None:
    file = tmp_path / "journal"
    with file.open("w") as stream:
        found = file.stat()
        journal = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        log.configure("auto", "info", lambda: [], stream=stream, environ=journal)
        logging.getLogger("watchdogd.x").warning("w")
        logging.getLogger("watchdogd.x").info("i")
        log.configure("auto", "info", lambda: [], stream=stream, environ={"JOURNAL_STREAM": "1:1"})
        logging.getLogger("watchdogd.x").info("plain")
        stream.flush()
    written = file.read_text().splitlines()
    assert [line[:4] for line in written] == ["<4>{", "<6>{", '{"ti']


def test_console_is_for_people(kept_loggers: None) -> None:
    stream = io.StringIO()
    log.configure("console", "info", lambda: [], stream=stream, environ={})
    logging.getLogger("watchdogd.x").info("hello")
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    assert "\x1b" not in stream.getvalue()


# ---------------------------------------------------------------- facts

RESTART = Remedy.RESTART_CONTAINER
FACTS: tuple[Fact, ...] = (
    StateChanged(old=State.UP, new=State.DOWN, cause=Cause.AUTH, detail="d", mend="ssh-add"),
    IncidentOpened(incident=INCIDENT, detection_seconds=1.23456, detail="d"),
    IncidentRerooted(incident=INCIDENT, old=Cause.AUTH),
    IncidentClosed(incident=INCIDENT, duration_seconds=9.0),
    RemedyIntended(intent=INTENT),
    RemedyEnded(intent=INTENT, result=Result.FAILED, seconds=0.5, mend="mend it"),
    RemedyVerified(intent=INTENT, healthy=False),
    RemedyRefused(remedy=Remedy.RECONNECT, reason=Refusal.VETO),
    Reconnected(cause=Cause.LINK_LOST, seconds=0.4),
    ShadowOpened(remedy=RESTART, cause=Cause.RUNTIME_HUNG, reason=Refusal.OBSERVE),
    ShadowScored(
        remedy=RESTART,
        cause=Cause.RUNTIME_HUNG,
        reason=Refusal.OBSERVE,
        outcome=Hindsight.RIGHT,
        seconds=300.0,
    ),
)
EVENTS: tuple[Event, ...] = (
    LinkUp(number=1),
    LinkSilent(number=1),
    LinkSpeaking(number=1),
    LinkLost(number=1, detail="reset"),
    DialFailed(number=2, cause=Cause.AUTH, permanent=True, reached=True, mend="ssh-add"),
    PortBound(),
    BindFailed(holder="python (pid 1)"),
    Resumed(slept=60.0),
    ClockStepped(by=-3.0),
    NetworkChanged(routed=True),
    NetworkChanged(routed=False),
    FilesChanged(),
)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_each_fact_is_one_line_with_its_target(out: io.StringIO, fact: Fact) -> None:
    log.LogSink().told("a100", Woke(), [fact], TargetState(), env(1.0))
    (record,) = lines(out)
    assert record["target"] == "a100"
    assert record["event"]
    for name in ("detail", "mend"):
        assert record.get(name, "") == getattr(fact, name, "")
    if hasattr(fact, "incident") or hasattr(fact, "intent"):
        assert record["incident"] == "a100-17"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_news_of_link_port_and_laptop_is_one_line(out: io.StringIO, event: Event) -> None:
    log.LogSink().told("a100", event, (), TargetState(incident=INCIDENT), env(1.0))
    (record,) = lines(out)
    assert (record["target"], record["incident"]) == ("a100", "a100-17")


def test_a_line_has_what_it_says_and_nothing_of_the_library(out: io.StringIO) -> None:
    log.LogSink().told("a100", Woke(), [FACTS[8]], TargetState(), env(1.0))
    (record,) = lines(out)
    assert list(record)[:4] == ["timestamp", "level", "event", "target"]
    assert {**record, "timestamp": ""} == {
        "timestamp": "", "level": "info", "logger": "watchdogd.facts", "target": "a100",
        "event": "connected again after 0.4 s", "cause": "link_lost", "seconds": 0.4}  # fmt: skip


def test_what_facts_tell_better_is_no_line(out: io.StringIO) -> None:
    sink = log.LogSink()
    for event in (Woke(), Started(), Observed(round=1, started=0.0, observations=())):
        sink.told("a100", event, (), TargetState(), env(1.0))
    assert out.getvalue() == ""
    sink.told("a100", Started(journal_ok=False), (), TargetState(), env(1.0))
    assert lines(out)[0]["level"] == "error"


def test_repeats_are_the_first_then_one_an_hour_with_a_count(out: io.StringIO) -> None:
    sink = log.LogSink()
    failed = DialFailed(number=1, cause=Cause.SSHD_DOWN, permanent=False, reached=False)
    for minute in range(130):
        sink.told("a", failed, (), TargetState(), env(minute * 60.0))
        sink.told("b", Woke(), [RemedyRefused(remedy=Remedy.RECONNECT, reason=Refusal.PAUSED)], TargetState(),
                  env(minute * 60.0))  # fmt: skip
    for target in ("a", "b"):
        told = [record.get("repeated") for record in lines(out) if record["target"] == target]
        assert told == [None, 59, 59]


def test_another_cause_is_news_and_so_is_the_next_spell(out: io.StringIO) -> None:
    sink = log.LogSink()
    down = DialFailed(number=1, cause=Cause.SSHD_DOWN, permanent=False, reached=False)
    auth = DialFailed(number=2, cause=Cause.AUTH, permanent=True, reached=True)
    spells: tuple[Event, ...] = (down, down, auth, down, LinkUp(number=3), down)
    for number, event in enumerate(spells):
        sink.told("a", event, (), TargetState(), env(float(number)))
    assert [record.get("cause") for record in lines(out)] == [
        "sshd_down",
        "auth",
        None,
        "sshd_down",
    ]


def test_who_reads_of_a_fault_reads_of_its_end(out: io.StringIO) -> None:
    """Though the same end was told lately, after another fault; and what begins unsaid ends so."""
    sink, up = log.LogSink(), LinkUp(number=1)
    back = Reconnected(cause=Cause.LINK_LOST, seconds=0.5)
    down = DialFailed(number=1, cause=Cause.SSHD_DOWN, permanent=False, reached=False)
    lost, silent, speaks = LinkLost(number=1), LinkSilent(number=1), LinkSpeaking(number=1)
    spells: tuple[Event, ...] = (lost, up, silent, speaks, silent, speaks, lost, up, lost, up)
    for number, event in enumerate((*spells, down, up, lost, up)):
        facts = (back,) if event is up else ()
        sink.told("a", event, facts, TargetState(), env(float(number)))
    up_again = ["SSH link is up", "connected again after 0.5 s"]
    assert [record["event"] for record in lines(out)] == [
        *("SSH link is lost", *up_again),
        *("SSH link is silent", "SSH link speaks again", *up_again),
        *("no SSH link: sshd_down", *up_again),
    ]


def test_a_long_outage_s_dials_are_told_once_an_hour_and_a_person_s_each(
    out: io.StringIO,
) -> None:
    sink = log.LogSink()
    intent = replace(INTENT, remedy=Remedy.RECONNECT, cause=Cause.SSHD_DOWN)
    for minute in range(130):
        for one in (intent, replace(intent, ordered=True)) if minute in (3, 5) else (intent,):
            facts = (
                RemedyIntended(intent=one),
                RemedyEnded(intent=one, result=Result.FAILED, seconds=0.5),
            )
            sink.told("a", Woke(), facts, TargetState(), env(minute * 60.0))
    done = RemedyEnded(intent=intent, result=Result.DONE, seconds=0.5)
    failed = RemedyEnded(intent=intent, result=Result.FAILED, seconds=0.5)
    proof = replace(failed, detail="it runs no commands")
    again = (done, RemedyIntended(intent=intent), failed, proof, failed)
    sink.told("a", Woke(), again, TargetState(), env(130 * 60.0))
    for other in (replace(intent, incident="a100-18"), replace(intent, cause=Cause.DNS)):
        sink.told("a", Woke(), (RemedyIntended(intent=other),), TargetState(), env(131 * 60.0))
    begin, fail = "reconnect begins", "reconnect failed after 0.5 s"
    assert [(record["event"], record.get("repeated")) for record in lines(out)] == [
        *((begin, None), (fail, None)),
        *((begin, None), (fail, None)) * 2,  # a person's
        *((begin, 59), (fail, 59)) * 2,
        ("reconnect is done after 0.5 s", None),
        *((begin, None), (fail, None), (fail, None)),
        *((begin, None), (begin, None)),
    ]


def test_incidents_and_all_remedies_but_routine_dials_are_never_held_back(out: io.StringIO) -> None:
    sink = log.LogSink()
    for number in range(3):
        sink.told("a", Woke(), FACTS[1:7], TargetState(), env(float(number)))
    assert len(lines(out)) == 18


def test_repeats_of_a_library_are_held_back_too(out: io.StringIO) -> None:
    for _ in range(50):
        logging.getLogger("urllib3.pool").warning("retry %d", 1)
    logging.getLogger("urllib3.pool").warning("something else")
    assert len(lines(out)) == 2


# ---------------------------------------------------------------- recent


def test_recent_keeps_the_last_64_of_each_target_in_plain_values() -> None:
    recent = RecentFacts()
    for number in range(70):
        recent.told("a", LinkUp(number=number), (), TargetState(), env(float(number)))
    recent.told("b", Woke(), FACTS, TargetState(), env(0.5))
    a, b = recent.of("a"), recent.of("b")
    assert [entry["number"] for entry in a] == list(range(6, 70))
    assert [entry["kind"] for entry in b][:3] == [
        "state_changed",
        "incident_opened",
        "incident_rerooted",
    ]
    assert b[4] == {"at": "2026-09-21T14:13:20.500Z", "kind": "remedy_intended", "incident": "a100-17",
                    "cause": "runtime_auth", "remedy": "refresh_token", "key": "k1"}  # fmt: skip
    json.dumps([a, b])
    assert recent.of("nobody") == ()


def test_recent_may_be_asked_while_it_is_told() -> None:
    recent = RecentFacts()
    failures: list[str] = []

    def ask() -> None:
        for _ in range(500):
            failures.extend(str(entry) for entry in recent.of("a") if "kind" not in entry)

    thread = threading.Thread(target=ask)
    thread.start()
    for number in range(500):
        recent.told("a", LinkUp(number=number), (), TargetState(), env(float(number)))
    thread.join(10)
    assert not failures
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (KernelsGone(kernels=("k1",), busy=False), "MappingKernelManager.cull_idle_timeout"),
        (KernelsGone(kernels=("k1", "k2"), busy=True), "2 kernels are gone (busy when last asked"),
    ],
)
def test_kernels_that_are_gone_are_told(fact: KernelsGone, text: str) -> None:
    line = fact_line(fact)
    assert text in line.text
    assert line.level == ("warning" if fact.busy else "info")


def test_a_crash_loop_is_told() -> None:
    line = event_line(Started(observe_seconds=600.0))
    assert line is not None
    assert (line.level, "only observing for 10 min" in line.text) == ("error", True)
