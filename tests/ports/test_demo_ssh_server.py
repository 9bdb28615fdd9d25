"""The demo's SSH server against two clients that it shares nothing with, or little: ssh and paramiko.

What passes here is what the agent may rely on: exec, forwards, half-close; and that each fault is
the fault that it is called.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import paramiko
import pytest

from tests.lab import needs
from tests.lab.guards import MARK
from watchdogd.adapters.clock import SystemClock
from watchdogd.demo.sight import look, until
from watchdogd.demo.ssh_server import SshServer

pytestmark = pytest.mark.real
CLOCK = SystemClock()
BIG = 3_000_000
Exec = Callable[[SshServer, str, bytes], tuple[int, bytes, bytes]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    tmp_path.chmod(0o700)
    needs.programs("ssh")
    marked = {name: os.environ[name] for name in ("PATH", MARK)}
    made = SshServer(tmp_path, {**marked, "HOME": str(tmp_path)}, CLOCK)
    made.start()
    try:
        yield made
    finally:
        made.close()


def ssh(server: SshServer, *options: str) -> list[str]:
    """The real client's argv up to and including the host."""
    return [
        *("ssh", "-F", "none", "-i", str(server.identity_file), "-p", str(server.port)),
        *("-o", f"UserKnownHostsFile={server.known_hosts}", "-o", "StrictHostKeyChecking=yes"),
        *("-o", "GlobalKnownHostsFile=none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
        *("-o", "ConnectTimeout=10", *options, f"{server.user}@127.0.0.1"),
    ]


def by_openssh(server: SshServer, command: str, stdin: bytes) -> tuple[int, bytes, bytes]:
    done = subprocess.run([*ssh(server), command], input=stdin, capture_output=True, timeout=20)
    return done.returncode, done.stdout, done.stderr


def client(server: SshServer) -> paramiko.SSHClient:
    made = paramiko.SSHClient()
    made.load_host_keys(str(server.known_hosts))
    made.set_missing_host_key_policy(paramiko.RejectPolicy())
    made.connect(
        "127.0.0.1",
        server.port,
        username=server.user,
        key_filename=str(server.identity_file),
        allow_agent=False,
        look_for_keys=False,
        timeout=10,
    )
    return made


def by_paramiko(server: SshServer, command: str, stdin: bytes) -> tuple[int, bytes, bytes]:
    with client(server) as connected:
        sending, out, err = connected.exec_command(command, timeout=20)
        threading.Thread(target=_send, args=(sending, stdin), daemon=True).start()
        answer = out.read()
        return out.channel.recv_exit_status(), answer, err.read()


def _send(sending: paramiko.channel.ChannelStdinFile, stdin: bytes) -> None:
    with suppress(OSError):
        sending.write(stdin)
        sending.flush()
        sending.channel.shutdown_write()


@pytest.mark.parametrize("run", [by_openssh, by_paramiko])
class TestExec:
    def test_status_and_streams_are_the_commands(self, server: SshServer, run: Exec) -> None:
        status, out, err = run(server, "echo out; echo err >&2; exit 7", b"")
        assert (status, out, err.splitlines()[-1:]) == (7, b"out\n", [b"err"])

    def test_it_runs_at_home_with_the_given_environment(
        self, server: SshServer, run: Exec, tmp_path: Path
    ) -> None:
        _, out, _ = run(server, 'pwd; echo "${SSH_AUTH_SOCK-none}"', b"")
        assert out.decode().split() == [str(tmp_path), "none"]

    def test_a_script_and_its_end_arrive_on_stdin(self, server: SshServer, run: Exec) -> None:
        assert run(server, "sh -s", b"echo one\necho two\n")[:2] == (0, b"one\ntwo\n")

    def test_much_passes_both_ways_at_once(self, server: SshServer, run: Exec) -> None:
        sent = os.urandom(BIG)
        status, out, _ = run(server, "cat", sent)
        assert (status, out == sent) == (0, True)

    def test_a_signal_shows_as_128_and_its_number(self, server: SshServer, run: Exec) -> None:
        assert run(server, "kill -TERM $$", b"")[0] == 143


def test_no_quick_command_is_over_before_it_was_accepted(server: SshServer) -> None:
    """Many at once on one connection, so that threads of the server are in each other's way."""
    statuses: list[int] = []
    with client(server) as connected:

        def run(times: int) -> None:
            for _ in range(times):
                _, out, _ = connected.exec_command("exit 3", timeout=20)
                statuses.append(out.channel.recv_exit_status())

        threads = [threading.Thread(target=run, args=(25,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert statuses == [3] * 200


class TestLogin:
    def test_another_key_is_refused(self, server: SshServer) -> None:
        transport = paramiko.Transport(("127.0.0.1", server.port))
        with closing(transport):
            transport.start_client(timeout=10)
            with pytest.raises(paramiko.AuthenticationException):
                transport.auth_publickey(server.user, paramiko.ECDSAKey.generate())

    def test_known_hosts_names_the_key_that_is_shown(self, server: SshServer) -> None:
        server.known_hosts.write_text(server.known_hosts.read_text().replace("AAAAE2", "AAAAE3"))
        status, _, err = by_openssh(server, "true", b"")
        assert status == 255
        assert b"Host key verification failed" in err

    def test_the_private_keys_are_private(self, server: SshServer, tmp_path: Path) -> None:
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("*_key")}
        assert modes == {"client_key": 0o600, "host_key": 0o600}

    def test_a_keepalive_is_answered(self, server: SshServer) -> None:
        with client(server) as connected:
            transport = connected.get_transport()
            assert transport is not None
            transport.global_request("keepalive@openssh.com", wait=True)
            assert transport.is_active()


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(partial(connection.recv, 65_536), b""))


class Echo:
    """Answers after its client's end of input, as a half-closing program needs it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    received = read_all(connection)
                    connection.sendall(b"got %d\n" % len(received) + received)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def forwarded(server: SshServer, echo: Echo) -> Iterator[int]:
    """A local port that the real client forwards to the echo."""
    with socket.create_server(("127.0.0.1", 0)) as asked:
        port = int(asked.getsockname()[1])
    spec = f"127.0.0.1:{port}:127.0.0.1:{echo.port}"
    child = subprocess.Popen(ssh(server, "-N", "-o", "ExitOnForwardFailure=yes", "-L", spec))
    try:
        assert until(CLOCK, 10, lambda: listens(port))
        yield port
    finally:
        child.terminate()
        child.wait(10)


def listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    return False


def ask(port: int, data: bytes) -> bytes:
    """Sends, ends its half, reads to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as asking:
        sender = threading.Thread(target=_send_all, args=(asking, data))
        sender.start()
        answer = read_all(asking)
        sender.join(20)
        return answer


def _send_all(asking: socket.socket, data: bytes) -> None:
    asking.sendall(data)
    asking.shutdown(socket.SHUT_WR)


class TestForward:
    def test_a_half_closing_client_gets_its_whole_answer(self, forwarded: int) -> None:
        sent = os.urandom(BIG)
        assert ask(forwarded, sent) == b"got %d\n" % BIG + sent

    def test_many_clients_at_once(self, forwarded: int) -> None:
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda n=n: answers.append(ask(forwarded, b"x" * n)))
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(answers) == sorted(b"got %d\n" % n + b"x" * n for n in range(20))

    def test_a_closed_port_is_code_2_and_a_foreign_address_code_1(self, server: SshServer) -> None:
        with socket.create_server(("127.0.0.1", 0)) as asked:
            closed = int(asked.getsockname()[1])
        with client(server) as connected:
            transport = connected.get_transport()
            assert transport is not None
            codes = []
            for address in (("127.0.0.1", closed), ("192.0.2.1", 80)):
                with pytest.raises(paramiko.ChannelException) as refused:
                    transport.open_channel("direct-tcpip", address, ("127.0.0.1", 1), timeout=10)
                codes.append(refused.value.code)
            assert codes == [2, 1]

    def test_a_full_backlog_holds_up_its_own_channel_only(self, server: SshServer) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, client(server) as connected:
            address = full.getsockname()
            transport = connected.get_transport()
            assert transport is not None
            waiting = [
                transport.open_channel("direct-tcpip", address, ("127.0.0.1", 1), timeout=10)
                for _ in range(4)
            ]
            began = time.monotonic()
            transport.global_request("keepalive@openssh.com", wait=True)
            assert time.monotonic() - began < 1
            assert not any(channel.closed for channel in waiting)
            waiting[-1].sendall(b"at last")
            accepted = [full.accept()[0] for _ in waiting]
            for connection in accepted:
                connection.settimeout(10)
            for channel in waiting[:-1]:
                channel.close()
            assert b"at last" in [read_some(connection) for connection in accepted]


def read_some(connection: socket.socket) -> bytes:
    with connection:
        return connection.recv(100)


class TestFaults:
    def test_kill_closes_every_session_at_once_and_serves_the_next(self, server: SshServer) -> None:
        first, second = client(server), client(server)
        with first, second:
            began = time.monotonic()
            assert len(server.kill_sessions()) == 2
            for connected in (first, second):
                transport = connected.get_transport()
                assert transport is None or _ended(transport)
            assert time.monotonic() - began < 2
            assert by_paramiko(server, "echo again", b"")[1] == b"again\n"

    def test_frozen_keeps_tcp_up_answers_nothing_and_serves_the_next(
        self, server: SshServer
    ) -> None:
        with client(server) as connected:
            transport = connected.get_transport()
            assert transport is not None
            (frozen,) = server.freeze_sessions()
            asking = threading.Thread(
                target=transport.global_request, args=("keepalive@openssh.com",), daemon=True
            )
            asking.start()
            asking.join(1)
            seen = look(frozen)
            assert (asking.is_alive(), transport.is_active()) == (True, True)
            assert seen is not None
            assert seen.state == "T"
            assert by_paramiko(server, "echo beside", b"")[1] == b"beside\n"
            server.thaw_sessions()
            asking.join(10)
            assert not asking.is_alive()

    def test_gone_is_refused_and_back_is_the_same_port_and_key(self, server: SshServer) -> None:
        port = server.port
        with client(server) as connected:
            server.stop()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=2)
            transport = connected.get_transport()
            assert transport is None or _ended(transport)
        server.start()
        assert server.port == port
        assert by_openssh(server, "echo back", b"")[1] == b"back\n"

    def test_nothing_is_left_of_a_command_whose_session_was_killed(
        self, server: SshServer, tmp_path: Path
    ) -> None:
        told = tmp_path / "pid"
        with client(server) as connected:
            connected.exec_command(f"echo $$ > {told}.new; mv {told}.new {told}; exec sleep 600")
            assert until(CLOCK, 10, told.exists)
            pid = int(told.read_text())
            server.kill_sessions()
            assert look(pid) is not None, "a real sshd ends no command either"
        server.close()
        assert look(pid) is None


def _ended(transport: paramiko.Transport) -> bool:
    transport.join(5)
    return not transport.is_active()
