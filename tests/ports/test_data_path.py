"""Bulk bytes over a real sshd: whole and in order, whatever cipher is agreed on and however often keys change."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paramiko.packet import Packetizer

from tests.lab.engines import CLOCK, MAKERS, News, soon
from tests.lab.sshd import Sshd
from tests.lab.tcp_server import TcpServer, echo
from tests.lab.waiting import until
from watchdogd.adapters.forward import ListeningForward
from watchdogd.ports import SshEngine
from watchdogd.settings import Address, SshSettings

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("no_agent")]

SIZE = 12_000_000
REKEY_BYTES = 2_000_000
"""Instead of half a GB: some changes of keys each way."""
Make = Callable[[SshSettings], SshEngine]


@pytest.fixture
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    maker = MAKERS[request.param]
    return lambda settings: maker(settings, tmp_path)


@pytest.fixture
def far() -> Iterator[TcpServer]:
    with TcpServer(echo) as made:
        yield made


def there_and_back(engine: SshEngine, far: TcpServer) -> bool:
    """Did all come back as it was sent, and was it counted?"""
    link = engine.dial(soon(30), News())
    forward = ListeningForward(Address("127.0.0.1", 0), far.address, 10.0, CLOCK)
    forward.bind()
    forward.use(link)
    data = os.urandom(SIZE)
    try:
        with socket.create_connection((forward.address.host, forward.address.port), 60) as client:
            sender = threading.Thread(target=client.sendall, args=(data,), name="test-send")
            sender.start()
            came = hashlib.sha256()
            left = SIZE
            while left and (part := client.recv(min(left, 1 << 16))):
                came.update(part)
                left -= len(part)
            sender.join(60)
        counted = {"sent": SIZE, "received": SIZE}
        until(lambda: _counts(forward) == counted, f"{counted}, not {_counts(forward)}")
    finally:
        forward.close(soon())
        link.close(soon())
    return came.digest() == hashlib.sha256(data).digest()


def _counts(forward: ListeningForward) -> dict[str, int]:
    facts = forward.facts()
    return {"sent": facts.sent_bytes, "received": facts.received_bytes}


@pytest.mark.parametrize(
    ("allowed", "agreed"),
    [
        ("aes128-ctr,aes256-gcm@openssh.com,aes128-gcm@openssh.com", "aes128-gcm@openssh.com"),
        ("aes256-gcm@openssh.com", "aes256-gcm@openssh.com"),
        ("aes256-ctr", "aes256-ctr"),
    ],
)
def test_the_fastest_cipher_of_those_that_the_server_allows(
    make: Make, far: TcpServer, allowed: str, agreed: str
) -> None:
    with Sshd({"Ciphers": allowed, "LogLevel": "DEBUG1"}) as server:
        assert there_and_back(make(server.settings()), far)
        for way in ("client->server", "server->client"):
            assert f"kex: {way} cipher: {agreed} " in server.log_text()


def test_keys_change_in_the_middle_of_it(
    far: TcpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Packetizer, "REKEY_BYTES", REKEY_BYTES)
    with Sshd({"LogLevel": "DEBUG1"}) as server:
        assert there_and_back(MAKERS["sshtunnel"](server.settings(), tmp_path), far)
        assert server.log_text().count("rekey ") > 2
