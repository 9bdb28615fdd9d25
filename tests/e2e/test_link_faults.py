"""Faults on the way to the server: healed by the link alone, the container never touched."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.lab import OWN_TOKEN, Bench, container_untouched, stopped
from tests.e2e.network import dropped
from tests.lab import needs
from tests.lab.docker import Dockerd
from tests.lab.relay import Relay

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]

SECONDS_LATE = 0.6
"""Each way; an answer through the forward takes two round trips, 2.4 s, and ``probe.timeout`` is 2 s here."""


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


def answered(bench: Bench, since: float) -> bool:
    """Did the runtime answer a probe that began after ``since`` (monotonic clock)?"""
    seen = {one["layer"]: one for one in bench.agent.target()["layers"]}["runtime"]
    young = seen["age"] + SECONDS_LATE < time.monotonic() - since
    return bool(seen["outcome"] == "ok" and young)


def test_a_line_with_seconds_of_delay(dockerd: Dockerd, jupyter: str) -> None:
    """An answer takes longer than a probe's time, as it is configured: slow, and nothing is wrong."""
    with Relay(("127.0.0.1", 0)) as relay:
        settings = {**OWN_TOKEN, "ssh.port": relay.port}
        with Bench(dockerd, jupyter, settings=settings) as bench:
            sshd = bench.server.sshd
            relay.target = ("127.0.0.1", sshd.port)
            known = bench.known_hosts.read_text()
            bench.known_hosts.write_text(known.replace(str(sshd.port), str(relay.port)))
            bench.settle()
            with container_untouched(bench, small=False) as begin:
                relay.delay, since = SECONDS_LATE, time.monotonic()
                bench.agent.until(lambda: answered(bench, since), "an answer in its time", 60)
                assert bench.agent.target()["state"] == "up"
                relay.delay = 0.0
                bench.calm()
            assert bench.actions(begin) == []
            assert bench.incidents(begin) == []


def test_link_killed_under_the_systems_ssh(dockerd: Dockerd, jupyter: str) -> None:
    """Engine ``openssh`` in the whole agent: healed by the link alone, and no child is left at the end."""
    settings = {**OWN_TOKEN, "ssh.engine": "openssh"}
    with Bench(dockerd, jupyter, settings=settings) as bench:
        bench.settle()
        bench.steady()
        with container_untouched(bench) as begin:
            assert bench.server.sshd.kill_sessions() > 0
            bench.agent.until(lambda: bench.logins(begin) == 1, "a new login", 10)
            bench.agent.until(bench.usable, "usable", 8)
        assert bench.actions(begin) == []
        assert bench.incidents(begin) == []
        assert bench.agent.end() == 0
        bench.agent.until(lambda: not bench.server.sshd.session_pids(), "no session is left", 5)
