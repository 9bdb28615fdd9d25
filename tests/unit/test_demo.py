"""The demo's pure parts: configuration text, the order of faults, reading news, judging, the table."""

from __future__ import annotations

import socket
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from watchdogd.cli.demo import demo
from watchdogd.core.words import HARM, Cause, Harm, Kind, Remedy
from watchdogd.demo import configuration, performance
from watchdogd.demo.agent import News, parse
from watchdogd.demo.director import wrong_causes, wrong_remedies
from watchdogd.demo.faults import FAULTS, FaultName
from watchdogd.demo.sight import free_port
from watchdogd.demo.table import Row, outcome, seconds, table
from watchdogd.loading import duration, load
from watchdogd.settings import HealSettings, ProbeSettings, SshSettings

KILLED, HUNG = FAULTS[FaultName.LINK_KILLED], FAULTS[FaultName.RUNTIME_HUNG]
PORT = FAULTS[FaultName.PORT_TAKEN_AT_START]


# ---------------------------------------------------------------- configuration


@pytest.fixture
def places(tmp_path: Path) -> configuration.Places:
    names = ("key", "known_hosts", "token")
    for name in names:
        (tmp_path / name).touch(mode=0o600)
    key, known_hosts, token = (str(tmp_path / name) for name in names)
    return configuration.Places(
        state_dir=str(tmp_path),
        metrics_port=4001,
        local_port=4002,
        remote_port=4003,
        ssh_port=4004,
        user="me",
        identity_file=key,
        known_hosts=known_hosts,
        token_file=token,
        kind=Kind.SESSION,
        session="colab_session",
        command='env A="b c" \\ jupyter; exit $?',
    )


@pytest.mark.parametrize("kind", [Kind.SESSION, Kind.EXTERNAL])
def test_the_real_loader_takes_the_file(places: configuration.Places, kind: Kind) -> None:
    file = Path(places.state_dir) / "config.toml"
    file.write_text(configuration.text(replace(places, kind=kind)))
    target = load(str(file), {}).targets[configuration.TARGET]
    assert (target.ssh.port, target.forward.local.port, target.forward.remote.port) == (
        *(4004, 4002, 4003),
    )
    assert target.runtime.kind is kind
    if kind is Kind.SESSION:
        assert target.runtime.session.command == places.command


def test_the_defaults_that_are_told_are_the_defaults() -> None:
    usual = {"ssh": SshSettings(host="x"), "probe": ProbeSettings(), "heal": HealSettings()}
    for key, (here, told) in configuration.SHORTENED.items():
        section, _, name = key.partition(".")
        assert getattr(usual[section], name) == duration(told), key
        assert duration(here) < duration(told), key
    for key, (_, number) in configuration.ENDURANCE.items():
        assert getattr(usual["heal"], key.partition(".")[2]) == number


def test_only_durations_differ_unless_it_goes_on(places: configuration.Places) -> None:
    def heal(endurance: bool) -> set[str]:
        text = configuration.text(replace(places, endurance=endurance))
        return set(tomllib.loads(text)["targets"][configuration.TARGET]["heal"])

    assert heal(True) - heal(False) == {"destructive_per_6h", "destructive_per_24h"}


def test_what_is_shortened_is_said() -> None:
    told = configuration.spoken(endurance=False)
    assert all(f"{key} {here}" in told for key, (here, _) in configuration.SHORTENED.items())
    assert "destructive_per_6h" not in told
    assert "destructive_per_6h 100 (default 2)" in configuration.spoken(endurance=True)


# ---------------------------------------------------------------- faults


def test_the_port_comes_first_and_the_runtime_last() -> None:
    names = list(FAULTS)
    assert names[0] is FaultName.PORT_TAKEN_AT_START
    assert [FAULTS[name].needs_tmux for name in names] == sorted(
        fault.needs_tmux for fault in FAULTS.values()
    )
    assert set(names) == set(FaultName)


def test_no_fault_of_the_way_may_be_answered_with_harm() -> None:
    for fault in FAULTS.values():
        if fault.spares_runtime:
            assert all(HARM[remedy] is Harm.HARMLESS for remedy in fault.remedies), fault.name


def test_only_a_hung_runtime_may_be_restarted() -> None:
    destructive = {
        fault.name
        for fault in FAULTS.values()
        if any(HARM[remedy] is Harm.DESTRUCTIVE for remedy in fault.remedies)
    }
    assert destructive == {FaultName.RUNTIME_HUNG}


def test_a_free_port_is_none_that_outgoing_connections_get() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = int(taken.getsockname()[1])
        assert 1024 < port < 32_768
        assert all(free_port() != port for _ in range(50))


# ---------------------------------------------------------------- news and judgement


def told(kind: str, **more: object) -> News:
    (news,) = parse([{"at": "2026-08-01T10:00:00.250Z", "kind": kind, **more}])
    return news


def test_news_are_read() -> None:
    news = told("dial_failed", cause="sshd_down", number=3)
    assert (news.wall % 1, news.cause, news.remedy) == (0.25, Cause.SSHD_DOWN, None)
    assert told("link_silent", number=1).cause is Cause.LINK_LOST
    assert told("bind_failed", holder="nc (pid 7)").cause is Cause.PORT_CONFLICT
    assert told("remedy_intended", remedy="start_session").remedy is Remedy.START_SESSION
    assert told("reconnected", cause="link_lost", seconds=0.1).remedy is Remedy.RECONNECT


def test_what_follows_a_cause_does_not_find_it() -> None:
    assert told("remedy_intended", remedy="reconnect", cause="link_lost").cause is None
    assert told("incident_closed", cause="link_lost").cause is None


def test_a_wrong_verdict_is_told_and_one_on_the_way_is_not() -> None:
    gone = FAULTS[FaultName.SERVER_GONE_AND_BACK]
    on_the_way = told("incident_opened", cause="link_lost")
    right = told("incident_rerooted", cause="sshd_down", old="link_lost")
    wrong = told("incident_rerooted", cause="runtime_hung", old="sshd_down")
    assert list(wrong_causes(gone, (on_the_way, right))) == []
    assert list(wrong_causes(gone, (right, wrong))) == ["wrong cause on the way: runtime_hung"]


@pytest.mark.parametrize(
    ("name", "remedies", "problem"),
    [
        (FaultName.LINK_KILLED, (Remedy.RECONNECT,), ""),
        (FaultName.LINK_KILLED, (), "expected"),
        (FaultName.LINK_KILLED, (Remedy.RECONNECT, Remedy.RESTART_SESSION), "restart_session was"),
        (FaultName.PORT_TAKEN_AT_START, (), ""),
        (FaultName.PORT_TAKEN_AT_START, (Remedy.FREE_PORT,), "free_port was not called for"),
        (FaultName.RUNTIME_HUNG, (Remedy.RESTART_SESSION,), ""),
        (FaultName.RUNTIME_HUNG, (Remedy.RESTART_SESSION,) * 2, "2 times"),
        (FaultName.RUNTIME_HUNG, (Remedy.RECONNECT, Remedy.RESTART_SESSION), ""),
        (FaultName.RUNTIME_HUNG, (Remedy.RECONNECT,), "expected restart_session"),
        (FaultName.RUNTIME_KILLED, (Remedy.RESTART_SESSION,), "not called for"),
    ],
)
def test_only_what_was_called_for_is_right(
    name: FaultName, remedies: tuple[Remedy, ...], problem: str
) -> None:
    found = " ".join(wrong_remedies(FAULTS[name], remedies))
    assert (problem in found) if problem else not found


# ---------------------------------------------------------------- the table

GOOD = Row(
    fault=KILLED,
    cause=Cause.LINK_LOST,
    remedies=(Remedy.RECONNECT,),
    detected=0.014,
    healed=0.26,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0143, "0.01 s"), (0.26, "0.26 s"), (2.34, "2.3 s"), (41.4, "41 s")],
)
def test_seconds(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_a_line_has_cause_remedy_and_both_times() -> None:
    assert outcome(GOOD) == "found link_lost (0.01 s), reconnect, healed in 0.26 s"


def test_a_line_says_what_is_wrong() -> None:
    shown = outcome(Row(fault=HUNG, problems=("it was not usable again in time",)))
    assert "NOT healed" in shown
    assert shown.endswith("\n    it was not usable again in time")


def test_what_the_world_mends_is_timed_from_then_and_noted() -> None:
    waited = Row(fault=PORT, cause=Cause.PORT_CONFLICT, healed=0.4, note="held by nc, pid 7")
    assert outcome(waited).endswith("wait, healed in 0.40 s after it was over; held by nc, pid 7")


def test_the_table_is_aligned() -> None:
    waited = Row(fault=PORT, cause=Cause.PORT_CONFLICT, detected=1.5, healed=0.4)
    lines = table([waited, GOOD]).splitlines()
    for head, cell in (("cause found", "link_lost"), ("remedy", "reconnect")):
        assert lines[0].index(head) == lines[2].index(cell)
    ends = [
        text.index(cell) + len(cell)
        for text, cell in zip(lines, ("to heal", "0.40 s", "0.26 s"), strict=True)
    ]
    assert len(set(ends)) == 1
    assert "times" not in lines[0]


def test_a_fault_made_often_is_one_line_with_its_worst_times() -> None:
    slow, bad = replace(GOOD, healed=3.21), replace(GOOD, healed=None, problems=("no",))
    lines = table([GOOD, slow, bad]).splitlines()
    assert len(lines) == 2
    assert lines[0].split()[:2] == ["fault", "times"]
    assert "3.2 s" in lines[1]
    assert lines[1].endswith("1 of 3 NOT as it should")


# ---------------------------------------------------------------- the verb


@pytest.mark.parametrize(("given", "asked"), [([], 0.0), (["--for", "2m"], 120.0)])
def test_the_verb_passes_on_its_options(
    monkeypatch: pytest.MonkeyPatch, given: list[str], asked: float
) -> None:
    calls: list[dict[str, object]] = []

    def record(say: object, **more: object) -> int:
        calls.append(more)
        return 7

    monkeypatch.setattr(performance, "perform", record)
    done = CliRunner().invoke(demo, [*given, "--keep"])
    assert (done.exit_code, calls) == (7, [{"more_seconds": asked, "keep": True}])


def test_a_bare_number_is_no_duration() -> None:
    done = CliRunner().invoke(demo, ["--for", "90"])
    assert done.exit_code == 2
    assert "90s" in done.output


def test_a_command_with_quotes_and_backslashes_is_read_as_it_was(
    places: configuration.Places,
) -> None:
    odd = replace(places, command='say "\\n" = [x] # no comment')
    read = tomllib.loads(configuration.text(odd))
    assert read["targets"][configuration.TARGET]["runtime"]["session"]["command"] == odd.command
