"""A ``ports.Link`` whose server is this machine: commands are children, no SSH between.

For tests of what rides on a link. It records every argv and all bytes that went to a stdio stream,
can be cut like a link that was lost, and can freeze its streams' far side.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from tests.lab import waiting
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Completed, Deadline, LinkFacts, Stream
from watchdogd.settings import Address

GRACE_SECONDS = 5.0


class LocalLink:
    """``env`` is laid over this process's own variables for each command."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = {**os.environ, **env}
        self.ran: list[tuple[str, ...]] = []
        """Every argv, in order."""
        self.streams: list[LocalStream] = []
        """Every stdio stream, in order."""
        self._alive = True

    def open(self, to: Address, deadline: Deadline, first: bytes = b"") -> Stream:
        """Connects directly."""
        self._must_live()
        try:
            return SocketStream(socket.create_connection((to.host, to.port), deadline.remaining()))
        except ConnectionRefusedError as error:
            raise Transient(Cause.RUNTIME_REFUSED, "connection refused") from error

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        limit: int = 262_144,
    ) -> Completed:
        """Raises as the port says."""
        self._must_live()
        self.ran.append(tuple(argv))
        try:
            done = subprocess.run(
                self._shell(argv),
                input=stdin,
                capture_output=True,
                timeout=deadline.remaining(),
                env=self.env,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Transient(Cause.REMOTE_WEDGED, "the command did not end in time") from error
        cut = len(done.stdout) > limit or len(done.stderr) > limit
        return Completed(done.returncode, done.stdout[:limit], done.stderr[:limit], cut)

    def stdio(self, argv: Sequence[str], deadline: Deadline) -> Stream:
        """A child with pipes."""
        self._must_live()
        self.ran.append(tuple(argv))
        stream = LocalStream(self._shell(argv), self.env)
        self.streams.append(stream)
        return stream

    def ask(self) -> None:
        """It always speaks."""

    def facts(self) -> LinkFacts:
        """No news."""
        return LinkFacts(connected_at=0.0, last_received_at=0.0, round_trip=None)

    def alive(self) -> bool:
        """Until closed or cut."""
        return self._alive

    def close(self, deadline: Deadline) -> None:
        """End all streams."""
        self.cut()

    def cut(self) -> None:
        """As a link that is lost: streams end without a clean end."""
        self._alive = False
        for stream in self.streams:
            stream.close()

    def _must_live(self) -> None:
        if not self._alive:
            raise Transient(Cause.LINK_LOST, "the link is gone")

    def _shell(self, argv: Sequence[str]) -> list[str]:
        """As sshd does it: one string, given to the login shell."""
        import shlex

        return ["/bin/sh", "-c", shlex.join(argv)]


class LocalStream:
    """A child's stdin and stdout."""

    passed = 0

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.child = subprocess.Popen(
            argv,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        self.sent = bytearray()
        self._clean = False
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def recv(self, size: int) -> bytes:
        """As the port says."""
        assert self.child.stdout is not None
        with self._reading:
            if self.child.stdout.closed:
                return b""
            data = self.child.stdout.read(size) or b""
        if not data and self.child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(GRACE_SECONDS)
        self._clean = self._clean or (not data and (self.child.returncode or 0) >= 0)
        return data

    def sendall(self, data: bytes) -> None:
        """As the port says."""
        assert self.child.stdin is not None
        self.sent += data
        view = memoryview(data)
        try:
            while view:
                view = view[self.child.stdin.write(view) or 0 :]
        except ValueError as error:
            raise OSError("closed") from error

    def shutdown_write(self) -> None:
        """Ends the child's stdin."""
        assert self.child.stdin is not None
        with contextlib.suppress(OSError):
            self.child.stdin.close()

    def ended_cleanly(self) -> bool:
        """Not if the child was killed, by ``close`` for one."""
        return self._clean

    def closed(self) -> bool:
        """True once the child is gone."""
        return self.child.poll() is not None

    def close(self) -> None:
        """Kills the child; pipes go with it."""
        with self._lock:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait(GRACE_SECONDS)
            self.shutdown_write()
        assert self.child.stdout is not None
        with self._reading:  # the read in another thread ended with the child
            self.child.stdout.close()

    def freeze(self) -> None:
        """SIGSTOP to the child and all in its group: connected, and silent."""
        os.killpg(self.child.pid, signal.SIGSTOP)


class SocketStream:
    """A socket as a stream."""

    passed = 0

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        self._socket, self._clean, self._closed = sock, False, False

    def recv(self, size: int) -> bytes:
        """As the port says."""
        try:
            data = self._socket.recv(size)
        except OSError:
            return b""
        self._clean = self._clean or not data
        return data

    def sendall(self, data: bytes) -> None:
        """As the port says."""
        self._socket.sendall(data)

    def shutdown_write(self) -> None:
        """Half-close."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def ended_cleanly(self) -> bool:
        """True after an end that was no reset."""
        return self._clean

    def closed(self) -> bool:
        """True after ``close``."""
        return self._closed

    def close(self) -> None:
        """Both directions."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for ``condition()`` to be true; raises ``AssertionError`` if it is not in time."""
    waiting.until(condition, repr(condition), seconds)
