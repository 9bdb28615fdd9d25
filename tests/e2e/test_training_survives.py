"""The one promise: a healthy training run is never ended by a false alarm; a dead runtime is restarted once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.agent import SLOW_LOOK_SECONDS, Agent
from tests.e2e.kernel import Kernel
from tests.e2e.lab import OWN_TOKEN, Bench, stopped
from tests.e2e.test_container_faults import PATIENT, again, server_pid
from tests.lab import needs
from tests.lab.docker import Dockerd

pytestmark = [pytest.mark.real, pytest.mark.timeout(420)]

DESTRUCTIVE = {"kill", "stop", "restart", "die", "destroy"}
TEN_MINUTES = 600.0


@pytest.fixture
def ahead(tmp_path: Path) -> Path:
    """By how much the laptop's wall clock is ahead."""
    file = tmp_path / "ahead"
    file.write_text("0")
    return file


@pytest.fixture
def scene(dockerd: Dockerd, jupyter: str, ahead: Path) -> Iterator[Bench]:
    needs.programs("sshd", "ssh-keygen", "tmux", "flock")
    settings = {**OWN_TOKEN, "probe.timeout": "1s"}
    program = (sys.executable, str(Path(__file__).with_name("skewed.py")), str(ahead))
    with Bench(dockerd, jupyter, settings=settings, program=program) as scene:
        yield scene


def test_a_training_run_survives_four_false_alarms(scene: Bench, ahead: Path) -> None:
    """Frozen Jupyter, frozen SSH session, a clock that jumps, an agent that is killed: nothing is ended."""
    life = scene.settle(command=("sh", "-c", PATIENT))
    kernel = Kernel(scene.port, scene.token.read_text(), life.pid)
    scene.calm()
    begin = scene.mark()

    with stopped(server_pid(scene, life)):
        scene.agent.until(
            lambda: ("restart_container", "veto") in scene.refusals(begin), "veto", 90
        )
        assert kernel.advances()

        ahead.write_text(str(TEN_MINUTES))
        scene.agent.until(
            lambda: "the clock was set" in scene.agent.log.read_text(), "clock step noticed", 20
        )
        scene.pass_time(5)
        assert kernel.advances()

        assert scene.agent.end(signal.SIGKILL) == -signal.SIGKILL
        scene.agent.start()
        scene.wait_cause("runtime_hung", 60)
        scene.pass_time(10)
        assert kernel.advances()
    scene.calm(60)

    still = scene.mark()
    with stopped(*scene.server.sshd.session_pids()):
        # told, not looked for: another link is in its place within milliseconds
        scene.agent.until(
            lambda: any(
                "is silent" in str(record["event"]) for record in scene.agent.records(still.log)
            ),
            "the silent link noticed",
            30,
        )
        scene.agent.until(scene.usable, "usable again over a new link", 60)
    scene.calm(60)

    assert kernel.advances()
    assert scene.server.life(life.id) == life
    assert not DESTRUCTIVE & set(scene.acts(begin))
    assert "restart_container" not in scene.actions(begin)
    assert not (Path(scene.server.home) / ".watchdogd" / "ledger.jsonl").exists()


def test_a_dead_runtime_is_restarted_once_by_one_of_two_agents(scene: Bench) -> None:
    life = scene.settle(command=("sh", "-c", PATIENT))
    other = scene.another_agent()
    other.start()
    other.until(lambda: other.target().get("state") == "up", "the second agent is up", 60)
    other.until(lambda: other.target().get("phase") == "steady", "and calm", 60)
    begin, seen = scene.mark(), other.mark()
    os.kill(server_pid(scene, life), signal.SIGSTOP)
    later = again(scene, life, 180)
    other.until(
        lambda: other.target().get("state") == "up",
        "the second agent sees it",
        90,
        SLOW_LOOK_SECONDS,
    )
    acts = scene.acts(begin)
    assert acts.count("restart") == 1, acts
    assert later.id == life.id
    ledger = (Path(scene.server.home) / ".watchdogd" / "ledger.jsonl").read_text().splitlines()
    assert len(ledger) == 2
    assert '"result":"acted"' in ledger[1]
    ended = [*results(scene.agent, begin.log), *results(other, seen)]
    assert ended.count("done") == 1, ended
    assert set(ended) <= {"done", "nothing"}


def results(agent: Agent, since: int) -> list[str]:
    """How each restart that this agent began ended."""
    return [
        str(record["result"])
        for record in agent.records(since)
        if record.get("remedy") == "restart_container" and "result" in record
    ]
