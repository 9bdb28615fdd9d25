"""A private SSH server on loopback that can be killed, frozen, stopped and started.

Built on paramiko's server side: it needs no root, no configuration and no installed sshd. Each
connection is served by a process of its own (``ssh_session``), which is what the faults are done to.
"""

from __future__ import annotations

import getpass
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from watchdogd.demo.sight import LOOPBACK, Process, alive, end, free_port, stopped, until
from watchdogd.ports import Clock

BACKLOG = 128
LOOK_SECONDS = 0.2
JOIN_SECONDS = 10.0
STOP_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class _Session:
    """One session process: a spare one until ``serving``."""

    child: subprocess.Popen[bytes]
    control: socket.socket
    serving: bool = False
    frozen: bool = False
    buffer: bytes = b""
    commands: dict[int, Process] = field(default_factory=dict)


class SshServer:
    """The server, its keys and its faults. Not started by the constructor.

    ``folder`` (0700, made by the caller) receives host key, client key and known_hosts.
    ``environment`` is the whole environment of the commands. After ``close`` nothing is left.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], clock: Clock) -> None:
        self.identity_file = folder / "client_key"
        self.known_hosts = folder / "known_hosts"
        self.user = getpass.getuser()
        self.port = 0
        """Chosen at the first start, kept afterwards."""
        self._host_key = folder / "host_key"
        self._log = folder / "sshd.log"
        self._environment = dict(environment)
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: list[_Session] = []
        self._left: list[Process] = []
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._public = _make_key(self.identity_file)
        self._host_public = _make_key(self._host_key)

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Listens, on the same port as before if there was one. Raises ``OSError``."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = self.port or free_port()
        listener.bind((LOOPBACK, self.port))
        listener.listen(BACKLOG)
        self.known_hosts.write_text(f"[{LOOPBACK}]:{self.port} {self._host_public}\n")
        self._listener = listener
        self._stopping.clear()
        with self._lock:
            self._sessions.append(self._spare())
        self._thread = threading.Thread(target=self._accept, args=(listener,), name="demo-sshd")
        self._thread.start()

    def stop(self) -> None:
        """As a killed server: the port is closed, every session's process is gone on return."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)
            self._thread = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        with self._lock:
            for session in tuple(self._sessions):
                session.child.kill()
                self._forget(session)

    def close(self) -> None:
        """``stop``, and the end of every command that outlived its session."""
        self.stop()
        left, self._left = self._left, []
        for process in left:
            end(process, self._clock, group=True)

    @property
    def listening(self) -> bool:
        """True between ``start`` and ``stop``."""
        return self._listener is not None

    # ------------------------------------------------------------ faults

    def sessions(self) -> tuple[int, ...]:
        """The pids of the processes that serve a connection now."""
        with self._lock:
            return tuple(s.child.pid for s in self._serving())

    def kill_sessions(self) -> tuple[int, ...]:
        """SIGKILL to all of them: their sockets are closed at once. Returns their pids."""
        with self._lock:
            killed = self._serving()
            for session in killed:
                session.child.kill()
                session.child.wait(JOIN_SECONDS)
            return tuple(s.child.pid for s in killed)

    def freeze_sessions(self) -> tuple[int, ...]:
        """SIGSTOP to all of them: TCP stays up, nobody answers. New connections are served.

        Returns their pids, once they stand still.
        """
        with self._lock:
            for session in self._serving():
                session.child.send_signal(signal.SIGSTOP)
                session.frozen = True
            pids = tuple(s.child.pid for s in self._serving())
        until(self._clock, STOP_SECONDS, lambda: all(stopped(pid) for pid in pids), step=0.001)
        return pids

    def thaw_sessions(self) -> None:
        """SIGCONT to those that are frozen and still live."""
        with self._lock:
            for session in self._sessions:
                if session.frozen:
                    session.child.send_signal(signal.SIGCONT)
                    session.frozen = False

    # ------------------------------------------------------------ the accept loop

    def _accept(self, listener: socket.socket) -> None:
        """The only place that adds, hears and forgets sessions while the server runs."""
        while not self._stopping.is_set():
            heard = {s.control: s for s in self._sessions}
            ready, _, _ = select.select([listener, *heard], [], [], LOOK_SECONDS)
            with self._lock:
                for one in ready:
                    if one is listener:
                        self._hand_over(listener)
                    else:
                        self._hear(heard[one])

    def _hand_over(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            spare = next((s for s in self._sessions if not s.serving), None) or self._spare()
            with suppress(OSError):
                socket.send_fds(spare.control, [b"c"], [connection.fileno()])
            spare.serving = True
        if spare not in self._sessions:
            self._sessions.append(spare)
        self._sessions.append(self._spare())

    def _hear(self, session: _Session) -> None:
        """Lines ``+PID START`` and ``-PID`` of commands; the end of the stream is the process's."""
        try:
            data = session.control.recv(4096)
        except OSError:
            data = b""
        if not data:
            session.child.kill()
            self._forget(session)
            return
        *lines, session.buffer = (session.buffer + data).split(b"\n")
        for line in lines:
            pid, _, started = line[1:].decode().partition(" ")
            if line.startswith(b"+"):
                session.commands[int(pid)] = Process(int(pid), started, "")
            else:
                session.commands.pop(int(pid), None)

    def _forget(self, session: _Session) -> None:
        """Reaps an ended session and remembers the commands that it leaves behind."""
        session.child.wait(JOIN_SECONDS)
        session.control.close()
        self._sessions.remove(session)
        self._left = [process for process in self._left if alive(process)]
        self._left.extend(session.commands.values())

    def _spare(self) -> _Session:
        """A session process that waits for its connection; its imports are done by then."""
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as log:
            child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "watchdogd.demo.ssh_session"),
                    *("--control", str(theirs.fileno())),
                    *("--host-key", str(self._host_key), "--allowed", self._public.split()[1]),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        return _Session(child, ours)

    def _serving(self) -> list[_Session]:
        return [s for s in self._sessions if s.serving and s.child.poll() is None]


def _make_key(path: Path) -> str:
    """A fresh key pair: the private half into ``path`` (0600); returns ``TYPE BASE64``."""
    key = paramiko.ECDSAKey.generate()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        key.write_private_key(file)
    return f"{key.get_name()} {key.get_base64()}"
