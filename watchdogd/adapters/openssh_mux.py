"""The control socket of an ``ssh``, spoken to directly: a channel for the price of a local connection.

The protocol is OpenSSH's own: the same that ``ssh -S`` speaks, without a child process for each client and
command. And it tells what a child does not: whether the server opened the channel.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from watchdogd.adapters.openssh_messages import (
    GREETING,
    check_greeting,
    forward_wish,
    is_opened,
    receive,
    send,
    session_wish,
)
from watchdogd.ports import Clock, Deadline

_REST_SECONDS = 0.01
_Pairs = Sequence[tuple[socket.socket, socket.socket]]


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


@dataclass(slots=True)
class _Control:
    """A connection to that ssh. Our greeting was sent."""

    socket: socket.socket
    greeted: bool = False
    """Its own was read."""
    pairs: _Pairs = ()
    """Made beforehand for a client."""

    def close(self) -> None:
        self.socket.close()
        for one in chain.from_iterable(self.pairs):
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
        self._lock = threading.Lock()
        self._spare: _Control | None = None
        self._closed = False

    def answers(self, deadline: Deadline) -> bool:
        """True if that ssh still serves its channels: so it closed none because it ended."""
        try:
            control = self._reach(deadline)
        except OSError:
            return False
        try:
            check_greeting(receive(control.socket, deadline))
        except (OSError, EOFError):
            control.socket.close()
            return False
        control.greeted = True
        self._keep(control)
        return True

    def forward(self, host: str, port: int, deadline: Deadline, first: bytes = b"") -> Opened:
        """A channel to a port, as seen from the server; ``first`` passes once it is open. If it raises, no
        byte of it has passed, nor will; if it may have, a channel is returned that has ended. Raises
        ``Refused``."""
        wish = forward_wish(host, port)
        spare = self._take()
        if spare is not None:
            with suppress(EOFError, ConnectionError):  # ssh let go of it meanwhile
                return self._open(spare, wish, 2, deadline, first)
        opened = self._open(self._reach(deadline), wish, 2, deadline, first)
        self.restock()
        return opened

    def session(self, command: str, deadline: Deadline) -> Opened:
        """A command line, given to the login shell. Raises ``Refused``."""
        return self._open(self._reach(deadline), session_wish(command), 3, deadline)

    def restock(self) -> None:
        """Have a connection ready for the next client: to take one in costs ssh two turns, so it is no good
        time while one waits for its first answer. Waits for nothing."""
        if self._spare is None and not self._closed:
            with suppress(OSError):
                self._keep(self._reach(Deadline.after(self._clock, 0.0)))

    def close(self) -> None:
        """None is kept ready any more."""
        with self._lock:
            self._closed = True
        if spare := self._take():
            spare.close()

    def _take(self) -> _Control | None:
        with self._lock:
            spare, self._spare = self._spare, None
        return spare

    def _keep(self, control: _Control) -> None:
        with suppress(OSError):  # no descriptor left
            control.socket.settimeout(None)
            control.pairs = _pairs(2, control)
            with self._lock:
                if self._spare is None and not self._closed:
                    self._spare = control
                    return
        control.close()

    def _open(
        self, control: _Control, wish: bytes, streams: int, deadline: Deadline, first: bytes = b""
    ) -> Opened:
        """``first``: so few bytes that a local socket takes them at once."""
        ours, theirs = zip(*(control.pairs or _pairs(streams, control)), strict=True)
        opened, given = Opened(control.socket, ours), 0
        try:
            if first:
                ours[0].sendall(first)
                given = len(first)
            send(control.socket, wish, theirs)
            _await_opened(control, deadline)
        except (OSError, EOFError, Refused) as error:
            taken = _taken(theirs[0], given)
            if isinstance(error, TimeoutError) and not taken:
                self._see_off(control)
                for one in ours:
                    one.close()
            else:
                opened.close()
            if not taken:
                raise
        else:
            control.socket.settimeout(None)
        finally:
            for one in theirs:
                one.close()
        return opened

    def _reach(self, deadline: Deadline) -> _Control:
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._knock(control, deadline)
            # Its own is not waited for: that would cost a turn of that process and of this.
            control.sendall(GREETING)
        except BaseException:
            control.close()
            raise
        return _Control(control)

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

    def _see_off(self, control: _Control) -> None:
        """Wait for the late answer, and close what it opened. Leaving sooner has ended an ssh."""
        awaited = 1 if control.greeted else len(GREETING) + 1

        def wait() -> None:
            control.socket.settimeout(None)
            with suppress(OSError), control.socket as late:
                late.recv(awaited, socket.MSG_WAITALL)

        threading.Thread(target=wait, name=f"{self._name}-late", daemon=True).start()


def _await_opened(control: _Control, deadline: Deadline) -> None:
    if not control.greeted:
        check_greeting(receive(control.socket, deadline))
        control.greeted = True
    if not is_opened(receive(control.socket, deadline)):
        raise Refused


def _pairs(count: int, control: _Control) -> _Pairs:
    """Our end and ssh's of each; ``control`` is closed if there is no descriptor left."""
    try:
        return [socket.socketpair() for _ in range(count)]
    except OSError:
        control.close()
        raise


def _taken(theirs: socket.socket, size: int) -> bool:
    """True if ssh has read of these first bytes, which it does only once the channel is open. What it has not
    read is taken back: it must not pass later."""
    left = 0
    with suppress(BlockingIOError):
        while left < size and (data := theirs.recv(size, socket.MSG_DONTWAIT)):
            left += len(data)
    return left < size
