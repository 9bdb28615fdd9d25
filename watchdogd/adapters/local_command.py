"""A program of this machine, run to its end or to a deadline, and never left behind.

No shell: an argv. It leads a process group of its own, which ends with it: at the deadline TERM, then KILL;
after its own end whatever it left in the group. What shall live on must run elsewhere, or in a session of
its own. Of what it prints the last is kept.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, cast

from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.ports import Clock, Deadline, Ran

TERM_SECONDS = 5.0
_STOP_SECONDS = 1.0
"""The same while the agent ends."""
_KILL_SECONDS = 2.0
_LOOK_SECONDS = 0.05
_CHUNK = 65_536
KEPT_BYTES = 4096


class LocalCommands:
    """Of one target. Any thread may run one."""

    def __init__(self, clock: Clock, ledger: ChildLedger, *, unwritten: bool = False) -> None:
        """``ledger``: where they are written down, should this agent be killed. ``unwritten``: they are run
        although that cannot be written, for what matters most while the disk is full."""
        self._clock = clock
        self._ledger = ledger
        self._unwritten = unwritten
        self._stopping = threading.Event()
        self._ended = threading.Condition()
        self._running = 0

    def run(self, argv: Sequence[str], *, stdin: bytes, deadline: Deadline) -> Ran:
        """Run it; both outputs are one. Returns at its end, or a few seconds after the deadline.

        ``stdin``: at most 4 KiB, so that nobody waits for it to be read. Raises ``OSError`` if it cannot be
        started, and once ``close`` was called.
        """
        with self._ended:
            if self._stopping.is_set():
                raise InterruptedError("the agent is stopping")
            self._running += 1
        try:
            return self._run(argv, stdin, deadline)
        finally:
            with self._ended:
                self._running -= 1
                self._ended.notify_all()

    def stop(self) -> None:
        """Begin none any more, and begin to end what runs."""
        self._stopping.set()

    def close(self, deadline: Deadline) -> None:
        """The same, and wait for that."""
        self.stop()
        with self._ended:
            self._ended.wait_for(lambda: not self._running, deadline.remaining())

    def _run(self, argv: Sequence[str], stdin: bytes, deadline: Deadline) -> Ran:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        child = _Child(process)
        try:
            self._note(process.pid)
            child.feed(stdin)
            in_time = self._await(child, deadline, stoppable=True)
        finally:
            self._end(child)
            self._ledger.forget(process.pid)
        return Ran(status=process.returncode if in_time else None, said=child.said())

    def _note(self, pid: int) -> None:
        try:
            self._ledger.note(pid, "")
        except OSError:
            if not self._unwritten:
                raise

    def _await(self, child: _Child, deadline: Deadline, *, stoppable: bool = False) -> bool:
        """False if it goes on at the deadline, or longer than the agent does."""
        while not child.ended():
            if deadline.passed() or (stoppable and self._stopping.is_set()):
                return False
            child.hear(min(_LOOK_SECONDS, deadline.remaining()))
        return True

    def _end(self, child: _Child) -> None:
        if not child.ended():
            child.signal(signal.SIGTERM)
            grace = _STOP_SECONDS if self._stopping.is_set() else TERM_SECONDS
            self._await(child, Deadline.after(self._clock, grace))
        child.signal(signal.SIGKILL)  # it, or what it left behind: its number is still its own
        self._await(child, Deadline.after(self._clock, _KILL_SECONDS))
        child.close()


class _Child:
    """Seen from one thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._stdin = cast(IO[bytes], process.stdin)
        self._stdout = cast(IO[bytes], process.stdout)
        self._said = bytearray()
        self._open = True
        os.set_blocking(self._stdout.fileno(), False)
        os.set_blocking(self._stdin.fileno(), False)

    def feed(self, stdin: bytes) -> None:
        with suppress(OSError):  # it may end without reading its input
            os.write(self._stdin.fileno(), stdin)
        with suppress(OSError):
            self._stdin.close()

    def ended(self) -> bool:
        """Not reaped yet: so long its group's number is nobody else's."""
        if self._process.returncode is not None:
            return True
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def hear(self, seconds: float) -> None:
        """Wait for words at most so long, and keep the last of them."""
        if not self._open:
            select.select([], [], [], seconds)
        elif self._talks(seconds):
            self._take()

    def _talks(self, seconds: float) -> bool:
        waited = select.poll()  # not select(): it knows no descriptor from 1024 on
        waited.register(self._stdout, select.POLLIN)
        return bool(waited.poll(1000 * seconds))

    def _take(self) -> None:
        try:
            data = os.read(self._stdout.fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._open = bool(data)
        self._said += data
        del self._said[:-KEPT_BYTES]

    def said(self) -> bytes:
        return bytes(self._said)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """Reap it, and take its last words."""
        for _ in range(
            KEPT_BYTES // 256
        ):  # a bound: somebody else may hold the other end, and talk
            if not self._open or not self._talks(0):
                break
            self._take()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)
        for stream in (self._stdin, self._stdout):
            with suppress(OSError):
                stream.close()
