"""The operator's hand on a running agent with real parts: pause, ask and approve, heal, and why."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.lab import OWN_TOKEN, Bench
from tests.e2e.test_container_faults import PATIENT, again, server_pid
from tests.lab import needs
from tests.lab.docker import Dockerd

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

TARGET = "a100"


@pytest.fixture
def asking(dockerd: Dockerd, jupyter: str) -> Iterator[Bench]:
    """Mode ``ask``, and a hang that is believed soon."""
    needs.programs("sshd", "ssh-keygen", "tmux", "flock")
    settings = {**OWN_TOKEN, "mode": "ask", "probe.timeout": "1s"}
    with Bench(dockerd, jupyter, settings=settings) as scene:
        yield scene


def test_a_pause_is_kept_over_a_restart_of_the_agent_and_ends_when_it_is_told(own: Bench) -> None:
    life = own.settle(command=("sh", "-c", PATIENT))
    begin = own.mark()
    done = own.agent.cli("pause", TARGET, "--for", "2h", "--reason", "new driver")
    assert done.returncode == 0
    assert done.stdout.startswith("a100 is paused")
    own.wait_state("paused")
    os.kill(life.pid, signal.SIGKILL)
    own.pass_time(4)
    assert own.agent.end(signal.SIGKILL) == -signal.SIGKILL
    own.agent.start()
    own.wait_state("paused")
    status = own.agent.cli("status", TARGET, "--why").stdout
    assert "new driver" in status
    assert "the target is paused by a person" in status
    own.pass_time(4)
    assert own.actions(begin) == []
    assert own.incidents(begin) == []
    assert own.agent.cli("resume", TARGET).returncode == 0
    again(own, life)
    assert own.actions(begin) == ["start_container"]
    assert own.agent.cli("resume", TARGET).returncode == 1


def test_in_mode_ask_a_restart_waits_for_the_person_and_why_says_so(asking: Bench) -> None:
    life = asking.settle(command=("sh", "-c", PATIENT))
    begin = asking.mark()
    os.kill(server_pid(asking, life), signal.SIGSTOP)
    asking.agent.until(lambda: ("restart_container", "ask") in asking.refusals(begin), "asked", 120)
    status = asking.agent.cli("status", TARGET, "--why").stdout
    assert "restart_container is held back" in status
    again_with = f"watchdogd --config {asking.agent.config}"
    assert f"\n    {again_with} approve {TARGET}\n" in status
    assert asking.agent.metric("target_needs_hand") == 1
    assert asking.acts(begin) == []
    found = json.loads(asking.agent.cli("status", "--json").stdout)["targets"][0]["why"]
    assert found["waits_for_person"] == "restart_container"
    done = asking.agent.cli("approve", TARGET)
    assert (done.returncode, done.stderr) == (0, "")
    later = again(asking, life, 90)
    assert asking.actions(begin) == ["restart_container"]
    assert later.id == life.id
    assert asking.agent.cli("approve", TARGET).returncode == 1


def test_a_person_may_restart_what_is_healthy(own: Bench) -> None:
    life = own.settle(command=("sh", "-c", PATIENT))
    begin = own.mark()
    plan = own.agent.cli("heal", TARGET, "--remedy", "restart_container", "--dry-run")
    assert plan.returncode == 0
    assert life.id in plan.stdout
    refused = own.agent.cli("heal", TARGET, "--remedy", "restart_container")
    assert refused.returncode == 64
    assert "--yes" in refused.stderr
    unknown = own.agent.cli("heal", TARGET, "--remedy", "pray")
    assert unknown.returncode == 64
    assert "restart_container" in unknown.stderr
    assert own.acts(begin) == []
    done = own.agent.cli("heal", TARGET, "--remedy", "restart_container", "--yes", seconds=120)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "restart_container: done"), done
    assert own.server.life(life.id).started != life.started
    own.calm()
    assert own.actions(begin) == ["restart_container"]
    assert own.incidents(begin) == []
    assert own.agent.cli("heal", "nobody", "--remedy", "reconnect").returncode == 4
