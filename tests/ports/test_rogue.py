"""A server behind another host key gets nothing of ours, whenever it turns up; and gives our clients nothing.

Nothing: no user name, no key shown or asked to sign, no channel, no byte of a client.
"""

from __future__ import annotations

import http.client
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.engines import MAKERS, News, soon
from tests.lab.relay import Relay
from tests.lab.rogue import ANSWER, Rogue
from tests.lab.sshd import Sshd, keygen
from tests.lab.tcp_server import TcpServer, echo
from tests.lab.touch_agent import TouchAgent
from tests.lab.tunnel import Tunnel
from tests.lab.waiting import until
from watchdogd.core.dialing import NEVER
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import OWN_ANSWER_HEADER
from watchdogd.settings import Address

pytestmark = [pytest.mark.real, pytest.mark.parametrize("engine", list(MAKERS))]

TOKEN = "s3cret-of-the-runtime"
HOLD = 1.0
"""Seconds that clients wait for a link."""


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def rogue(tmp_path: Path) -> Iterator[Rogue]:
    with Rogue(tmp_path) as made:
        yield made


@pytest.fixture
def server() -> Iterator[Sshd]:
    with Sshd() as made:
        yield made


@pytest.fixture
def far() -> Iterator[TcpServer]:
    with TcpServer(echo) as made:
        yield made


def ask(address: Address) -> tuple[int, dict[str, str], bytes]:
    """An HTTP client with a token: what it was answered."""
    asking = http.client.HTTPConnection(address.host, address.port, timeout=30)
    try:
        asking.request("GET", f"/api?token={TOKEN}", headers={"Authorization": f"token {TOKEN}"})
        answer = asking.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        asking.close()


def say(address: Address) -> bytes:
    """A client of another protocol: what it heard before the reset."""
    heard = b""
    with socket.create_connection((address.host, address.port), 30) as client:
        client.settimeout(30)
        with suppress(ConnectionResetError):
            client.sendall(TOKEN.encode() + b"\n")
            while data := client.recv(4096):
                heard += data
            heard += b", and an orderly end"
    return heard


class Waiting:
    """Two clients that come while no link serves."""

    def __init__(self, address: Address) -> None:
        self._answers: queue.Queue[tuple[int, dict[str, str], bytes]] = queue.Queue()
        self._heard: queue.Queue[bytes] = queue.Queue()
        self._threads = (
            threading.Thread(target=lambda: self._answers.put(ask(address)), name="test-ask"),
            threading.Thread(target=lambda: self._heard.put(say(address)), name="test-say"),
        )
        for thread in self._threads:
            thread.start()

    def are_sent_away(self) -> None:
        """One with our own words, the other with a reset."""
        status, headers, body = self._answers.get(timeout=40)
        assert (status, OWN_ANSWER_HEADER in headers) == (503, True)
        assert ANSWER not in body
        assert TOKEN.encode() not in body
        assert self._heard.get(timeout=40) == b""
        for thread in self._threads:
            thread.join(10)


def await_refusal(tunnel: Tunnel) -> None:
    """Until the rogue was dialed, and seen through."""
    until(
        lambda: [one for one in tunnel.dialer.failures() if one.cause is Cause.HOST_KEY],
        "the refusal of another host key",
        40,
    )
    assert tunnel.dialer.state.next_at == NEVER
    assert tunnel.dialer.state.stopped_by is Cause.HOST_KEY


def learned_nothing(rogue: Rogue) -> None:
    assert rogue.exchanges + len(rogue.told) <= 1
    assert rogue.told == []


def test_a_rogue_that_is_trusted_hears_all(engine: str, rogue: Rogue, tmp_path: Path) -> None:
    """The other tests would pass with a deaf rogue."""
    with Sshd() as server:
        settings = server.settings(port=rogue.port, user="somebody")
        Path(server.known_hosts).write_text(server.known_hosts_line(rogue.port, rogue.host_key))
        link = MAKERS[engine](settings, tmp_path).dial(soon(), News())
        with suppress(Transient):
            link.open(Address("127.0.0.1", 9), soon()).close()
        link.close(soon())
    told = b"".join(rogue.told)
    assert b"somebody" in told
    assert b"ssh-ed25519" in told
    assert b"direct-tcpip" in told


@pytest.mark.parametrize(
    "lie",
    [
        "ssh: connect to host 127.0.0.1 port 22: Connection refused",
        "somebody@127.0.0.1: Permission denied (publickey).",
        "Host key for 127.0.0.1 has changed and you have requested strict checking.",
    ],
)
def test_one_that_talks_before_it_is_verified_hides_nothing(
    engine: str, lie: str, tmp_path: Path
) -> None:
    """It can have ssh print lines that look like ssh's own."""
    words = f"a\ndebug1: SSH2_MSG_NEWKEYS received\n{lie}"
    with Sshd() as server, Rogue(tmp_path, words=words) as rogue:
        settings = server.settings(port=rogue.port, user="somebody")
        Path(server.known_hosts).write_text(server.known_hosts_line(rogue.port))
        with pytest.raises(Permanent) as raised:
            MAKERS[engine](settings, tmp_path).dial(soon(), News())
        assert raised.value.cause is Cause.HOST_KEY
        assert "ssh-copy-id" not in raised.value.mend
        learned_nothing(rogue)


def test_at_the_first_dial(
    engine: str, rogue: Rogue, far: TcpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an agent is not asked to sign."""
    key, known = keygen(tmp_path / "key"), tmp_path / "known_hosts"
    with Sshd() as server, TouchAgent(tmp_path / "agent.sock", key) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.path))
        known.write_text(server.known_hosts_line(rogue.port))
        settings = server.settings(port=rogue.port, identity_file=None, known_hosts=str(known))
        with Tunnel(engine, settings, far.address, tmp_path, hold=HOLD) as tunnel:
            waiting = Waiting(tunnel.address)
            await_refusal(tunnel)
            waiting.are_sent_away()
            assert not tunnel.says_up()
        assert not agent.asked.is_set()
    learned_nothing(rogue)


@pytest.mark.parametrize("ends", ["killed", "restarted"])
def test_at_a_retry(
    engine: str, ends: str, rogue: Rogue, server: Sshd, far: TcpServer, tmp_path: Path
) -> None:
    """The link is lost, and what answers there now is another server."""
    with Relay(("127.0.0.1", server.port)) as relay:
        server.write_known_hosts(relay.port)
        settings = server.settings(port=relay.port)
        with Tunnel(engine, settings, far.address, tmp_path, hold=HOLD) as tunnel:
            tunnel.await_up()
            riding = socket.create_connection((tunnel.address.host, tunnel.address.port), 30)
            riding.sendall(b"before")
            assert riding.recv(10) == b"before"
            relay.target = ("127.0.0.1", rogue.port)
            if ends == "killed":
                server.kill_sessions()
            else:
                server.stop()
            with riding, pytest.raises(ConnectionResetError):
                riding.recv(10)
            waiting = Waiting(tunnel.address)
            await_refusal(tunnel)
            waiting.are_sent_away()
            assert not tunnel.says_up()
    learned_nothing(rogue)


def test_at_the_dial_beside_a_silent_link(
    engine: str, rogue: Rogue, server: Sshd, far: TcpServer, tmp_path: Path
) -> None:
    """The silent link is not given up for it: who rides on it goes on once it speaks."""
    with Relay(("127.0.0.1", server.port)) as relay:
        server.write_known_hosts(relay.port)
        settings = server.settings(port=relay.port)
        with Tunnel(engine, settings, far.address, tmp_path, hold=HOLD) as tunnel:
            tunnel.await_up()
            with socket.create_connection((tunnel.address.host, tunnel.address.port), 30) as riding:
                riding.settimeout(30)
                riding.sendall(b"before")
                assert riding.recv(10) == b"before"
                relay.target = ("127.0.0.1", rogue.port)
                frozen = server.session_pids()
                server.kill_sessions(signal.SIGSTOP)
                try:
                    until(lambda: not tunnel.says_up(), "silence")
                    waiting = Waiting(tunnel.address)
                    riding.sendall(TOKEN.encode())
                    await_refusal(tunnel)
                    waiting.are_sent_away()
                    assert not tunnel.says_up()
                finally:
                    for pid in frozen:
                        os.kill(pid, signal.SIGCONT)
                assert riding.recv(len(TOKEN), socket.MSG_WAITALL) == TOKEN.encode()
            tunnel.await_up()
    learned_nothing(rogue)
