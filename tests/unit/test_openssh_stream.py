"""What a channel of ``ssh`` tells of the bytes that come over it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters.openssh_mux import Opened
from watchdogd.adapters.openssh_stream import MuxStream


class Moments(FakeClock):
    """Each look at the clock is one of these moments."""

    def __init__(self, moments: Sequence[float]) -> None:
        super().__init__()
        self._moments = list(moments)

    def run(self) -> float:
        return self._moments.pop(0)


def told_of_one_chunk(moments: Sequence[float], *, wide: bool) -> int:
    """How often its bytes are told to be fresh: ``moments`` of the opening, of the wish for bytes, and of when
    they came."""
    (up, far_up), (down, far_down), (control, far_control) = (socket.socketpair() for _ in range(3))
    told: list[None] = []
    stream = MuxStream(
        Opened(control, (up, down)),
        clock=Moments([*moments, moments[-1]]),
        fresh=lambda: told.append(None),
        answers=lambda deadline: True,
        done=lambda: None,
    )
    far_down.send(b"x")
    assert (stream.recv_into(memoryview(bytearray(4))) if wide else len(stream.recv(4))) == 1
    stream.close()
    for one in (far_up, far_down, far_control):
        one.close()
    return len(told)


@pytest.mark.parametrize("wide", [True, False])
def test_bytes_that_were_waited_for_are_told_though_the_wait_began_right_after_a_telling(
    wide: bool,
) -> None:
    assert told_of_one_chunk([0.0, 0.01, 0.7], wide=wide) == 1


@pytest.mark.parametrize("wide", [True, False])
def test_one_telling_is_enough_for_a_moment(wide: bool) -> None:
    assert told_of_one_chunk([0.0, 0.01, 0.02], wide=wide) == 0
