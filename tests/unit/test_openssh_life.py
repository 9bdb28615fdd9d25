"""What keeps asking over ``ssh``, on lines slower than its first patience."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters import openssh_life
from watchdogd.adapters.openssh_life import Life
from watchdogd.adapters.openssh_mux import Opened
from watchdogd.ports import Deadline


class Far:
    """A server whose ``cat`` gives back its first line only after so many knocks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lines: list[bytes] = []
        self.knocks = 3
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._knocked = threading.Condition()
        self._sockets: list[socket.socket] = []

    def session(self, command: str, deadline: Deadline) -> Opened:
        """As ``Mux.session``."""
        pairs = [socket.socketpair() for _ in range(4)]
        self._sockets += [end for pair in pairs for end in pair]
        control, up, down, err = pairs
        with self._knocked:
            self.asked.append(command)
            self._knocked.notify_all()
        if command == "exec cat":
            self._threads.append(threading.Thread(target=self._cat, args=(up[1], down[1])))
            self._threads[-1].start()
        return Opened(control[0], (up[0], down[0], err[0]))

    def close(self) -> None:
        """Ends everything."""
        with self._knocked:
            self._closed = True
            self._knocked.notify_all()
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()

    def _cat(self, up: socket.socket, down: socket.socket) -> None:
        while data := up.recv(4096):
            self.lines.append(data)
            with self._knocked:
                self._knocked.wait_for(self._lets_go)
            if self._closed:
                return
            down.sendall(data[:5])
            down.sendall(data[5:])

    def _lets_go(self) -> bool:
        return self._closed or self.asked.count(":") >= self.knocks


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    monkeypatch.setattr(openssh_life, "_FIRST_SECONDS", 0.02)
    made = Far()
    yield made
    made.close()


def life(far: Far, spoke: list[bool]) -> Life:
    child = SimpleNamespace(ended=threading.Event(), when_ended=lambda told: None)
    return Life(
        cast(Any, child),
        cast(Any, far),
        FakeClock(),
        why=lambda: "",
        spoke=lambda: spoke.append(True),
    )


def test_a_line_slower_than_the_first_wait_keeps_its_echo(far: Far) -> None:
    spoke: list[bool] = []
    asked = life(far, spoke)
    assert asked.ask()
    begun = ["exec cat", ":", ":", ":"]
    assert far.asked[:4] == begun
    assert len(far.lines) == 1
    assert len(spoke) >= len(begun)
    before = len(far.asked)
    assert asked.ask()
    assert asked.ask()
    assert len(far.asked) == before
    assert len(far.lines) == 3


def test_a_command_that_gives_nothing_back_is_given_up(far: Far) -> None:
    far.knocks = 1000
    asked = life(far, [])
    assert asked.ask()
    assert asked.ask()
    assert far.asked.count("exec cat") == 1
    assert far.asked[-1] == ":"
    assert len(far.lines) == 1
