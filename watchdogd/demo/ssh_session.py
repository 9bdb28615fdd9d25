"""One connection of the demo's SSH server, in a process of its own, as a real sshd does it.

So a killed or frozen server is a SIGKILL or SIGSTOP to this process. It is started before it is
needed and is handed its connection over a unix socket; when that socket ends, so does the process.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO, cast

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    MSG_CHANNEL_REQUEST,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_FAILED_UNKNOWN_CHANNEL_TYPE,
    OPEN_SUCCEEDED,
)

from watchdogd.demo.sight import look

GONE = (OSError, EOFError, paramiko.SSHException)
"""What a stream raises when its other end went away; not an error here."""
Connect = Callable[[], socket.socket]
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
HANDLERS = "_channel_handler_table"
"""paramiko's own table of what is done with which message; there is no public way in between."""
CHUNK = 32_768
REFUSAL_SECONDS = 0.2
"""On loopback a refusal comes at once. What takes longer has a full backlog, as when it hangs."""
CONNECT_SECONDS = 60.0
LOOK_SECONDS = 0.5


class Reports:
    """Tells the parent which commands run, so that it can end what outlives a killed session."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def began(self, command: subprocess.Popen[bytes]) -> None:
        """A command runs now, as leader of a group of its own."""
        self._running[command.pid] = command
        process = look(command.pid)
        self._tell(f"+{command.pid} {process.started if process else ''}\n")

    def ended(self, command: subprocess.Popen[bytes]) -> None:
        """It was reaped."""
        self._running.pop(command.pid, None)
        self._tell(f"-{command.pid}\n")

    def end_all(self) -> None:
        """SIGKILL to the group of each command that still runs."""
        for command in tuple(self._running.values()):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(command.pid, signal.SIGKILL)

    def _tell(self, line: str) -> None:
        with self._lock, suppress(OSError):
            self._control.sendall(line.encode())


class Server(paramiko.ServerInterface):
    """Lets one key in, runs commands with ``sh``, forwards to loopback. Nothing else."""

    def __init__(self, allowed: str, reports: Reports) -> None:
        self._allowed = allowed
        self._reports = reports
        self._targets: dict[int, Connect] = {}
        self._asked: dict[int, bytes] = {}
        self._waiting: dict[int, paramiko.Channel] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key.get_base64() == self._allowed else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_UNKNOWN_CHANNEL_TYPE

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        if destination[0] not in LOOPBACK_NAMES:
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        # paramiko waits for this answer, and with it all channels: only what is at once is awaited
        connect = partial(socket.create_connection, destination)
        try:
            target = connect(REFUSAL_SECONDS)
        except TimeoutError:
            self._targets[chanid] = partial(connect, CONNECT_SECONDS)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        else:
            self._targets[chanid] = lambda: target
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._asked[channel.get_id()] = command
        return True

    def answered(self, channel: paramiko.Channel) -> None:
        """The client knows that its command was accepted: now it may run."""
        command = self._asked.pop(channel.get_id(), None)
        self._waiting.pop(channel.get_id(), None)
        if command is not None:
            _thread(run_command, channel, command, self._reports)

    def accepted(self, channel: paramiko.Channel) -> None:
        """A channel is open: a forward begins to flow, a session waits for its command.

        paramiko closes a channel that nobody holds, so one that waits is held here.
        """
        connect = self._targets.pop(channel.get_id(), None)
        if connect is not None:
            _thread(relay, channel, connect)
            return
        waiting = {**self._waiting, channel.get_id(): channel}
        self._waiting = {number: one for number, one in waiting.items() if not one.closed}


class Connection(paramiko.Transport):
    """Accepts a command before it runs: a quick one would else be over before it was accepted."""

    def __init__(self, connection: socket.socket, server: Server) -> None:
        super().__init__(connection)
        handlers: dict[int, Callable[[paramiko.Channel, paramiko.Message], None]]
        handlers = dict(getattr(paramiko.Transport, HANDLERS))
        answer = handlers[MSG_CHANNEL_REQUEST]

        def answer_then_run(channel: paramiko.Channel, message: paramiko.Message) -> None:
            answer(channel, message)
            server.answered(channel)

        handlers[MSG_CHANNEL_REQUEST] = answer_then_run
        setattr(self, HANDLERS, handlers)


def run_command(channel: paramiko.Channel, command: bytes, reports: Reports) -> None:
    """Runs it in its own process group and answers with its exit status (128 + n for signal n).

    As with a real sshd, closing the channel ends no command; its end of input does, if it reads.
    """
    child = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=os.environ.get("HOME"),
        start_new_session=True,
    )
    reports.began(child)
    stdin, stdout, stderr = (cast(IO[bytes], s) for s in (child.stdin, child.stdout, child.stderr))
    _thread(feed, channel, stdin)
    errors = _thread(drain, stderr, channel.sendall_stderr)
    drain(stdout, channel.sendall)
    errors.join()
    status = child.wait()
    reports.ended(child)
    with suppress(*GONE):
        channel.send_exit_status(status if status >= 0 else 128 - status)
        channel.shutdown_write()
    with suppress(*GONE):
        channel.close()


def feed(channel: paramiko.Channel, stdin: IO[bytes]) -> None:
    """The client's bytes into the command, then its end of input."""
    with suppress(*GONE):
        while data := channel.recv(CHUNK):
            stdin.write(data)
            stdin.flush()
    with suppress(OSError):
        stdin.close()


def drain(stream: IO[bytes], send: Callable[[bytes], object]) -> None:
    """The command's bytes to the client; once that is gone, the command writes into a closed pipe."""
    with stream, suppress(*GONE):
        while data := os.read(stream.fileno(), CHUNK):
            send(data)


def relay(channel: paramiko.Channel, connect: Connect) -> None:
    """Both directions of a forward until both have ended, each half by itself."""
    try:
        target = connect()
    except OSError:
        channel.close()
        return
    target.settimeout(None)
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    down = _thread(_from_target, channel, target)
    with suppress(*GONE):
        while data := channel.recv(CHUNK):
            target.sendall(data)
        if channel.eof_received:
            target.shutdown(socket.SHUT_WR)
            while down.is_alive() and not channel.closed:
                down.join(LOOK_SECONDS)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
    down.join()
    with suppress(*GONE):
        channel.close()
    target.close()


def _from_target(channel: paramiko.Channel, target: socket.socket) -> None:
    try:
        while data := target.recv(CHUNK):
            channel.sendall(data)
        channel.shutdown_write()
    except GONE:
        with suppress(*GONE):
            channel.close()


def _thread(job: Callable[..., None], *given: object) -> threading.Thread:
    thread = threading.Thread(target=job, args=given, daemon=True)
    thread.start()
    return thread


def serve(connection: socket.socket, host_key: str, allowed: str, control: socket.socket) -> None:
    """Serves one connection until it or the parent ends."""
    reports = Reports(control)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = Server(allowed, reports)
    transport = Connection(connection, server)
    transport.add_server_key(paramiko.ECDSAKey.from_private_key_file(host_key))
    with suppress(*GONE):
        transport.start_server(server=server)
        while transport.is_active() and not _ended(control):
            channel = transport.accept(LOOK_SECONDS)
            if channel is not None:
                server.accepted(channel)
    if _ended(control):
        reports.end_all()
    transport.close()


def _ended(control: socket.socket) -> bool:
    """The parent sends nothing after the connection: readable means that it is gone."""
    return bool(select.select([control], [], [], 0)[0])


def main() -> int:
    """``--control FD``: where the connection arrives; the key files are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--host-key", required=True)
    parser.add_argument("--allowed", required=True)
    given = parser.parse_args()
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    with socket.socket(fileno=given.control) as control:
        _, handed, _, _ = socket.recv_fds(control, 1, 1)
        if handed:
            serve(socket.socket(fileno=handed[0]), given.host_key, given.allowed, control)
    return 0


if __name__ == "__main__":
    sys.exit(main())
