"""What only engine ``openssh`` does: jump hosts, certificates, odd configurations, and its children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.engines import CLOCK, News, openssh, soon
from tests.lab.sshd import Sshd, free_port, keygen
from tests.lab.tcp_server import TcpServer
from tests.lab.waiting import until
from tests.ports.test_ssh_engine import refusal
from watchdogd.adapters.child_ledger import ChildLedger, identity_of
from watchdogd.adapters.engine_choice import choose, why
from watchdogd.adapters.openssh_mux import Mux
from watchdogd.core.words import Cause
from watchdogd.errors import ConfigError, Transient
from watchdogd.settings import Address, SshSettings

Configure = Callable[[str], None]

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("no_agent")]


@pytest.fixture
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Gives ``ssh`` a person's configuration, jump hosts included, without touching a home."""

    def write(text: str) -> None:
        config, program = tmp_path / "config", tmp_path / "bin" / "ssh"
        config.write_text(text)
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return write


@pytest.fixture
def server() -> Iterator[Sshd]:
    with Sshd() as made:
        yield made


def host(name: str, server: Sshd, *more: str, port: int | None = None) -> str:
    lines = (
        "HostName 127.0.0.1",
        f"Port {port or server.port}",
        f"IdentityFile {server.identity_file}",
        f"UserKnownHostsFile {server.known_hosts}",
        *more,
    )
    return f"Host {name}\n" + "".join(f"  {line}\n" for line in lines)


class TestWays:
    def test_over_a_jump_host(
        self, configure: Configure, server: Sshd, sshd: Sshd, tmp_path: Path
    ) -> None:
        settings = SshSettings(host="gpu", user=server.user)
        configure(
            host("gpu", server, f"ProxyJump {sshd.user}@bastion:{sshd.port}")
            + host("bastion", sshd)
        )
        plan = choose(settings, soon())
        assert plan.engine == "openssh"
        assert plan.first_hop == "127.0.0.1"
        assert why(plan) == f"openssh (proxyjump {sshd.user}@bastion:{sshd.port})"
        with pytest.raises(ConfigError, match="proxyjump"):
            choose(SshSettings(host="gpu", engine="sshtunnel"), soon())
        before = sshd.log_text().count("Accepted publickey")
        link = openssh(settings, tmp_path).dial(soon(), News())
        try:
            assert link.run(["echo", "there"], deadline=soon()).stdout == b"there\n"
            assert sshd.log_text().count("Accepted publickey") == before + 1
        finally:
            link.close(soon())

    @pytest.mark.parametrize("way", ["bastion", "outer,bastion", "behind", "%r@bastion"])
    def test_a_jump_host_with_a_shared_connection_leaves_none_behind(
        self, configure: Configure, server: Sshd, sshd: Sshd, tmp_path: Path, way: str
    ) -> None:
        shared = (f"ControlPath {tmp_path}/%n.cm", "ControlMaster auto", "ControlPersist 600")
        configure(
            host("gpu", server, f"ProxyJump {way}")
            + host("bastion", sshd, *shared)
            + host("outer", sshd, *shared)
            + host("behind", sshd, "ProxyJump outer", *shared)
        )
        before = set(sshd.session_pids())
        accepted = sshd.log_text().count("Accepted publickey")
        link = openssh(SshSettings(host="gpu"), tmp_path).dial(soon(), News())
        assert link.run(["echo", "there"], deadline=soon()).stdout == b"there\n"
        hops = 1 if way in ("bastion", "%r@bastion") else 2
        assert sshd.log_text().count("Accepted publickey") == accepted + hops
        link.close(soon())
        until(lambda: set(sshd.session_pids()) <= before, "the end of the way there")
        assert not list(tmp_path.glob("*.cm"))

    def test_a_jump_host_that_nobody_knows_is_not_taken_in(
        self, configure: Configure, server: Sshd, sshd: Sshd, tmp_path: Path
    ) -> None:
        known = tmp_path / "none_yet"
        jump = host("bastion", sshd, "StrictHostKeyChecking accept-new")
        jump = jump.replace(sshd.known_hosts, str(known))
        configure(host("gpu", server, "ProxyJump bastion") + jump)
        assert refusal(openssh(SshSettings(host="gpu"), tmp_path)).cause is Cause.HOST_KEY
        assert not known.exists()
        assert str(known) in choose(SshSettings(host="gpu"), soon()).hop_files  # so it is watched

    def test_a_jump_host_that_is_down_costs_the_server_nothing(
        self, configure: Configure, sshd: Sshd, tmp_path: Path
    ) -> None:
        jump = host("bastion", sshd, port=free_port())
        configure(host("gpu", sshd, "ProxyJump bastion") + jump)
        error = refusal(openssh(SshSettings(host="gpu"), tmp_path))
        assert (error.cause, error.phase, error.reached) == (Cause.SSHD_DOWN, "connect", False)

    def test_a_jump_host_that_does_not_know_us_asks_nobody(
        self, configure: Configure, server: Sshd, sshd: Sshd, tmp_path: Path
    ) -> None:
        wrong = keygen(tmp_path / "wrong")
        jump = host("bastion", server).replace(server.identity_file, str(wrong))
        configure(host("gpu", sshd, "ProxyJump bastion") + jump + "  IdentitiesOnly yes\n")
        error = refusal(openssh(SshSettings(host="gpu"), tmp_path))
        assert error.cause is Cause.AUTH
        assert "on the way there" in error.detail

    @pytest.mark.parametrize(
        ("command", "word"),
        [("/no/such/program", "/no/such/program: "), ("sleep 60", "no connection")],
    )
    def test_a_proxy_command_that_leads_nowhere(
        self, configure: Configure, sshd: Sshd, tmp_path: Path, command: str, word: str
    ) -> None:
        configure(host("gpu", sshd, f"ProxyCommand {command}"))
        begun = time.monotonic()
        error = refusal(openssh(SshSettings(host="gpu"), tmp_path), limit=2.0)
        assert time.monotonic() - begun < 6
        assert (error.cause, error.reached) == (Cause.HOST_UNREACHABLE, False)
        assert word in error.detail

    def test_a_certificate_beside_the_key_logs_in(self, tmp_path: Path) -> None:
        authority, key = keygen(tmp_path / "ca"), keygen(tmp_path / "key")
        with Sshd({"TrustedUserCAKeys": str(authority.with_suffix(".pub"))}) as server:
            sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", server.user]
            subprocess.run([*sign, str(key.with_suffix(".pub"))], check=True, timeout=10)
            settings = server.settings(identity_file=str(key))
            assert "certificatefile" in why(choose(settings, soon()))
            openssh(settings, tmp_path).dial(soon(), News()).close(soon())

    def test_a_host_that_an_authority_vouches_for(self, tmp_path: Path, server: Sshd) -> None:
        authority = keygen(tmp_path / "ca")
        key = keygen(tmp_path / "host")
        sign = ["ssh-keygen", "-q", "-h", "-s", str(authority), "-I", "h", "-n", "127.0.0.1"]
        subprocess.run([*sign, str(key.with_suffix(".pub"))], check=True, timeout=10)
        with Sshd({"HostKey": str(key), "HostCertificate": f"{key}-cert.pub"}) as certified:
            line = certified.known_hosts_line(key=authority)
            Path(certified.known_hosts).write_text(f"@cert-authority {line}")
            plan = choose(certified.settings(), soon())
            assert why(plan) == f"openssh (@cert-authority in {certified.known_hosts})"
            openssh(certified.settings(), tmp_path).dial(soon(), News()).close(soon())

    def test_what_a_person_set_for_a_terminal_changes_nothing(
        self, configure: Configure, sshd: Sshd, tmp_path: Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            stale = tmp_path / "master.sock"
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(stale))
            configure(
                host(
                    "gpu",
                    sshd,
                    f"LocalForward {port} 127.0.0.1:9",
                    "ExitOnForwardFailure yes",
                    f"ControlPath {stale}",
                    "ControlMaster auto",
                    "ControlPersist yes",
                    "ForkAfterAuthentication yes",
                    "SessionType none",
                    "RemoteCommand tmux attach",
                    "RequestTTY force",
                    "LogLevel QUIET",
                    "ForwardAgent yes",
                    "Ciphers aes256-ctr",
                )
            )
            plan = choose(SshSettings(host="gpu", engine="openssh"), soon())
            assert plan.own_ciphers
            before = set(sshd.session_pids())
            link = openssh(SshSettings(host="gpu"), tmp_path).dial(soon(), News())
            assert link.run(["echo", "on"], deadline=soon()).stdout == b"on\n"
            link.close(soon())
            until(lambda: set(sshd.session_pids()) <= before, "the end of its session")
            assert refusal(openssh(SshSettings(host="gpu", port=free_port()), tmp_path)).cause is (
                Cause.SSHD_DOWN
            )


class TestLink:
    def test_a_shell_that_talks_does_not_pass_for_an_answer(
        self, server: Sshd, tmp_path: Path
    ) -> None:
        noisy = {"ForceCommand": 'yes noise | head -c 5000; exec sh -c "$SSH_ORIGINAL_COMMAND"'}
        with Sshd(noisy) as talker:
            news = News()
            link = openssh(talker.settings(), tmp_path).dial(soon(), news)
            until(lambda: link.facts().round_trip, "a first answer")
            talker.kill_sessions(signal.SIGSTOP)
            news.await_last("silent")
            talker.kill_sessions(signal.SIGCONT)
            link.close(soon())

    def test_a_killed_ssh_is_lost_and_leaves_nothing(self, sshd: Sshd, tmp_path: Path) -> None:
        news = News()
        link = openssh(sshd.settings(), tmp_path).dial(soon(), news)
        (entry,) = (tmp_path / "children").glob("*.json")
        os.kill(int(entry.stem), signal.SIGKILL)
        news.await_last("lost")
        assert not link.alive()
        assert not entry.exists()
        for use in (
            lambda: link.open(Address("127.0.0.1", 9), soon()),
            lambda: link.run(["true"], deadline=soon()),
        ):
            with pytest.raises(Transient) as raised:
                use()
            assert raised.value.cause is Cause.LINK_LOST
        link.close(soon())

    def test_where_nothing_can_be_written_down_there_is_a_link_and_a_warning(
        self, sshd: Sshd, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "children").write_text("as on a full disk")
        link = openssh(sshd.settings(), tmp_path).dial(soon(), News())
        try:
            assert link.run(["true"], deadline=soon()).status == 0
        finally:
            link.close(soon())
        assert "would outlive an agent that is killed" in caplog.text

    def test_a_stopped_ssh_is_silent_and_is_ended_in_time(self, sshd: Sshd, tmp_path: Path) -> None:
        news = News()
        link = openssh(sshd.settings(), tmp_path).dial(soon(), news)
        (entry,) = (tmp_path / "children").glob("*.json")
        os.kill(int(entry.stem), signal.SIGSTOP)
        news.await_last("silent")
        begun = time.monotonic()
        with pytest.raises(Transient) as raised:
            link.open(Address("127.0.0.1", 9), soon(0.5))
        assert raised.value.cause is Cause.LINK_LOST
        link.close(soon())
        assert time.monotonic() - begun < 5
        assert news.told == ["silent"]

    def test_an_ssh_that_gets_no_processor_for_a_while_cuts_no_answer(
        self, sshd: Sshd, tmp_path: Path
    ) -> None:
        """All came, and the end: on a busy machine the proof of it may take seconds."""
        with TcpServer(lambda client: client.sendall(b"all of it")) as far:
            link = openssh(sshd.settings(), tmp_path).dial(soon(), News())
            (entry,) = (tmp_path / "children").glob("*.json")
            stream = link.open(far.address, soon())
            assert stream.recv(100) == b"all of it"
            assert stream.recv(100) == b""
            os.kill(int(entry.stem), signal.SIGSTOP)
            later = threading.Timer(2.0, os.kill, (int(entry.stem), signal.SIGCONT))
            later.start()
            try:
                assert stream.ended_cleanly()
            finally:
                later.join()
                stream.close()
                link.close(soon())

    def test_a_dead_control_socket_is_no_link(self, tmp_path: Path) -> None:
        dead = tmp_path / "dead.ctl"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(dead))
        begun = time.monotonic()
        assert not Mux(str(dead), CLOCK, name="test").answers(soon())
        assert not Mux(str(tmp_path / "none"), CLOCK, name="test").answers(soon())
        assert time.monotonic() - begun < 1


PARENT = """
import sys, threading
from pathlib import Path
from tests.lab.engines import News, openssh, soon
from watchdogd.settings import SshSettings
host, port, user, key, known = sys.argv[2:]
settings = SshSettings(host=host, port=int(port), user=user, identity_file=key, known_hosts=known)
link = openssh(settings, Path(sys.argv[1])).dial(soon(), News())
print("up", flush=True)
threading.Event().wait(60)
"""


def test_the_ssh_of_a_killed_agent_is_ended_at_the_next_start(server: Sshd, tmp_path: Path) -> None:
    login = [server.user, server.identity_file, server.known_hosts]
    argv = [sys.executable, "-c", PARENT, str(tmp_path), "127.0.0.1", str(server.port), *login]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        parent.kill()
    (entry,) = (tmp_path / "children").glob("*.json")
    assert identity_of(int(entry.stem)) is not None
    assert server.session_pids()
    ledger = ChildLedger(tmp_path / "children")
    assert ledger.end_orphans(CLOCK) == (int(entry.stem),)
    until(lambda: not server.session_pids(), "the end of its session")
    assert not list((tmp_path / "children").iterdir())
    openssh(server.settings(), tmp_path).dial(soon(), News()).close(soon())
