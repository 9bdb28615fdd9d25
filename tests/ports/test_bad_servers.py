"""Servers that go, come and drop what is quiet: the tunnel is there again each time, and nobody is told lies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from bench.soak_streams import End, KnownStreams, Plan, Shape
from tests.lab.engines import CLOCK, MAKERS, openssh, soon
from tests.lab.engines import News as Told
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from tests.lab.tunnel import Tunnel
from tests.lab.waiting import until
from watchdogd.adapters.forward import ListeningForward
from watchdogd.core.events import LinkLost, LinkUp
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.settings import Address

pytestmark = pytest.mark.real
each_engine = pytest.mark.parametrize("engine", list(MAKERS))

REBOOTS = 3
TALK = Plan(Shape.TALK, True, 1, 20_000, 20_000)
"""Never quiet in either direction: sshd counts both."""


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def streams() -> Iterator[KnownStreams]:
    with KnownStreams() as made:
        yield made


def ask(number: int, *, slow: bool = False) -> Plan:
    return Plan(Shape.ASK, slow, number, 20_000, 20_000)


@each_engine
def test_a_server_that_drops_quiet_connections(
    engine: str, streams: KnownStreams, tmp_path: Path
) -> None:
    """A link without a channel is ended within two seconds; each client is served by the next one.
    That of ``openssh`` has one: what its keepalive asks."""
    with (
        Sshd({"UnusedConnectionTimeout": "1s"}) as server,
        Tunnel(engine, server.settings(), streams.address, tmp_path) as tunnel,
    ):
        tunnel.await_up()
        for number in range(2):
            if engine == "sshtunnel":
                until(lambda n=number: tunnel.dialer.count(LinkLost) > n, "a loss")  # type: ignore[misc]
            else:
                threading.Event().wait(2.5)
            assert streams.transfer(tunnel.address, ask(number)).end is End.EXACT
        assert tunnel.dialer.failures() == []
        assert engine == "sshtunnel" or tunnel.dialer.count(LinkLost) == 0


@each_engine
def test_a_server_that_drops_quiet_channels(
    engine: str, streams: KnownStreams, tmp_path: Path
) -> None:
    """The quiet client learns that it ended; the link, and who is not quiet, go on."""
    with (
        Sshd({"ChannelTimeout": "direct-tcpip=3s"}) as server,
        Tunnel(engine, server.settings(), streams.address, tmp_path) as tunnel,
    ):
        tunnel.await_up()
        with (
            ThreadPoolExecutor(1) as pool,
            socket.create_connection((tunnel.address.host, tunnel.address.port), 30) as quiet,
        ):
            busy = pool.submit(streams.transfer, tunnel.address, TALK)
            with suppress(ConnectionResetError):
                assert quiet.recv(1) == b""
            assert busy.result(60).end is End.EXACT
        until(lambda: tunnel.forward.facts().open_connections == 0, "nobody on the way")
        assert streams.transfer(tunnel.address, ask(2)).end is End.EXACT
        assert tunnel.dialer.count(LinkUp) == 1


@each_engine
def test_a_server_that_is_rebooted_every_few_seconds(
    engine: str, streams: KnownStreams, tmp_path: Path
) -> None:
    with (
        Sshd() as server,
        Tunnel(engine, server.settings(), streams.address, tmp_path) as tunnel,
        ThreadPoolExecutor(2) as pool,
    ):
        over = threading.Event()

        def go_on(first: int) -> list[End]:
            ends, number = [], first
            while not over.is_set():
                ends.append(streams.transfer(tunnel.address, ask(number, slow=True)).end)
                number += 1
            return ends

        clients = [pool.submit(go_on, 1000 * client) for client in (1, 2)]
        try:
            for number in range(REBOOTS):
                tunnel.await_ups(number + 1)
                until(lambda: tunnel.forward.facts().open_connections == 2, "clients on the way")
                server.stop()
                until(lambda: not tunnel.says_up(), "the loss")
                until(lambda n=number: len(tunnel.dialer.failures()) > n, "a dial for nothing")  # type: ignore[misc]
                assert not tunnel.says_up()
                server.start()
            tunnel.await_ups(REBOOTS + 1)
        finally:
            over.set()
        ends = [end for client in clients for end in client.result(120)]
        assert streams.transfer(tunnel.address, ask(1)).end is End.EXACT
    assert {failure.cause for failure in tunnel.dialer.failures()} <= {
        Cause.SSHD_DOWN,
        Cause.SSHD_REJECTS,
        Cause.HOST_UNREACHABLE,
    }
    assert set(ends) <= {End.EXACT, End.CUT}
    assert ends.count(End.CUT) <= 2 * REBOOTS
    assert tunnel.remains() == []


def test_a_control_socket_of_a_dead_master_is_in_nobodys_way(tmp_path: Path) -> None:
    """The folder of an agent that was killed along with its ``ssh``."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(run / "0badcafe.ctl"))
    with Sshd() as server:
        link = openssh(server.settings(), tmp_path).dial(soon(), Told())
        assert link.run(["true"], deadline=soon()).status == 0
        link.close(soon())
    assert [path.name for path in run.iterdir()] == ["0badcafe.ctl"]


def test_a_port_that_is_taken_on_the_other_family_is_free() -> None:
    local = Address("127.0.0.1", free_port())
    with socket.create_server(("::1", local.port), family=socket.AF_INET6):
        forward = ListeningForward(local, Address("127.0.0.1", 9), 1.0, CLOCK)
        try:
            forward.bind()
            assert forward.facts().bound
            assert forward.address == local
        finally:
            forward.close(soon())


@pytest.mark.parametrize(("family", "taken"), [("127.0.0.1", "0.0.0.0"), ("127.0.0.1", "::")])
def test_a_port_that_is_taken_on_all_addresses_is_told(family: str, taken: str) -> None:
    """Also by a listener of both families on the IPv6 wildcard."""
    port = free_port()
    kind = socket.AF_INET6 if ":" in taken else socket.AF_INET
    both = kind is socket.AF_INET6
    with socket.create_server((taken, port), family=kind, dualstack_ipv6=both):
        forward = ListeningForward(Address(family, port), Address("127.0.0.1", 9), 1.0, CLOCK)
        with pytest.raises(Transient) as raised:
            forward.bind()
        assert raised.value.cause is Cause.PORT_CONFLICT
        assert f"127.0.0.1:{port} is held by" in raised.value.detail
        assert not forward.facts().bound
        forward.close(soon())
