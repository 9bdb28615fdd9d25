"""What is read ahead, and what counts as a question."""

from __future__ import annotations

import os
import threading

import paramiko
import pytest
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_WINDOW_ADJUST,
)

from tests.fakes_clock import FakeClock
from tests.lab.sockets import connected
from watchdogd.adapters.link_socket import LinkSocket
from watchdogd.adapters.ssh_packets import ReadAhead, StampedPacketizer
from watchdogd.adapters.ssh_transport import LinkTransport


def test_bytes_come_in_order_however_they_are_asked_for() -> None:
    near, far = connected()
    data = os.urandom(1_000_000)

    def send() -> None:
        with far:
            far.sendall(data)

    sender = threading.Thread(target=send, name="test-send")
    sender.start()
    reading, came, sizes = ReadAhead(LinkSocket(near)), bytearray(), (1, 16, 35_000, 200_000)
    while part := reading.recv(sizes[len(came) % len(sizes)]):
        came += part
    sender.join(20)
    near.close()
    assert bytes(came) == data


def test_nothing_to_read_is_a_timeout_and_loses_nothing() -> None:
    near, far = connected(0.05)
    reading = ReadAhead(LinkSocket(near))
    far.sendall(b"abc")
    assert reading.recv(2) == b"ab"
    assert reading.recv(2) == b"c"
    with pytest.raises(TimeoutError):
        reading.recv(1)
    far.sendall(b"d")
    assert reading.recv(9) == b"d"
    reading.close()
    far.close()


@pytest.mark.parametrize(
    ("kind", "asks"),
    [
        (MSG_CHANNEL_OPEN, True),
        (MSG_CHANNEL_DATA, True),
        (MSG_CHANNEL_WINDOW_ADJUST, False),
        (MSG_CHANNEL_EOF, False),
        (MSG_CHANNEL_CLOSE, False),
    ],
)
def test_what_waits_for_an_answer(kind: int, asks: bool) -> None:
    near, far = connected()
    packetizer = StampedPacketizer(LinkSocket(near), FakeClock())
    message = paramiko.Message()
    message.add_byte(bytes([kind]))
    packetizer.send_message(message)
    assert (packetizer.pulse.unanswered is not None) is asks
    near.close()
    far.close()


def test_whatever_ends_the_connection_s_thread_is_one_of_those_that_are_waited_for() -> None:
    near, far = connected()
    transport = LinkTransport(near)
    for error in (ValueError("odd"), EOFError(), OSError("gone"), paramiko.SSHException("x"), None):
        transport.saved_exception = error
        found = transport.get_exception()
        assert found is error or isinstance(found, paramiko.SSHException)
    near.close()
    far.close()
