"""The control socket of an ``ssh``, spoken to directly: a channel for the price of a local connection.

The protocol is OpenSSH's own (PROTOCOL.mux, version 4 since 2010): the same that ``ssh -S`` speaks, without
a child process for each client and command. And it tells what a child does not: whether the server
opened the channel.
"""

from __future__ import annotations

import array
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from watchdogd.ports import Clock, Deadline

_HELLO = 0x00000001
_VERSION = 4
_NEW_SESSION = 0x10000002
_NEW_FORWARD = 0x10000008
_OPENED = 0x80000006
_EXITED = 0x80000004
_REFUSALS = (0x80000002, 0x80000003)
_NO_ESCAPE = 0xFFFFFFFF
_LARGEST = 65_536
_REST_SECONDS = 0.01


class Refused(Exception):
    """The server did not open the channel. Its reason stands on ssh's stderr."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A channel: what is sent to it, what comes from it, and the connection that holds it open."""

    control: socket.socket
    ours: tuple[socket.socket, ...]
    """Standard input, output and error of the far side; the last only for a command."""

    def close(self) -> None:
        """Wakes whoever waits in one of them. May be called twice, and from any thread."""
        sockets = (self.control, *self.ours)
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for one in sockets:
            one.close()


class Mux:
    """Of one ``ssh``. All methods may be called from any thread, and end by their deadline.

    They raise ``TimeoutError``, ``EOFError`` or ``OSError`` if that ssh does not answer.
    """

    def __init__(self, path: str, clock: Clock, *, name: str) -> None:
        """``name``: of the threads that see a late answer off."""
        self._path = path
        self._clock = clock
        self._name = name

    def answers(self, deadline: Deadline) -> bool:
        """True if that ssh still serves its channels: so it closed none because it ended."""
        try:
            with self._reach(deadline) as control:
                _send(control, _GREETING, ())
                _greeted(receive(control, deadline))
        except (OSError, EOFError):
            return False
        return True

    def forward(self, host: str, port: int, deadline: Deadline) -> Opened:
        """A channel to a port, as seen from the server. Raises ``Refused``."""
        wish = _numbers(_NEW_FORWARD, 1) + _text(b"") + _text(host.encode()) + _numbers(port)
        return self._open(wish, 2, deadline)

    def session(self, command: str, deadline: Deadline) -> Opened:
        """A command line, given to the login shell. Raises ``Refused``."""
        flags = _numbers(0, 0, 0, 0, _NO_ESCAPE)  # no terminal, X11, agent, subsystem
        wish = _numbers(_NEW_SESSION, 1) + _text(b"") + flags + _text(b"") + _text(command.encode())
        return self._open(wish, 3, deadline)

    def _open(self, wish: bytes, streams: int, deadline: Deadline) -> Opened:
        with ExitStack() as undo:
            control = self._reach(deadline)
            undo.callback(control.close)
            pairs = [socket.socketpair() for _ in range(streams)]
            for ours, theirs in pairs:
                undo.callback(ours.close)
                undo.callback(theirs.close)
            # Both at once: waiting for its greeting first would cost a turn of that process and of this.
            _send(control, _GREETING + _text(wish), [theirs for _, theirs in pairs])
            for _, theirs in pairs:
                theirs.close()
            awaited = len(_GREETING) + 1
            try:
                _greeted(receive(control, deadline))
                awaited = 1
                _await_opened(control, deadline)
            except TimeoutError:
                self._see_off(control, awaited)
                undo.pop_all()
                for ours, _ in pairs:
                    ours.close()
                raise
            undo.pop_all()
            control.settimeout(None)
            return Opened(control, tuple(ours for ours, _ in pairs))

    def _reach(self, deadline: Deadline) -> socket.socket:
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._knock(control, deadline)
        except BaseException:
            control.close()
            raise
        return control

    def _knock(self, control: socket.socket, deadline: Deadline) -> None:
        while True:
            control.settimeout(max(0.001, deadline.remaining()))
            try:
                control.connect(self._path)
            except BlockingIOError:  # its backlog is full
                if deadline.passed():
                    raise TimeoutError("ssh takes no connection") from None
                self._clock.wait(_REST_SECONDS)
            else:
                return

    def _see_off(self, control: socket.socket, awaited: int) -> None:
        """Wait for the late answer, and close what it opened. Leaving sooner has ended an ssh.
        ``awaited``: bytes until the answer has begun."""

        def wait() -> None:
            control.settimeout(None)
            with suppress(OSError), control:
                control.recv(awaited, socket.MSG_WAITALL)

        threading.Thread(target=wait, name=f"{self._name}-late", daemon=True).start()


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


def _greeted(hello: bytes) -> None:
    if hello[:8] != _numbers(_HELLO, _VERSION):
        raise OSError("this ssh speaks another version of the control protocol")


def _await_opened(control: socket.socket, deadline: Deadline) -> None:
    (kind,) = struct.unpack(">I", receive(control, deadline)[:4])
    if kind in _REFUSALS:
        raise Refused
    if kind != _OPENED:
        raise OSError(f"ssh answered with a message {kind:#x}")


def _exactly(control: socket.socket, size: int, deadline: Deadline) -> bytes:
    found = b""
    while len(found) < size:
        control.settimeout(max(0.001, deadline.remaining()))
        data = control.recv(size - len(found))
        if not data:
            raise EOFError("ssh ended")
        found += data
    return found


def _send(control: socket.socket, message: bytes, passed: Sequence[socket.socket]) -> None:
    control.sendall(message)
    for one in passed:
        rights = array.array("i", [one.fileno()])
        control.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _text(value: bytes) -> bytes:
    return _numbers(len(value)) + value


_GREETING = _text(_numbers(_HELLO, _VERSION))
