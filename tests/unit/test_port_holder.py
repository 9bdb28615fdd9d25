"""Who listens on a port."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from watchdogd.adapters.port_holder import (
    UNKNOWN,
    conflict,
    holder_of,
    is_held_by,
    listening_inodes,
    refused_bind,
)
from watchdogd.settings import Address

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:2328 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1
   2: 00000000:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1
"""


TABLE_6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:2328 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1
   1: 00000000000000000000000000000000:2329 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1
   2: 0000000000000000FFFF00000100007F:2328 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 666 1
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the kernel's table is of its own byte order")
@pytest.mark.parametrize(
    ("local", "there", "there_6"),
    [
        (Address("127.0.0.1", 9000), {"111"}, {"666"}),
        (Address("127.0.0.2", 9000), set(), set()),
        (Address("127.0.0.2", 9001), {"333"}, {"555"}),
        (Address("::1", 9000), set(), {"444"}),
        (Address("::1", 9001), set(), {"555"}),
    ],
)
def test_only_who_listens_there_is_in_the_way(
    local: Address, there: set[str], there_6: set[str]
) -> None:
    assert listening_inodes(TABLE, local) == there
    assert listening_inodes(TABLE_6, local) == there_6


def test_a_holder_is_named_with_its_pid() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        assert f"(pid {os.getpid()})" in holder_of(Address(*held.getsockname()))


def test_nobody_is_another_process(free_port: int) -> None:
    assert holder_of(Address("127.0.0.1", free_port)) == UNKNOWN


def test_a_port_that_is_taken_is_told_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        local = Address("127.0.0.1", held.getsockname()[1])
        assert f"(pid {os.getpid()})" in conflict(local, refused_bind(local))
        assert is_held_by(local, os.getpid())
        assert not is_held_by(local, 1)


def test_a_free_port_is_left_free(free_port: int) -> None:
    local = Address("127.0.0.1", free_port)
    assert refused_bind(local) is None
    assert refused_bind(local) is None


def test_an_address_that_this_machine_lacks_is_held_by_nobody() -> None:
    local = Address("192.0.2.1", 9000)
    assert conflict(local, refused_bind(local)).startswith("the system (")
