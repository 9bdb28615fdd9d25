"""Channels asked for on a control socket, of a stand-in for ssh that answers as it is told."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.waiting import until
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.openssh_messages import receive
from watchdogd.adapters.openssh_mux import Mux, Opened
from watchdogd.ports import Deadline

CLOCK = SystemClock()
SOON = 20.0
HELLO = struct.pack(">III", 8, 1, 4)
OPENED = struct.pack(">IIII", 12, 0x80000006, 1, 7)
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def soon(seconds: float = SOON) -> Deadline:
    return Deadline.after(CLOCK, seconds)


class Asked:
    """One connection, as ssh sees it."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.wished = threading.Event()
        self.left = threading.Event()
        """It went away before it wished anything."""
        self.up = self.down = socket.socket()

    def read_wish(self) -> None:
        assert receive(self.control, soon())[:4] == struct.pack(">I", 0x10000008)
        self.up.close()
        self.down.close()
        self.up, self.down = (self._received() for _ in range(2))

    def _received(self) -> socket.socket:
        _, (number,), _, _ = socket.recv_fds(self.control, 1, 1)
        return socket.socket(fileno=number)

    def on_the_way(self) -> bytes:
        """What lies there to be read."""
        with suppress(BlockingIOError):
            return self.up.recv(4096, socket.MSG_DONTWAIT)
        return b""

    def close(self) -> None:
        for one in (self.control, self.up, self.down):
            one.close()


class StandIn:
    """Greets all who come; does with the wishes as it is told."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.came: list[Asked] = []
        self.act: Callable[[Asked], None] = lambda asked: asked.control.sendall(OPENED)
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                control, _ = self._listener.accept()
                self.came.append(Asked(control))
                self._threads.append(threading.Thread(target=self._talk, args=(self.came[-1],)))
                self._threads[-1].start()

    def _talk(self, asked: Asked) -> None:
        try:
            receive(asked.control, soon())
            asked.control.sendall(HELLO)
            asked.read_wish()
        except (OSError, EOFError):
            asked.left.set()
            return
        asked.wished.set()
        self.act(asked)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for asked in self.came:
            with suppress(OSError):
                asked.control.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SOON)
        for asked in self.came:
            asked.close()


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path / "ctl")
    yield made
    made.close()


@pytest.fixture
def mux(tmp_path: Path, ssh: StandIn) -> Iterator[Mux]:
    made = Mux(str(tmp_path / "ctl"), CLOCK, name="test")
    yield made
    made.close()


def forward(mux: Mux, seconds: float = SOON) -> Opened:
    return mux.forward("127.0.0.1", 9, soon(seconds), REQUEST)


def test_the_first_bytes_are_there_when_the_channel_opens(ssh: StandIn, mux: Mux) -> None:
    found = []

    def act(asked: Asked) -> None:
        found.append(asked.on_the_way())
        asked.control.sendall(OPENED)

    ssh.act = act
    forward(mux).close()
    assert found == [REQUEST]


def test_an_ssh_that_ends_before_it_opened_has_none_of_them(ssh: StandIn, mux: Mux) -> None:
    ssh.act = lambda asked: asked.control.shutdown(socket.SHUT_RDWR)
    with pytest.raises(EOFError):
        forward(mux)
    assert [asked.on_the_way() for asked in ssh.came] == [b""]


def test_a_channel_that_opens_too_late_gets_none_of_them(ssh: StandIn, mux: Mux) -> None:
    wished, late = threading.Event(), threading.Event()

    def act(asked: Asked) -> None:
        wished.set()
        late.wait(SOON)
        asked.control.sendall(OPENED)

    ssh.act = act
    with pytest.raises(TimeoutError):
        forward(mux, 0.05)
    assert wished.wait(SOON)
    assert ssh.came[0].on_the_way() == b""
    late.set()
    with suppress(ConnectionResetError):  # the late answer was waited for, then it was let go
        assert ssh.came[0].control.recv(1) == b""


def test_who_has_read_of_them_is_not_asked_again(ssh: StandIn, mux: Mux) -> None:
    def act(asked: Asked) -> None:
        asked.up.recv(4)
        asked.control.shutdown(socket.SHUT_RDWR)

    ssh.act = act
    ended = forward(mux)
    assert ended.ours[0].fileno() < 0
    assert [asked.wished.is_set() for asked in ssh.came].count(True) == 1
    assert ssh.came[0].on_the_way() == b""


def test_the_next_client_finds_a_connection_ready(ssh: StandIn, mux: Mux) -> None:
    opened: list[Asked] = []

    def act(asked: Asked) -> None:
        opened.append(asked)
        asked.control.sendall(OPENED)

    ssh.act = act
    mux.restock()
    mux.restock()
    until(lambda: ssh.came, "the connection that is kept")
    for _ in range(2):  # the second finds none, and leaves one
        forward(mux).close()
    forward(mux).close()
    assert opened == ssh.came[:3]


def test_one_that_ssh_let_go_costs_nobody_his_channel(ssh: StandIn, mux: Mux) -> None:
    mux.restock()
    until(lambda: ssh.came, "the connection that is kept")
    ssh.came[0].control.shutdown(socket.SHUT_RDWR)
    forward(mux).close()
    assert ssh.came[1].wished.is_set()


def test_what_proved_that_ssh_lives_is_kept_until_the_close(ssh: StandIn, mux: Mux) -> None:
    assert mux.answers(soon())
    assert mux.answers(soon())
    forward(mux).close()
    assert len(ssh.came) == 2
    mux.restock()
    until(lambda: len(ssh.came) == 3, "the connection that is kept")
    mux.close()
    mux.restock()
    assert mux.answers(soon())
    assert ssh.came[2].left.wait(SOON)
    assert len(ssh.came) == 4
