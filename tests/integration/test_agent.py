"""The whole agent in one process, on a real SSH server: it starts, watches, reconnects and ends."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab.asking import fetch
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from tests.lab.stand_in import TOKEN, StandIn
from tests.lab.waiting import SOON, until
from watchdogd.adapters.instance import AlreadyRunning
from watchdogd.app import Agent, check_targets, run_agent
from watchdogd.cli import run as command_line
from watchdogd.control import ask, control_path
from watchdogd.core import machine
from watchdogd.core.words import Cause, Kind, State
from watchdogd.loading import Source
from watchdogd.settings import (
    Address,
    AgentSettings,
    ContainerSettings,
    ForwardSettings,
    ProbeSettings,
    RuntimeSettings,
    Settings,
    TargetSettings,
)

pytestmark = pytest.mark.real


@pytest.fixture
def runtime() -> Iterator[Address]:
    with StandIn() as server:
        yield server.address


@pytest.fixture
def own_sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture
def engine() -> str:
    """A test may ask for others."""
    return "auto"


@pytest.fixture
def settings(
    own_sshd: Sshd, engine: str, runtime: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    target = TargetSettings(
        name="a100",
        ssh=own_sshd.settings(keepalive=0.5, engine=engine),
        forward=ForwardSettings(local=Address("127.0.0.1", free_port()), remote=runtime, hold=5.0),
        runtime=RuntimeSettings(kind=Kind.EXTERNAL, token_file=str(token)),
        probe=ProbeSettings(interval=0.5, suspect_interval=0.2, timeout=3.0),
    )
    return Settings(
        agent=AgentSettings(
            listen=Address("127.0.0.1", free_port()),
            state_dir=str(tmp_path / "state"),
            log_format="json",
        ),
        targets={"a100": target},
    )


def state(agent: Agent) -> State:
    return agent.view().targets["a100"].shown


def metric(settings: Settings, series: str) -> float:
    _, text = fetch(settings.agent.listen, "/metrics")
    line = next(one for one in text.splitlines() if one.startswith(f"watchdogd_{series} "))
    return float(line.rpartition(" ")[2])


@pytest.fixture
def agent(settings: Settings) -> Iterator[Agent]:
    made = Agent(settings)
    made.start()
    yield made
    begun = time.monotonic()
    assert made.stop() == ()
    assert time.monotonic() - begun < 5.0
    assert not made.alive()


@pytest.mark.parametrize("engine", ["auto", "openssh"])
def test_it_comes_up_serves_and_reconnects(
    agent: Agent, settings: Settings, own_sshd: Sshd, tmp_path: Path
) -> None:
    until(lambda: state(agent) is State.UP, "up")
    local = settings.targets["a100"].forward.local
    assert fetch(local, "/api") == (200, '{"version": "2.20.0"}')
    assert fetch(settings.agent.listen, "/livez")[0] == 200
    assert fetch(settings.agent.listen, "/readyz")[0] == 200
    assert metric(settings, 'target_up{target="a100"}') == 1
    assert metric(settings, 'tunnel_up{target="a100"}') == 1
    answer = ask(control_path(settings.agent.state_dir, os.environ), {"verb": "status"}, 5.0)
    assert answer["schema"] == "watchdogd.status/1"

    own_sshd.kill_sessions()
    until(
        lambda: metric(settings, 'tunnel_reconnects_total{cause="link_lost",target="a100"}') == 1,
        "a reconnect",
    )
    until(lambda: state(agent) is State.UP, "up again")
    assert fetch(local, "/api")[0] == 200
    assert TOKEN not in fetch(settings.agent.listen, "/metrics")[1]


def test_what_it_recorded_is_decided_the_same_again(
    settings: Settings, own_sshd: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Path(settings.agent.state_dir) / "events" / "events.jsonl"
    for _ in range(2):  # the second agent goes on in the file of the first
        agent = Agent(settings)
        agent.start()
        try:
            until(lambda agent=agent: state(agent) is State.UP, "up")  # type: ignore[misc]
            ups = metric(settings, 'tunnel_reconnects_total{cause="link_lost",target="a100"}')
            own_sshd.kill_sessions()
            until(
                lambda ups=ups: (  # type: ignore[misc]
                    metric(settings, 'tunnel_reconnects_total{cause="link_lost",target="a100"}')
                    > ups
                ),
                "a reconnect",
            )
        finally:
            assert agent.stop() == ()
    assert (log.parent.stat().st_mode & 0o777, log.stat().st_mode & 0o777) == (0o700, 0o600)
    assert TOKEN.encode() not in log.read_bytes()
    capsys.readouterr()
    assert command_line(["simulate", str(log), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["same"], answer["targets"], answer["notes"]) == (True, ["a100"], [])
    assert len(answer["versions"]) == 2
    kinds = [one["kind"] for one in answer["decisions"]]
    assert kinds.count("reconnected") == 2
    assert answer["events"] > 20


def test_a_second_agent_on_the_state_folder_is_refused(
    agent: Agent, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AlreadyRunning, match=str(os.getpid())):
        Agent(settings)
    assert run_agent(settings) == 75
    assert settings.agent.state_dir in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["auto", "openssh"])
def test_check_works_while_an_agent_runs_and_uses_no_port_of_it(
    agent: Agent, settings: Settings
) -> None:
    until(lambda: state(agent) is State.UP, "up")
    result = check_targets(settings, ["a100"])["a100"]
    assert (result.state, result.verdict.cause) == (State.UP, None)
    assert state(agent) is State.UP


def test_check_says_that_the_host_key_is_unknown(settings: Settings, own_sshd: Sshd) -> None:
    Path(own_sshd.known_hosts).write_text("")
    result = check_targets(settings, ["a100"])["a100"]
    assert (result.state, result.verdict.cause) == (State.DOWN, Cause.HOST_KEY)
    assert result.verdict.mend


def test_a_refused_host_key_is_tried_again_once_known_hosts_changed(
    settings: Settings, own_sshd: Sshd
) -> None:
    Path(own_sshd.known_hosts).write_text("")
    agent = Agent(settings)
    agent.start()
    try:
        until(lambda: agent.view().targets["a100"].dialing.stopped_by, "refused")
        until(lambda: metric(settings, 'target_needs_hand{target="a100"}') == 1, "a hand")
        own_sshd.write_known_hosts()
        until(lambda: state(agent) is State.UP, "up")
        assert metric(settings, 'target_needs_hand{target="a100"}') == 0
    finally:
        assert agent.stop() == ()


def test_once_ends_with_the_code_of_check(settings: Settings, own_sshd: Sshd) -> None:
    assert run_agent(settings, once=True) == 0
    Path(own_sshd.known_hosts).write_text("")
    assert run_agent(settings, once=True) == 77


def test_a_taken_metrics_port_stops_nothing(settings: Settings) -> None:
    with socket.create_server((settings.agent.listen.host, settings.agent.listen.port)):
        agent = Agent(settings)
        agent.start()
        try:
            until(lambda: state(agent) is State.UP, "up")
        finally:
            assert agent.stop() == ()


PROGRAM = """
import os, sys, pickle
from watchdogd.app import run_agent
sys.exit(run_agent(pickle.load(open(sys.argv[1], "rb"))))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_5_seconds_and_leaves_nothing(
    settings: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    import pickle

    stored = tmp_path / "settings"
    stored.write_bytes(pickle.dumps(settings))
    told, errors = tmp_path / "stdout", tmp_path / "stderr"
    with (
        told.open("wb") as out,
        errors.open("wb") as err,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(stored)], stdout=out, stderr=err
        ) as process,
    ):
        try:
            until(lambda: _answers(settings, process), "up")
            process.send_signal(signal.SIGHUP)
            until(lambda: "cannot read it again" in told.read_text(), "a word on SIGHUP")
            process.send_signal(number)
            begun = time.monotonic()
            process.wait(10.0)
            took = time.monotonic() - begun
        finally:
            process.kill()
    assert took < 5.0
    assert (process.returncode, errors.read_text()) == (0, "")
    assert not control_path(settings.agent.state_dir, os.environ).exists()
    first, *_, last = (json.loads(line) for line in told.read_text().splitlines())
    assert re.match(r"watchdogd \S+ starts: targets a100; configuration ", first["event"])
    assert first["event"].endswith(f"metrics on http://{settings.agent.listen}/metrics")
    assert last["event"] == "stopped"


def _answers(settings: Settings, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    try:
        return fetch(settings.agent.listen, "/readyz")[0] == 200
    except OSError:
        return False


def test_it_ends_in_time_while_the_link_is_frozen_and_a_dial_hangs(
    settings: Settings, own_sshd: Sshd
) -> None:
    agent = Agent(settings)
    agent.start()
    try:
        until(lambda: state(agent) is State.UP, "up")
        os.kill(own_sshd.pid, signal.SIGSTOP)
        own_sshd.kill_sessions(signal.SIGSTOP)
        until(lambda: agent.view().targets["a100"].dialing.dialing, "a dial beside the link")
    finally:
        begun = time.monotonic()
        agent.stop()
        took = time.monotonic() - begun
        os.kill(own_sshd.pid, signal.SIGCONT)
        own_sshd.kill_sessions(signal.SIGCONT)
    assert took < 5.0
    with socket.socket() as port:
        local = settings.targets["a100"].forward.local
        assert port.connect_ex((local.host, local.port)) == errno.ECONNREFUSED


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_in_step_ends_the_process_with_70(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(machine, "step", broken)
    assert run_agent(settings) == 70


def test_a_broken_journal_means_observing_and_does_not_stop_the_tunnel(
    settings: Settings, tmp_path: Path
) -> None:
    Path(settings.agent.state_dir).mkdir()
    (Path(settings.agent.state_dir) / "journal.sqlite").write_bytes(b"no database" * 100)
    agent = Agent(settings)
    agent.start()
    try:
        until(lambda: state(agent) is State.UP, "up")
        assert not agent.view().targets["a100"].journal_ok
    finally:
        assert agent.stop() == ()


def test_a_configuration_that_cannot_be_made_whole_leaves_every_target_as_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One target moves, another gets a container engine whose socket finds no room: all or none."""
    first = settings.targets["a100"]

    def at(name: str, **fields: Any) -> TargetSettings:
        forward = replace(first.forward, local=Address("127.0.0.1", free_port()))
        return replace(first, name=name, **{"forward": forward, **fields})

    both = replace(settings, targets={"a100": first, "b200": at("b200")})
    container = RuntimeSettings(container=ContainerSettings(image="none"))
    old = both.targets["b200"]
    asked = replace(
        both, targets={"a100": at("a100"), "b200": replace(old, runtime=container), "c": at("c")}
    )
    source = Source(path=None, environ={"HOME": settings.agent.state_dir}, read=lambda *_: asked)
    agent = Agent(both, source=source)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("watchdogd.app.parts.open_container_engine", full)
    agent.start()
    try:
        until(lambda: agent._reload.last().problems, "a refusal")
        assert "No space left" in agent._reload.last().problems[0]
        for name in both.targets:
            until(lambda name=name: agent.view().targets[name].shown is State.UP, "up")  # type: ignore[misc]
        assert list(agent.view().targets) == ["a100", "b200"]
        before = agent.view().targets["a100"].round
        until(lambda: agent.view().targets["a100"].round > before + 2, "rounds that are answered")
        assert fetch(first.forward.local, "/api")[0] == 200
    finally:
        assert agent.stop() == ()


def test_no_token_reaches_the_service_managers_status(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server wrote into a detail."""
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place))
        manager.settimeout(SOON)
        monkeypatch.setenv("NOTIFY_SOCKET", str(place))
        monkeypatch.setattr(
            "watchdogd.sinks.service_status._words", lambda state, env: f"down (said {TOKEN})"
        )
        thread = threading.Thread(target=run_agent, args=(settings,), kwargs={"once": True})
        thread.start()
        told: list[str] = []
        while not told or told[-1] != "STOPPING=1\nSTATUS=stopped":
            told.append(manager.recv(65536).decode())
        thread.join(SOON)
    assert any("down (said ***)" in text for text in told)
    assert TOKEN not in "".join(told)
