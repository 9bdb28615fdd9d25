"""Lines and links of another kind: slow ones, and those that the system's ssh makes."""

from __future__ import annotations

import time

import pytest

from tests.e2e.lab import OWN_TOKEN, Bench, container_untouched
from tests.lab.docker import Dockerd
from tests.lab.relay import Relay

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]

SECONDS_LATE = 0.6
"""Each way; an answer through the forward takes two round trips, 2.4 s, and ``probe.timeout`` is 2 s here."""


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
