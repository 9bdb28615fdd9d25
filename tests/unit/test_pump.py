"""The copy between a client and its stream, on socket pairs."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fakes_ssh import SocketStream
from tests.lab.sockets import connected
from watchdogd.adapters.pump import Meter, peek, pump, reset_on_close


class FillingStream(SocketStream):
    """As engine ``openssh``'s: it fills the pump's own memory."""

    def recv_into(self, buffer: memoryview) -> int:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def sendall(self, data: bytes | memoryview) -> None:
        super().sendall(bytes(data))


class DyingStream(SocketStream):
    """Its link is gone: what ends, ended uncleanly."""

    def ended_cleanly(self) -> bool:
        return False


class EagerStream(SocketStream):
    """Eight bytes went with the wish for it."""

    passed = 8


@dataclass
class Wire:
    """client <-> pump <-> far."""

    client: socket.socket
    far: socket.socket
    meter: Meter
    thread: threading.Thread


def wired(stream_type: type[SocketStream]) -> Wire:
    client, accepted = connected()
    return wire_up(stream_type, client, accepted)


def wire_up(
    stream_type: type[SocketStream], client: socket.socket, accepted: socket.socket
) -> Wire:
    ours, far = connected()
    accepted.settimeout(None)
    ours.settimeout(None)
    meter = Meter()
    thread = threading.Thread(
        target=pump, args=(accepted, stream_type(ours), meter), name="test-pump"
    )
    thread.start()
    return Wire(client, far, meter, thread)


def unwire(wire: Wire) -> None:
    wire.client.close()
    wire.far.close()
    wire.thread.join(10)
    assert not wire.thread.is_alive()


@pytest.fixture(params=[SocketStream, FillingStream])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    made = wired(request.param)
    yield made
    unwire(made)


@pytest.fixture
def dying() -> Iterator[Wire]:
    made = wired(DyingStream)
    yield made
    unwire(made)


def read_all(end: socket.socket) -> bytes:
    data = bytearray()
    while part := end.recv(65536):
        data += part
    return bytes(data)


def test_a_half_closed_client_still_gets_its_answer(wire: Wire) -> None:
    wire.client.sendall(b"question")
    wire.client.shutdown(socket.SHUT_WR)
    assert read_all(wire.far) == b"question"
    wire.far.sendall(b"answer")
    wire.far.close()
    assert read_all(wire.client) == b"answer"


def test_a_far_end_passes_on_and_the_client_may_go_on(wire: Wire) -> None:
    wire.far.sendall(b"done talking")
    wire.far.shutdown(socket.SHUT_WR)
    assert read_all(wire.client) == b"done talking"
    wire.client.sendall(b"but I am not")
    wire.client.shutdown(socket.SHUT_WR)
    assert read_all(wire.far) == b"but I am not"


def test_what_passed_with_the_wish_is_counted_and_not_sent_again() -> None:
    client, accepted = connected()
    client.sendall(b"question, and more")
    select.select([accepted], [], [], 20)
    wire = wire_up(EagerStream, client, accepted)
    try:
        client.shutdown(socket.SHUT_WR)
        assert read_all(wire.far) == b", and more"
        wire.far.close()
        assert read_all(client) == b""
        wire.thread.join(10)
        assert wire.meter.totals() == (18, 0)
    finally:
        unwire(wire)


def test_full_duplex_does_not_deadlock(wire: Wire) -> None:
    size = 25_000_000
    data = os.urandom(size)
    received: dict[str, bytes] = {}

    def send(end: socket.socket) -> None:
        end.sendall(data)
        end.shutdown(socket.SHUT_WR)

    def receive(name: str, end: socket.socket) -> None:
        received[name] = read_all(end)

    threads = [
        threading.Thread(target=send, args=(wire.client,), name="test-send"),
        threading.Thread(target=send, args=(wire.far,), name="test-send"),
        threading.Thread(target=receive, args=("client", wire.client), name="test-receive"),
        threading.Thread(target=receive, args=("far", wire.far), name="test-receive"),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert received["client"] == data
    assert received["far"] == data
    wire.thread.join(5)
    assert wire.meter.totals() == (size, size)


def test_a_cut_answer_is_a_reset_not_an_end(dying: Wire) -> None:
    dying.far.sendall(b"half of the ans")
    assert dying.client.recv(100) == b"half of the ans"
    dying.far.close()
    with pytest.raises(ConnectionResetError):
        read_all(dying.client)


def test_a_client_that_vanishes_ends_the_stream(wire: Wire) -> None:
    wire.client.close()
    assert read_all(wire.far) == b""
    wire.far.close()
    wire.thread.join(5)
    assert not wire.thread.is_alive()


@pytest.mark.parametrize("stream_type", [SocketStream, FillingStream])
def test_a_client_that_reset_before_its_first_bytes_is_no_half_closed_one(
    stream_type: type[SocketStream],
) -> None:
    client, accepted = connected()
    reset_on_close(client)
    client.close()
    assert select.select([accepted], [], [], 20)[0]  # it has arrived, and is not taken
    wire = wire_up(stream_type, client, accepted)
    wire.thread.join(10)
    ended = not wire.thread.is_alive()  # though the server has more to say
    unwire(wire)
    assert ended


def test_a_look_at_a_client_that_reset_does_not_take_that_for_nothing() -> None:
    """It is told once: whoever looks next sees an orderly end."""
    client, accepted = connected()
    accepted.settimeout(None)
    assert peek(accepted) == b""
    client.send(b"abc")
    assert (select.select([accepted], [], [], 10)[0], peek(accepted)) == ([accepted], b"abc")
    accepted.recv(3)
    reset_on_close(client)
    client.close()
    select.select([accepted], [], [], 10)
    with pytest.raises(OSError, match="reset"):
        peek(accepted)
    accepted.close()
