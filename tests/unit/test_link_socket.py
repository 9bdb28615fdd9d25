"""A connection that is ended under those who use it."""

from __future__ import annotations

import errno
import socket
import threading
from contextlib import suppress

import pytest

from tests.lab.sockets import connected
from watchdogd.adapters.link_socket import LinkSocket


class Held(socket.socket):
    """Whoever uses it stays just before the system call until ``go_on``."""

    def __init__(self, near: socket.socket) -> None:
        super().__init__(near.family, near.type, near.proto, near.detach())
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.number_then = -1

    def recv_into(self, *args: object) -> int:
        self.entered.set()
        assert self.go_on.wait(20)
        self.number_then = self.fileno()
        return super().recv_into(*args)  # type: ignore[arg-type]


def test_the_number_is_not_given_back_under_a_reader() -> None:
    near, far = connected()
    held = Held(near)
    shared, came = LinkSocket(held), list[int]()
    reader = threading.Thread(
        target=lambda: came.append(shared.recv_into(memoryview(bytearray(9)))), name="test-read"
    )
    reader.start()
    assert held.entered.wait(20)
    shared.close()
    number = held.fileno()
    assert far.recv(1) == b"", "the other end hears it at once"
    held.go_on.set()
    reader.join(20)
    assert number == held.number_then != -1, "another connection may have that number by now"
    assert came == [0]
    assert held.fileno() == -1, "the last one out gives it back"
    far.close()


def test_who_waits_is_woken_by_the_close() -> None:
    near, far = connected()
    shared, reads = LinkSocket(near), threading.Event()

    def read() -> None:
        with suppress(OSError):  # if the close came between two reads
            while shared.recv_into(memoryview(bytearray(1))):
                reads.set()

    reader = threading.Thread(target=read, name="test-read")
    reader.start()
    far.sendall(b"x")
    assert reads.wait(20)
    shared.close()
    reader.join(10)
    assert not reader.is_alive()
    far.close()


def test_nobody_begins_anything_after_the_close() -> None:
    near, far = connected()
    shared = LinkSocket(near)
    assert shared.send(b"abc") == 3
    shared.close()
    shared.close()
    assert near.fileno() == -1
    with pytest.raises(OSError, match="descriptor") as raised:
        shared.send(b"x")
    assert raised.value.errno == errno.EBADF
    with pytest.raises(OSError, match="descriptor"):
        shared.recv_into(memoryview(bytearray(9)))
    far.close()


def test_one_that_is_dead_already_can_be_closed() -> None:
    near, far = connected()
    far.close()
    near.shutdown(socket.SHUT_RDWR)
    LinkSocket(near).close()
    assert near.fileno() == -1
