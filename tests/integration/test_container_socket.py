"""``ContainerSocket`` with other programs in the place of ``docker``: no engine is needed."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.local_link import LocalLink, until
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.container_socket import ANSWER_LIMIT, CHANNELS, ContainerSocket, dial_argv
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Deadline, Link


class Server:
    """A server whose ``docker`` is a script, and the socket that leads there."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.clock = SystemClock()
        self.link = LocalLink({"PATH": f"{self.bin}:{os.environ['PATH']}"})
        self.up = True
        self.socket = ContainerSocket(
            str(folder / "s"), self.current, self.clock, opening=0.5, life=30.0
        )

    def docker(self, script: str) -> None:
        """What ``docker system dial-stdio`` does from now on."""
        program = self.bin / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def current(self) -> Link:
        """The link."""
        if not self.up:
            raise Transient(Cause.LINK_LOST, "there is no link")
        return self.link

    def connect(self) -> socket.socket:
        """A client."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(self.socket.path)
        return client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One server; it and the socket are gone afterwards."""
    it = Server(tmp_path)
    try:
        yield it
    finally:
        it.socket.close()
        it.link.close(Deadline.after(it.clock, 5))


def everything(client: socket.socket) -> bytes:
    """All that comes until the end."""
    got = b""
    while data := client.recv(65536):
        got += data
    return got


def test_bytes_pass_both_ways_and_the_mark_is_dropped(server: Server) -> None:
    server.docker("cat")
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
    until(lambda: server.socket.open_channels() == 0)


def test_what_the_login_shell_prints_is_dropped(server: Server) -> None:
    server.docker("echo answer")
    server.link._shell = lambda argv: ["sh", "-c", f"echo noise; echo; {argv[2]}"]  # type: ignore[method-assign]
    with server.connect() as client:
        assert everything(client) == b"answer\n"


def test_the_far_side_ends_and_so_does_the_connection(server: Server) -> None:
    server.docker("echo whole; exec 1>&-; sleep 0.1")
    with server.connect() as client:
        assert everything(client) == b"whole\n"
    until(lambda: server.socket.open_channels() == 0)


def test_the_client_leaves_and_the_far_side_is_ended(server: Server) -> None:
    server.docker("echo ready; exec cat")
    with server.connect() as client:
        assert client.recv(100) == b"ready\n"
    until(lambda: server.link.streams[0].closed())


def test_the_fifth_client_waits_for_a_free_channel(server: Server) -> None:
    server.docker("echo ready; exec cat")
    clients = [server.connect() for _ in range(CHANNELS)]
    for client in clients:
        assert client.recv(100) == b"ready\n"
    with server.connect() as fifth:
        fifth.settimeout(0.3)
        with pytest.raises(TimeoutError):
            fifth.recv(100)
        assert server.socket.open_channels() == CHANNELS
        clients.pop().close()
        fifth.settimeout(5)
        assert fifth.recv(100) == b"ready\n"
    for client in clients:
        client.close()


def test_without_a_link_the_connection_ends_at_once(server: Server) -> None:
    server.up = False
    with server.connect() as client:
        assert everything(client) == b""


def test_a_link_that_is_lost_ends_what_rides_on_it(server: Server) -> None:
    server.docker("echo ready; exec cat")
    with server.connect() as client:
        assert client.recv(100) == b"ready\n"
        server.link.cut()
        assert everything(client) == b""


def test_no_program_ends_the_connection(server: Server) -> None:
    server.docker("exit 127")
    with server.connect() as client:
        assert everything(client) == b""


def test_a_shell_that_never_gets_there_is_given_up(server: Server) -> None:
    server.link._shell = lambda argv: ["sh", "-c", "exec sleep 30"]  # type: ignore[method-assign]
    began = time.monotonic()
    with server.connect() as client:
        assert everything(client) == b""
    assert 0.3 < time.monotonic() - began < 3
    until(lambda: server.link.streams[0].closed())


def test_a_shell_that_never_stops_talking_is_given_up(server: Server) -> None:
    server.link._shell = lambda argv: ["sh", "-c", "exec cat /dev/zero"]  # type: ignore[method-assign]
    with server.connect() as client:
        assert everything(client) == b""


def test_an_answer_without_an_end_is_cut(server: Server) -> None:
    server.docker("exec cat /dev/zero")
    with server.connect() as client:
        assert len(everything(client)) == ANSWER_LIMIT


def test_nobody_else_may_open_it(server: Server) -> None:
    path = Path(server.socket.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_close_ends_clients_threads_and_the_file(server: Server) -> None:
    server.docker("echo ready; exec cat")
    with server.connect() as client:
        assert client.recv(100) == b"ready\n"
        server.socket.close()
        server.socket.close()
        assert everything(client) == b""
    assert not Path(server.socket.path).exists()
    assert not [t for t in threading.enumerate() if t.name.startswith("container-")]


def test_a_folder_too_deep_for_a_socket_is_replaced(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    link = LocalLink({})
    sock = ContainerSocket(str(deep), lambda: link, SystemClock())
    try:
        assert len(sock.path) <= 100
        folder = Path(sock.path).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        sock.close()
    assert not folder.exists()
    assert not deep.exists()


def test_the_mark_is_the_only_thing_that_varies() -> None:
    assert dial_argv("abc") == ("sh", "-c", "echo abc; exec docker system dial-stdio")


def test_sockets_that_a_killed_agent_left_are_removed_and_no_others(
    server: Server, tmp_path: Path
) -> None:
    left = tmp_path / "s" / "01234567.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
        dead.listen()
    other = ContainerSocket(str(tmp_path / "s"), server.current, server.clock)
    try:
        assert not left.exists()
        assert Path(server.socket.path).exists()
    finally:
        other.close()
