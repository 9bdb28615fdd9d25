"""The agent is killed again and again: the third start within 10 minutes only observes, and says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.needs import free_port
from tests.lab.waiting import until
from watchdogd.control import NoAgent, NoAnswer, ask, control_path

pytestmark = pytest.mark.real
TELLS = "crashed twice within 10 min: only observing for 10 min"


class Started:
    """One process of the agent, on a target that cannot be reached."""

    def __init__(self, folder: Path) -> None:
        self.environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
        self.state = folder / "state"
        self.log = folder / "log"
        config = folder / "config.toml"
        config.write_text(
            f'[agent]\nstate_dir = "{self.state}"\nlisten = "127.0.0.1:{free_port()}"\n'
            f'log_format = "json"\n[targets.a.ssh]\nhost = "127.0.0.1"\nport = {free_port()}\n'
            f'[targets.a.forward]\nlocal = "127.0.0.1:{free_port()}"\n'
            '[targets.a.runtime]\nkind = "external"\n'
        )
        argv = [sys.executable, "-m", "watchdogd", "--config", str(config), "run"]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(argv, env=self.environ, stdout=out, stderr=out)

    def target(self) -> dict[str, Any] | None:
        """What it tells of its target once it has judged it; ``None`` before."""
        try:
            path = control_path(str(self.state), self.environ)
            answer: Any = ask(path, {"verb": "status"}, 5.0)
        except (NoAgent, NoAnswer, OSError):
            return None
        target: dict[str, Any] = answer["targets"][0]
        ours = answer["pid"] == self.process.pid
        return target if ours and target["link"]["attempt"] else None

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(10)


@contextmanager
def started(folder: Path) -> Iterator[Started]:
    agent = Started(folder)
    try:
        until(lambda: agent.target() is not None, "it answers")
        yield agent
    finally:
        if agent.process.poll() is None:
            agent.end(signal.SIGKILL)


def lived(folder: Path, ended: signal.Signals) -> str:
    """Why it only observes, in one life that ends so."""
    with started(folder) as agent:
        target = agent.target()
        assert target is not None
        agent.end(ended)
        return str(target["observing"])


def told(folder: Path) -> int:
    lines = (folder / "log").read_text().splitlines()
    return sum(json.loads(line).get("event") == TELLS for line in lines if line.startswith("{"))


def test_killed_again_and_again_it_observes_and_a_restart_does_not_reset_that(
    tmp_path: Path,
) -> None:
    assert lived(tmp_path, signal.SIGTERM) == ""
    assert lived(tmp_path, signal.SIGKILL) == ""
    assert lived(tmp_path, signal.SIGKILL) == ""
    assert told(tmp_path) == 0
    assert "crashed twice" in lived(tmp_path, signal.SIGTERM)
    assert told(tmp_path) == 1
    assert "crashed twice" in lived(tmp_path, signal.SIGKILL)
    assert "crashed twice" in lived(tmp_path, signal.SIGTERM)


def test_ended_by_somebody_it_may_start_as_often_as_one_likes(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        assert lived(tmp_path, number) == ""
