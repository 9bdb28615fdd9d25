"""Who listens on a port."""

from __future__ import annotations

import os
import socket

from watchdogd.adapters.port_holder import UNKNOWN, holder_of, listening_inodes

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
