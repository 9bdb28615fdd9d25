"""A pair of connected TCP sockets for tests without servers."""

from __future__ import annotations

import socket


def connected(seconds: float = 20.0) -> tuple[socket.socket, socket.socket]:
    """Client and accepted end of one loopback connection; real TCP, because a reset is TCP's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    for end in (client, accepted):
        end.settimeout(seconds)
    return client, accepted
