"""What keeps asking over ``ssh`` whether the server still speaks: ``keepalive.Asked``.

One command that gives back what it is given (``cat``). Where the server allows none, or no session is
left for others, it knocks: a session that is opened or refused was answered as well.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from watchdogd.adapters.openssh_child import SshChild
from watchdogd.adapters.openssh_mux import Mux, Opened, Refused
from watchdogd.ports import Clock, Deadline

_ECHO = "exec cat"
_KNOCK = ":"
_FIRST_SECONDS, _FIRST_WAITS = 1.0, 8
"""A command that gives nothing back for so long, so many times, with an answer of the server after each,
never will."""
_REST_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0
_NOISE_BYTES = 65_536


class Life:
    """Of one link. ``ask`` is called by one thread."""

    def __init__(
        self,
        child: SshChild,
        mux: Mux,
        clock: Clock,
        *,
        why: Callable[[], str],
        spoke: Callable[[], None],
    ) -> None:
        """``why``: the end in ssh's words. ``spoke``: the server has just answered."""
        self._child = child
        self._mux = mux
        self._clock = clock
        self._why = why
        self._spoke = spoke
        self._lock = threading.Lock()
        self._echo: Opened | None = None
        self._holds = False
        """A session is held, or about to be."""
        self._knocks = False
        self._numbers = count()
        self._stirred = threading.Event()
        child.when_ended(self.stir)

    def ask(self) -> bool:
        """See the port."""
        while not self._child.ended.is_set():
            try:
                self._await_answer()
            except TimeoutError:
                continue
            except (OSError, EOFError):
                self._child.ended.wait(_REST_SECONDS)
            else:
                self._spoke()
                return True
        self.release()
        return False

    def await_end(self, seconds: float) -> str | None:
        """See the port."""
        self._stirred.wait(seconds)
        self._stirred.clear()
        return self._why() if self._child.ended.is_set() else None

    def stir(self) -> None:
        """See the port."""
        self._stirred.set()

    def release(self) -> bool:
        """Give the session free for others. False if none is held."""
        with self._lock:
            self._knocks = True
            held, self._holds = self._holds, False
            echo, self._echo = self._echo, None
        if echo is not None:
            echo.close()
        return held

    def _await_answer(self) -> None:
        """Raises ``TimeoutError``, ``OSError`` or ``EOFError`` if there was none."""
        with self._lock:
            echo, knocks = self._echo, self._knocks
        if knocks:
            self._knock()
        elif echo is not None:
            self._await_echo(echo)
        else:
            self._begin()

    def _begin(self) -> None:
        """The first echo of a session: where it does not come, none ever will."""
        self._holds = True
        try:
            echo = self._mux.session(_ECHO, self._later())
        except Refused:
            self.release()
            return
        self._spoke()
        with self._lock:
            if self._knocks:
                echo.close()
                return
            self._echo = echo
        try:
            self._await_first(echo)
        except (OSError, EOFError):
            self.release()
            self._knock()

    def _await_first(self, echo: Opened) -> None:
        """The first line to come back, sent once: the way there and back may take longer than a wait.
        While it does not come, knocks tell whether the server speaks."""
        line, seen = self._send(echo), bytearray()
        down = echo.ours[1]
        down.settimeout(_FIRST_SECONDS)
        for _ in range(_FIRST_WAITS):
            with suppress(TimeoutError):
                _await_line(line, down, seen)
                return
            self._knock()
            self._spoke()
        raise TimeoutError

    def _await_echo(self, echo: Opened) -> None:
        try:
            echo.ours[1].settimeout(None)
            _await_line(self._send(echo), echo.ours[1], bytearray())
        except (OSError, EOFError):
            self._forget(echo)
            raise

    def _send(self, echo: Opened) -> bytes:
        line = b"%016x\n" % next(self._numbers)
        echo.ours[0].sendall(line)
        return line

    def _forget(self, echo: Opened) -> None:
        with self._lock:
            if self._echo is echo:
                self._echo, self._holds = None, False
        echo.close()

    def _knock(self) -> None:
        with suppress(Refused):
            self._mux.session(_KNOCK, self._later()).close()

    def _later(self) -> Deadline:
        return Deadline.after(self._clock, _PATIENCE_SECONDS)


def _await_line(line: bytes, down: socket.socket, seen: bytearray) -> None:
    """Returns once it came back; a login shell may print something before. ``seen``: what came, kept over
    a ``TimeoutError``. Raises ``EOFError``."""
    while line not in seen:
        data = down.recv(4096)
        if not data:
            raise EOFError
        seen += data
        del seen[:-_NOISE_BYTES]
