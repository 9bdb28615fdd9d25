"""Lines on which little passes, or late, or elsewhere: the tunnel neither hangs, nor says it is up while
nothing passes, nor loses a byte; and it is there again once the line is. On real TCP and a real sshd.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.soak_streams import End, KnownStreams, Plan, Shape
from tests.lab.closing import Closing
from tests.lab.engines import MAKERS, News, soon
from tests.lab.own_network import (
    in_own_network,
    lose_every,
    lose_larger,
    lose_nothing,
    resolve,
)
from tests.lab.relay import Relay, RelayMode
from tests.lab.sshd import Sshd, free_port
from tests.lab.tunnel import Tunnel
from tests.lab.waiting import until
from watchdogd.core.events import LinkLost
from watchdogd.core.words import Cause
from watchdogd.errors import Transient

pytestmark = [pytest.mark.real, pytest.mark.parametrize("engine", list(MAKERS))]

SMALL = 1000
"""Bytes of the largest packet that passes a line with a narrow spot."""


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def streams() -> Iterator[KnownStreams]:
    with KnownStreams() as made:
        yield made


def ask(size: int, number: int) -> Plan:
    return Plan(Shape.ASK, False, number, size, size)


class Riding(Closing):
    """A slow transfer that is on its way."""

    def __init__(self, streams: KnownStreams, tunnel: Tunnel) -> None:
        self._pool = ThreadPoolExecutor(1, "test-riding")
        plan = Plan(Shape.TALK, True, id(self), 100_000, 100_000)
        riding = tunnel.forward.facts().open_connections
        self._done = self._pool.submit(streams.transfer, tunnel.address, plan)
        if tunnel.says_up():
            until(lambda: tunnel.forward.facts().open_connections > riding, "a client on its way")

    def end(self) -> End:
        """How it ended."""
        return self._done.result(60).end

    def close(self) -> None:
        """Waits for it."""
        self._pool.shutdown()


def test_a_third_of_all_packets_is_lost(engine: str, tmp_path: Path) -> None:
    def job() -> None:
        with Sshd() as server, KnownStreams() as streams:
            lose_every(3, server.port)
            with Tunnel(engine, server.settings(), streams.address, tmp_path) as tunnel:
                tunnel.await_up(60)
                end = streams.transfer(tunnel.address, ask(20_000, 1)).end
                lose_nothing()
                tunnel.await_up(60)
        assert end is End.EXACT

    in_own_network(job)


def test_only_small_packets_pass(engine: str, tmp_path: Path) -> None:
    """From some moment on: what is large stops the line, and that is silence."""

    def job() -> None:
        with Sshd() as server, KnownStreams() as streams:
            settings = server.settings()
            with Tunnel(engine, settings, streams.address, tmp_path, hold=0.5) as tunnel:
                tunnel.await_up()
                assert streams.transfer(tunnel.address, ask(50_000, 1)).end is End.EXACT
                lose_larger(SMALL, server.port)
                with Riding(streams, tunnel) as rides:
                    until(lambda: not tunnel.says_up(), "silence")
                    lose_nothing()
                    tunnel.await_up(60)
                    assert rides.end() in (End.EXACT, End.CUT)
                assert streams.transfer(tunnel.address, ask(50_000, 2)).end is End.EXACT

    in_own_network(job)


def test_a_dial_over_a_line_for_small_packets_only(engine: str, tmp_path: Path) -> None:
    """The key exchange does not pass; the dial ends all the same."""

    def job() -> None:
        with Sshd() as server:
            lose_larger(SMALL, server.port)
            maker, begun = MAKERS[engine], time.monotonic()
            with pytest.raises(Transient) as raised:
                maker(server.settings(), tmp_path).dial(soon(3), News())
            assert time.monotonic() - begun < 8
            assert (raised.value.cause, raised.value.reached) == (Cause.HOST_UNREACHABLE, True)

    in_own_network(job)


def test_the_address_of_the_host_moves(engine: str, tmp_path: Path) -> None:
    """Each dial asks for it again."""

    def job() -> None:
        resolve(tmp_path, gpu_localhost="127.0.0.1")
        port = free_port()
        everywhere = {"ListenAddress": f"0.0.0.0:{port}"}
        with Sshd(everywhere, port=port) as server, KnownStreams() as streams:
            line = server.known_hosts_line().replace("[127.0.0.1]", "[gpu.localhost]")
            Path(server.known_hosts).write_text(line)
            settings = server.settings(host="gpu.localhost")
            with Tunnel(engine, settings, streams.address, tmp_path) as tunnel:
                tunnel.await_ups(1)
                resolve(tmp_path, gpu_localhost="127.0.0.2")
                server.kill_sessions()
                tunnel.await_ups(2)
                assert streams.transfer(tunnel.address, ask(1000, 1)).end is End.EXACT
            assert "on 127.0.0.2 port" in server.log_text()

    in_own_network(job)


def test_six_seconds_there_and_back(engine: str, streams: KnownStreams, tmp_path: Path) -> None:
    """Late is not lost: what is sent arrives, over the same link."""
    with Sshd() as server, Relay(("127.0.0.1", server.port)) as relay:
        server.write_known_hosts(relay.port)
        settings = server.settings(port=relay.port)
        with Tunnel(engine, settings, streams.address, tmp_path) as tunnel:
            tunnel.await_up()
            until(lambda: tunnel.links.current().facts().round_trip, "a first answer")
            relay.delay = 3.0
            assert streams.transfer(tunnel.address, ask(5000, 1)).end is End.EXACT
            tunnel.await_up()
            assert tunnel.dialer.count(LinkLost) == 0
            relay.delay = 0.0


def test_a_stall_that_heals(engine: str, streams: KnownStreams, tmp_path: Path) -> None:
    """Who was on their way goes on; who comes meanwhile waits."""
    with Sshd() as server, Relay(("127.0.0.1", server.port)) as relay:
        server.write_known_hosts(relay.port)
        settings = server.settings(port=relay.port)
        with Tunnel(engine, settings, streams.address, tmp_path) as tunnel:
            tunnel.await_up()
            with Riding(streams, tunnel) as rides:
                relay.set(RelayMode.FREEZE)
                until(lambda: not tunnel.says_up(), "silence")
                with Riding(streams, tunnel) as waits:
                    relay.set(RelayMode.PASS)
                    tunnel.await_up()
                    assert waits.end() is End.EXACT
                assert rides.end() is End.EXACT
            assert tunnel.dialer.failures() == []
