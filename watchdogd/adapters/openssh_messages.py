"""The messages of OpenSSH's control socket (PROTOCOL.mux, version 4 since 2010), as far as they are spoken here."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from watchdogd.ports import Deadline

_HELLO = 0x00000001
_VERSION = 4
_NEW_SESSION = 0x10000002
_NEW_FORWARD = 0x10000008
_OPENED = 0x80000006
_EXITED = 0x80000004
_REFUSALS = (0x80000002, 0x80000003)
_NO_ESCAPE = 0xFFFFFFFF
_LARGEST = 65_536


def forward_wish(host: str, port: int) -> bytes:
    """Asks for a channel to that port, as seen from the server. Two descriptors follow."""
    return _text(_numbers(_NEW_FORWARD, 1) + _text(b"") + _text(host.encode()) + _numbers(port))


def session_wish(command: str) -> bytes:
    """Asks for a session that runs this command line. Three descriptors follow."""
    flags = _numbers(0, 0, 0, 0, _NO_ESCAPE)  # no terminal, X11, agent, subsystem
    return _text(
        _numbers(_NEW_SESSION, 1) + _text(b"") + flags + _text(b"") + _text(command.encode())
    )


def send(control: socket.socket, message: bytes, passed: Sequence[socket.socket]) -> None:
    """The message, and each socket behind it."""
    control.sendall(message)
    for one in passed:
        rights = struct.pack("i", one.fileno())
        control.sendmsg((b"\0",), ((socket.SOL_SOCKET, socket.SCM_RIGHTS, rights),))


def receive(control: socket.socket, deadline: Deadline) -> bytes:
    """The next message. Raises ``EOFError`` at the end, ``TimeoutError``."""
    (size,) = struct.unpack(">I", _exactly(control, 4, deadline))
    if size > _LARGEST:
        raise OSError("ssh sent what is no message")
    return _exactly(control, size, deadline)


def exit_status(message: bytes) -> int | None:
    """The command's, if this message tells it."""
    if len(message) == 12 and message[:4] == _numbers(_EXITED):
        return int.from_bytes(message[8:12], "big")
    return None


def check_greeting(message: bytes) -> None:
    """Raises ``OSError`` unless that ssh speaks as we do."""
    if message[:8] != _numbers(_HELLO, _VERSION):
        raise OSError("this ssh speaks another version of the control protocol")


def is_opened(message: bytes) -> bool:
    """The answer to a wish; False if the server refused. Raises ``OSError`` if it is none."""
    (kind,) = struct.unpack(">I", message[:4])
    if kind != _OPENED and kind not in _REFUSALS:
        raise OSError(f"ssh answered with a message {kind:#x}")
    return bool(kind == _OPENED)


def _exactly(control: socket.socket, size: int, deadline: Deadline) -> bytes:
    found = b""
    while len(found) < size:
        control.settimeout(max(0.001, deadline.remaining()))
        data = control.recv(size - len(found))
        if not data:
            raise EOFError("ssh ended")
        found += data
    return found


def _numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _text(value: bytes) -> bytes:
    return _numbers(len(value)) + value


GREETING = _text(_numbers(_HELLO, _VERSION))
"""Sent first by both sides."""
