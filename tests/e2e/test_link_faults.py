"""Faults on the way to the server: healed by the link alone, the container never touched."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.lab import OWN_TOKEN, Bench, container_untouched, stopped
from tests.e2e.network import dropped
from tests.lab import needs
from tests.lab.docker import Dockerd

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def running(dockerd: Dockerd, jupyter: str) -> Iterator[Bench]:
    """One scene for the faults that need no other server: all is well before each of them."""
    needs.programs("sshd", "ssh-keygen", "tmux")
    with Bench(dockerd, jupyter, settings=OWN_TOKEN) as scene:
        scene.settle()
        yield scene


def test_link_killed(running: Bench) -> None:
    running.steady()
    with container_untouched(running) as begin:
        assert running.server.sshd.kill_sessions() > 0
        running.agent.until(lambda: running.logins(begin) == 1, "a new login", 10)
        running.agent.until(running.usable, "usable", 8)
    assert running.actions(begin) == []
    assert running.incidents(begin) == []
    assert (running.dials(begin), running.logins(begin)) == (1, 1)


def test_link_frozen(running: Bench) -> None:
    running.steady()
    with container_untouched(running) as begin:
        frozen = running.server.sshd.session_pids()
        with stopped(*frozen):
            at = time.monotonic()
            running.agent.until(lambda: running.logins(begin) == 1, "a second login", 15)
            running.agent.until(running.usable, "usable", 8)
            assert time.monotonic() - at < 10
            running.calm()
        running.agent.until(
            lambda: not set(frozen) & set(running.server.sshd.session_pids()), "old link closed", 10
        )
    assert running.actions(begin) == []
    assert running.incidents(begin) == []
    assert (running.dials(begin), running.logins(begin)) == (1, 1)


def test_packets_dropped(running: Bench) -> None:
    needs.programs("iptables")
    needs.root("dropping packets")
    with container_untouched(running, small=False) as begin:
        with dropped(running.server.sshd.port):
            running.agent.until(
                lambda: running.agent.target().get("state") in ("down", "healing"), "down", 45
            )
            assert running.agent.target()["cause"] in ("link_lost", "host_unreachable")
            assert not running.usable()
            assert running.dials(begin) == 0
        running.wait_state("up", 30)
    assert set(running.actions(begin)) <= {"reconnect"}
    assert len(running.actions(begin)) <= 3
    assert set(running.incidents(begin)) <= {"link_lost", "host_unreachable"}
    assert running.logins(begin) <= 1
