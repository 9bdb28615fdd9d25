"""What was once seen with one engine only, with each: refusals, servers that allow little, a lost name service,
and who ends first.
"""

from __future__ import annotations

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.engines import FAR_HALF, KEEPALIVE, MAKERS, News, soon
from tests.lab.needs import free_port
from tests.lab.own_network import in_own_network, resolve
from tests.lab.sshd import Sshd, keygen
from tests.lab.tcp_server import TcpServer, echo
from tests.lab.tunnel import Tunnel
from tests.lab.waiting import until
from watchdogd.adapters.http import get
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import HttpEnd, Link, SshEngine
from watchdogd.settings import Address

pytestmark = [pytest.mark.real, pytest.mark.parametrize("engine", list(MAKERS))]

AT_ONCE, TIMES = 8, 12


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def refused(link: Link, to: Address) -> Cause:
    with pytest.raises((Transient, Permanent)) as raised:
        link.open(to, soon())
    error = raised.value
    assert isinstance(error, Transient | Permanent)
    return error.cause


def failure(engine: SshEngine) -> Cause:
    with pytest.raises((Transient, Permanent)) as raised:
        engine.dial(soon(), News())
    error = raised.value
    assert isinstance(error, Transient | Permanent)
    return error.cause


def test_each_of_many_refusals_keeps_its_own_reason(engine: str, tmp_path: Path) -> None:
    closed = free_port()
    with TcpServer(echo) as far, Sshd({"PermitOpen": f"127.0.0.1:{closed}"}) as server:
        link = MAKERS[engine](server.settings(), tmp_path).dial(soon(), News())
        wanted = [Address("127.0.0.1", closed), far.address] * TIMES
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda to: refused(link, to), wanted))
        link.close(soon())
    assert found == [Cause.RUNTIME_REFUSED, Cause.FORWARD_DENIED] * TIMES


@pytest.mark.parametrize("option", [{"ForceCommand": "/bin/false"}, {"MaxSessions": "0"}])
def test_a_link_lives_where_no_command_may_run(
    engine: str, option: dict[str, str], tmp_path: Path
) -> None:
    news = News()
    with Sshd(option) as server, TcpServer(echo) as far:
        link = MAKERS[engine](server.settings(), tmp_path).dial(soon(), news)
        first = link.facts().last_received_at
        threading.Event().wait(4 * KEEPALIVE)
        assert news.told == []
        assert link.facts().last_received_at > first
        stream = link.open(far.address, soon())
        stream.sendall(b"ping")
        assert stream.recv(10) == b"ping"
        stream.close()
        server.kill_sessions(signal.SIGSTOP)
        news.await_last("silent")
        server.kill_sessions(signal.SIGCONT)
        news.await_last("speaking")
        link.close(soon())


def test_without_a_name_service_the_last_good_address_serves(engine: str, tmp_path: Path) -> None:
    """And no other server there is taken for it."""

    def job() -> None:
        resolve(tmp_path, gpu_localhost="127.0.0.1")
        with Sshd() as server:
            known = Path(server.known_hosts)
            known.write_text(server.known_hosts_line().replace("[127.0.0.1]", "[gpu.localhost]"))
            made = MAKERS[engine](server.settings(host="gpu.localhost"), tmp_path)
            made.dial(soon(), News()).close(soon())
            resolve(tmp_path, other_localhost="127.0.0.1")
            made.dial(soon(), News()).close(soon())
            changed = server.known_hosts_line(key=keygen(tmp_path / "other"))
            known.write_text(changed.replace("[127.0.0.1]", "[gpu.localhost]"))
            assert failure(made) is Cause.HOST_KEY
            fresh = MAKERS[engine](server.settings(host="gpu.localhost"), tmp_path)
            assert failure(fresh) is Cause.DNS

    in_own_network(job)


def test_who_ends_first_over_there(engine: str, tmp_path: Path) -> None:
    """All that it said arrives, with a clean end. Whether it still hears is the engine's; nobody hangs."""
    heard: list[bytes] = []
    ended = threading.Event()

    def says_bye(client: socket.socket) -> None:
        client.sendall(b"bye")
        client.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while data := client.recv(100):
                heard.append(data)
        ended.set()

    with Sshd() as server, TcpServer(says_bye) as far:
        link = MAKERS[engine](server.settings(), tmp_path).dial(soon(), News())
        stream = link.open(far.address, soon())
        answer = b""
        while data := stream.recv(100):
            answer += data
        assert (answer, stream.ended_cleanly()) == (b"bye", True)
        if FAR_HALF[engine]:
            stream.sendall(b"go on")
            stream.shutdown_write()
        assert ended.wait(10)
        assert b"".join(heard) == (b"go on" if FAR_HALF[engine] else b"")
        until(stream.closed, "the end of the channel")
        stream.close()
        link.close(soon())


def test_a_look_at_a_frozen_runtime_leaves_nothing_behind(engine: str, tmp_path: Path) -> None:
    """A hang may be looked at for days, while a restart waits for work."""
    thawed = threading.Event()

    def freeze(_: socket.socket) -> None:
        thawed.wait(60)

    with (
        TcpServer(freeze) as runtime,
        Sshd() as server,
        Tunnel(engine, server.settings(), runtime.address, tmp_path) as tunnel,
    ):
        tunnel.await_up()
        for _ in range(3):
            asked = get(tunnel.address, "/api/status", token=None, deadline=soon(0.5))
            assert asked.end is HttpEnd.SILENT
        until(lambda: tunnel.forward.facts().open_connections == 0, "all connections are ended")
        thawed.set()
