"""What the kernel says of a way, where it does not say it whole."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from watchdogd.adapters import netlink
from watchdogd.adapters.clock import SystemClock
from watchdogd.ports import Deadline


@pytest.mark.parametrize("length", [0, 7, 16, 27])
def test_a_message_that_is_too_short_is_an_error_of_the_system(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(netlink, "_opened", lambda: ours)
    with kernels:
        kernels.send(bytes(length))
        with pytest.raises(OSError, match="message") as failed:
            netlink.way("192.0.2.1", Deadline.after(SystemClock(), 5))
    assert failed.value.errno == errno.EBADMSG


ROUTE = struct.pack("=8BI", socket.AF_INET, 32, 0, 0, 0, 0, 0, 1, 0)
"""To one address, unicast."""
SHORT_INTERFACE = struct.pack("=HHh", 6, 4, 1)
"""Two bytes, where there are four."""


@pytest.mark.parametrize("told", [b"", ROUTE + SHORT_INTERFACE])
def test_so_is_one_that_lies_about_its_length(monkeypatch: pytest.MonkeyPatch, told: bytes) -> None:
    monkeypatch.setattr(netlink, "_answer", lambda *_: told)
    with pytest.raises(OSError, match="message"):
        netlink.way("192.0.2.1", Deadline.after(SystemClock(), 5))
