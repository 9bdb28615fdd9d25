"""The ``ssh`` that carries a link: started without a terminal, heard, waited for, and ended for sure."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.control_path import remove_control
from watchdogd.adapters.openssh_said import Said
from watchdogd.ports import Deadline

log = logging.getLogger(__name__)

_TERM_SECONDS = 3.0
_KILL_SECONDS = 2.0
_AGAIN_SECONDS = 0.25
_LAST_WORDS_SECONDS = 0.5
_LONGEST_LINE = 65_536
_AT_ONCE_BYTES = 65_536
_UNHURRIED_SECONDS = 0.005
"""ssh writes half a dozen lines for each channel, and to read each at once held up who opens it. Much later,
and a hundred channels would fill the socket and hold up ssh."""


class SshChild:
    """Leads a process group of its own, so that what it starts to get to the server ends with it."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        control: str,
        ledger: ChildLedger,
        *,
        name: str,
    ) -> None:
        """``control``: its control socket, removed at its end. Raises ``OSError``."""
        self.said = Said()
        self.ended = threading.Event()
        self._control = control
        self._ledger = ledger
        self._at_end: list[Callable[[], None]] = []
        self._news = threading.Condition()
        self._told = 0
        self._hurry = threading.Event()
        """Somebody waits for its words, or it has ended."""
        self._waiting = 0
        self._reaped = False
        """From then on its number may be somebody else's."""
        # A socket, not a pipe: a jump host's master may hold the other end for ever.
        self._stderr, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=theirs.fileno(),
                    env=dict(environ),
                    start_new_session=True,
                )
            except OSError:
                self._stderr.close()
                raise
        self._reader = threading.Thread(target=self._read, name=f"{name}-stderr", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name=f"{name}-wait", daemon=True)
        self._reader.start()
        self._waiter.start()
        try:
            ledger.note(self._process.pid, control)
        except OSError as error:  # a full disk is no reason for having no link
            told = "ssh (pid %d) is not written down, and would outlive an agent that is killed: %s"
            log.warning(told, self._process.pid, error)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def await_news(self, seen: int, seconds: float) -> int:
        """Returns when there is more news than ``seen`` (0 at first), or after so long: how many there
        are. News are words of it, and its end."""
        with self._news:
            self._hurried(1)
            self._news.wait_for(lambda: self._told > seen, seconds)
            self._hurried(-1)
            return self._told

    def when_ended(self, told: Callable[[], None]) -> None:
        """Have ``told`` called at its end, or now if it has ended."""
        self._at_end.append(told)
        if self.ended.is_set():
            told()

    def end(self, deadline: Deadline) -> None:
        """TERM, at most 3 s later KILL; returns when it is gone, or shortly after the deadline."""
        self._signal(signal.SIGTERM)
        polite = deadline.at_most(_TERM_SECONDS)
        while not self.ended.wait(min(_AGAIN_SECONDS, polite.remaining())) and not polite.passed():
            self._signal(signal.SIGTERM)  # ssh may miss one that comes just before it goes to sleep
        self._signal(signal.SIGKILL)
        self.ended.wait(_KILL_SECONDS)
        self._waiter.join(_KILL_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        if not self._reaped:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _wait(self) -> None:
        if hasattr(os, "waitid"):
            # While it is not reaped its number is nobody else's: what it started is ended with it.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reaped = True
        self._process.wait()
        self._reaped = True
        with self._news:
            self._hurried(1)
        self._reader.join(_LAST_WORDS_SECONDS)
        with suppress(OSError):
            self._stderr.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._stderr.close()
        remove_control(self._control)
        self._ledger.forget(self._process.pid)
        self.ended.set()
        for told in self._at_end:
            told()
        self._tell()

    def _hurried(self, more: int) -> None:
        self._waiting += more
        if self._waiting:
            self._hurry.set()
        else:
            self._hurry.clear()

    def _words(self) -> bytes:
        data = self._stderr.recv(_AT_ONCE_BYTES)
        if self.said.authenticated and not self._hurry.is_set():
            self._hurry.wait(_UNHURRIED_SECONDS)
            with suppress(BlockingIOError):
                data += self._stderr.recv(_AT_ONCE_BYTES, socket.MSG_DONTWAIT)
        return data

    def _read(self) -> None:
        begun = b""
        with suppress(OSError):
            while data := self._words():
                *lines, begun = (begun + data).split(b"\n")
                for line in lines:
                    self.said.hear(line.decode(errors="replace").rstrip("\r"))
                begun = begun[-_LONGEST_LINE:]
                self._tell()
        self.said.hear(begun.decode(errors="replace"))

    def _tell(self) -> None:
        with self._news:
            self._told += 1
            self._news.notify_all()
