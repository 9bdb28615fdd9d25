"""The whole agent on real parts: a runtime in a real tmux dies, is started, and its training is resumed once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import needs
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from tests.lab.waiting import until
from watchdogd.app import Agent
from watchdogd.cli import run as command_line
from watchdogd.core.model import TargetState
from watchdogd.core.resume import Trial
from watchdogd.core.words import Kind, State
from watchdogd.demo.runtime import Program, program
from watchdogd.settings import (
    Address,
    AgentSettings,
    ForwardSettings,
    ProbeSettings,
    RuntimeSettings,
    SessionSettings,
    Settings,
    TargetSettings,
    TrainingSettings,
)

pytestmark = pytest.mark.real

LONG = 90.0
HOOK = 'cat >>"$1"; printf %s "{\\"step\\": $(wc -l <"$1")0}" >"$2.new"; mv "$2.new" "$2"'


@pytest.fixture
def server(runtime: Program, tmp_path: Path) -> Iterator[Sshd]:  # ends before it
    needs.programs("sshd", "ssh-keygen", "tmux")
    home, sockets = tmp_path / "home", tmp_path / "tm"
    for folder in (home, sockets):
        folder.mkdir(mode=0o700)
    with Sshd({"SetEnv": f"HOME={home} TMUX_TMPDIR={sockets}"}) as made:
        try:
            yield made
        finally:
            environment = {**os.environ, "TMUX_TMPDIR": str(sockets)}
            environment.pop("TMUX", None)
            argv = ["tmux", "kill-server"]
            subprocess.run(argv, env=environment, timeout=20, check=False, capture_output=True)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Program]:
    made = program(tmp_path, free_port(), "unused", real=False)
    yield made
    until(lambda: made.process() is None, "the runtime's end")


@pytest.fixture
def settings(
    server: Sshd, runtime: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    progress = tmp_path / "progress.json"
    progress.write_text('{"step": 7}')
    remote = Address("127.0.0.1", runtime.port)
    hook = ("/bin/sh", "-c", HOOK, "sh", str(tmp_path / "told"), str(progress))
    target = TargetSettings(
        name="a100",
        ssh=server.settings(),
        forward=ForwardSettings(local=Address("127.0.0.1", free_port()), remote=remote),
        runtime=RuntimeSettings(
            kind=Kind.SESSION, session=SessionSettings(command=runtime.shell_command())
        ),
        probe=ProbeSettings(interval=1.0, suspect_interval=0.5, timeout=5.0),
        training=TrainingSettings(progress_file=str(progress), resume_command=hook),
    )
    return Settings(
        agent=AgentSettings(
            listen=Address("127.0.0.1", free_port()), state_dir=str(tmp_path / "state")
        ),
        targets={"a100": target},
    )


def told(tmp_path: Path) -> list[dict[str, object]]:
    file = tmp_path / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def resumed(state: TargetState, times: int, tmp_path: Path) -> bool:
    known = state.resume
    moved = known is not None and known.trial is Trial.MOVED and state.hook is None
    return moved and len(told(tmp_path)) == times


@pytest.mark.timeout(300)
def test_a_runtime_that_died_is_started_and_its_training_resumed_once(
    settings: Settings, runtime: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def now(agent: Agent) -> TargetState:
        return agent.view().targets["a100"]

    agent = Agent(settings)
    agent.start()
    try:
        # Nothing runs yet: starting it is a repair, too.
        until(lambda: resumed(now(agent), 1, tmp_path), "the first resume", LONG)
        first = told(tmp_path)[0]
        assert (first["target"], first["attempt"], first["last_step"]) == ("a100", 1, 7)
        until(lambda: now(agent).shown is State.UP, "up", LONG)
        process = runtime.process()
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: resumed(now(agent), 2, tmp_path), "the second resume", LONG)
        until(lambda: now(agent).shown is State.UP, "up again", LONG)
        second = told(tmp_path)[1]
        assert second["generation"] != first["generation"]
        assert (second["attempt"], second["back"], second["last_step"]) == (1, 0, 10)
    finally:
        assert agent.stop() == ()

    again = Agent(settings)
    again.start()
    try:
        until(lambda: now(again).shown is State.UP, "up", LONG)
        before = now(again).round
        until(lambda: now(again).round > before + 5, "some more rounds", LONG)
        assert len(told(tmp_path)) == 2
    finally:
        assert again.stop() == ()

    log = Path(settings.agent.state_dir) / "events" / "events.jsonl"
    capsys.readouterr()
    assert command_line(["simulate", str(log), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["same"] is True
    kinds = [one["kind"] for one in answer["decisions"]]
    assert (kinds.count("hook_began"), kinds.count("resume_ended")) == (2, 2)
