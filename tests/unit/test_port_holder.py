"""Who listens on a port."""

from __future__ import annotations

import os
import socket

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


def test_only_listening_sockets_of_the_port_count() -> None:
    assert listening_inodes(TABLE, 9000) == {"111"}


def test_a_holder_is_named_with_its_pid() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        assert f"(pid {os.getpid()})" in holder_of(held.getsockname()[1])


def test_nobody_is_another_process(free_port: int) -> None:
    assert holder_of(free_port) == UNKNOWN


def test_a_port_that_is_taken_is_told_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        local = Address("127.0.0.1", held.getsockname()[1])
        assert f"(pid {os.getpid()})" in conflict(local, refused_bind(local))
        assert is_held_by(local.port, os.getpid())
        assert not is_held_by(local.port, 1)


def test_a_free_port_is_left_free(free_port: int) -> None:
    local = Address("127.0.0.1", free_port)
    assert refused_bind(local) is None
    assert refused_bind(local) is None


def test_an_address_that_this_machine_lacks_is_held_by_nobody() -> None:
    local = Address("192.0.2.1", 9000)
    assert conflict(local, refused_bind(local)).startswith("the system (")
