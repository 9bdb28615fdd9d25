"""What every SSH engine promises, on a real sshd; and what a link promises, also on the fake.

A further engine joins by one more entry of ``tests.lab.engines.MAKERS``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes_ssh import FakeEngine
from tests.lab.engines import CLOCK, KEEPALIVE, MAKERS, News, soon
from tests.lab.relay import Relay, RelayMode
from tests.lab.sshd import Sshd, keygen
from tests.lab.tcp_server import TcpServer, echo, echo_after_end
from tests.lab.touch_agent import TouchAgent
from tests.lab.waiting import until
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Link, SshEngine
from watchdogd.settings import Address, SshSettings


def answer_yes(command: str, sshd: Sshd, folder: Path) -> str:
    """Type the command as a person does, who says yes where ssh asks; what ssh asked."""
    ask, asked = folder / "ask", folder / "asked"
    ask.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> {asked}\necho yes\n')
    ask.chmod(0o700)
    environ = os.environ | {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    whole = command.replace("ssh -o", f"ssh -i {sshd.identity_file} -o", 1)
    done = subprocess.run(
        ["sh", "-c", whole], env=environ, check=False, timeout=20, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return asked.read_text()


@pytest.fixture(params=list(MAKERS))
def make(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[SshSettings], SshEngine]:
    maker, folder = MAKERS[request.param], tmp_path_factory.mktemp("ssh")
    return lambda settings: maker(settings, folder)


@pytest.fixture
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running ssh-agent without keys; the environment points at it."""
    path = tmp_path / "agent.sock"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        limit = time.monotonic() + 5
        while not path.exists():
            assert time.monotonic() < limit
            threading.Event().wait(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield path
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(5)


def refusal(engine: SshEngine, limit: float = 20.0) -> Transient | Permanent:
    """How a dial that must fail fails."""
    try:
        link = engine.dial(soon(limit), News())
    except (Transient, Permanent) as error:
        return error
    link.close(soon())
    raise AssertionError("the dial succeeded")


@pytest.mark.real
@pytest.mark.usefixtures("no_agent")
class TestDial:
    def test_logs_in_within_its_time(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd
    ) -> None:
        link = make(sshd.settings()).dial(soon(), News())
        try:
            assert link.alive()
            assert link.run(["id", "-un"], deadline=soon()).stdout.decode().strip() == sshd.user
        finally:
            link.close(soon())
        assert not link.alive()

    def test_a_refused_key_is_permanent_and_says_how_to_add_it(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd, tmp_path: Path
    ) -> None:
        wrong = keygen(tmp_path / "wrong")
        error = refusal(make(sshd.settings(identity_file=str(wrong))))
        assert isinstance(error, Permanent)
        assert (error.cause, error.phase, error.reached) == (Cause.AUTH, "auth", True)
        assert error.mend.startswith("ssh-copy-id")
        assert f"-o UserKnownHostsFile={sshd.known_hosts} " in error.mend
        assert str(wrong) in error.mend

    def test_a_second_factor_is_refused_at_once_and_no_prompt_is_awaited(
        self, make: Callable[[SshSettings], SshEngine]
    ) -> None:
        asks = {
            "AuthenticationMethods": "publickey,keyboard-interactive",
            "KbdInteractiveAuthentication": "yes",
        }
        with Sshd(asks) as strict:
            error = refusal(make(strict.settings()), limit=5.0)
            assert "Partial publickey" in strict.log_text()
        assert isinstance(error, Permanent)
        assert (error.cause, error.phase, error.reached) == (Cause.AUTH, "auth", True)
        assert "more than a key" in error.detail
        assert "AuthenticationMethods publickey" in error.mend

    def test_a_locked_key_is_found_without_a_dial(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd, tmp_path: Path
    ) -> None:
        locked = keygen(tmp_path / "locked", passphrase="open sesame")
        error = refusal(make(sshd.settings(identity_file=str(locked))))
        assert isinstance(error, Permanent)
        assert (error.cause, error.reached) == (Cause.AUTH, False)
        assert error.mend == f'eval "$(ssh-agent)" && ssh-add {locked}'
        assert "SSH_AUTH_SOCK" in error.detail

    @pytest.mark.parametrize(("mode", "word"), [(None, "missing"), (0o644, "others may read")])
    def test_a_key_that_ssh_would_not_use(
        self,
        make: Callable[[SshSettings], SshEngine],
        sshd: Sshd,
        tmp_path: Path,
        mode: int | None,
        word: str,
    ) -> None:
        key = tmp_path / "key"
        if mode is not None:
            keygen(key).chmod(mode)
        error = refusal(make(sshd.settings(identity_file=str(key))))
        assert (error.cause, error.reached) == (Cause.AUTH, False)
        assert word in error.detail
        assert error.mend

    def test_a_key_file_of_garbage(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd, tmp_path: Path
    ) -> None:
        key = tmp_path / "key"
        key.write_text("garbage\n")
        key.chmod(0o600)
        error = refusal(make(sshd.settings(identity_file=str(key))))
        assert isinstance(error, Permanent)
        assert (error.cause, error.phase) == (Cause.AUTH, "auth")
        assert str(key) in error.detail
        assert error.mend == f"ssh-keygen -y -f {key}"

    def test_an_unknown_host_is_refused_with_the_command_that_adds_it(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd, tmp_path: Path
    ) -> None:
        file = tmp_path / "new" / "known_hosts"
        engine = make(sshd.settings(known_hosts=str(file)))
        error = refusal(engine)
        assert isinstance(error, Permanent)
        assert (error.cause, error.phase) == (Cause.HOST_KEY, "host_key")
        assert "SHA256:" in error.detail
        assert "StrictHostKeyChecking=ask" in error.mend
        assert error.mend.startswith(f"mkdir -p -m 700 {file.parent} && ssh ")
        asked = answer_yes(error.mend, sshd, tmp_path)
        assert error.detail.partition("SHA256:")[2].split(".")[0] in asked
        assert file.exists()
        engine.dial(soon(), News()).close(soon())

    def test_a_changed_host_is_told_neither_name_nor_key_at_any_dial(
        self, make: Callable[[SshSettings], SshEngine], tmp_path: Path
    ) -> None:
        with Sshd({"LogLevel": "DEBUG1"}) as rogue:
            other = keygen(tmp_path / "other")
            Path(rogue.known_hosts).write_text(rogue.known_hosts_line(key=other))
            engine = make(rogue.settings(user="somebody"))
            error = refusal(engine)
            assert isinstance(error, Permanent)
            assert error.cause is Cause.HOST_KEY
            assert refusal(engine).cause is Cause.HOST_KEY
            forget = f"ssh-keygen -R '[127.0.0.1]:{rogue.port}' -f {rogue.known_hosts}"
            assert error.mend.startswith("ask whoever runs the server")
            assert error.mend.endswith(f": {forget}")
            log = rogue.log_text()
        assert log.lower().count("connection from") == 2
        assert "userauth-request" not in log
        assert "somebody" not in log

    def test_a_revoked_host_is_refused(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd, tmp_path: Path
    ) -> None:
        file = tmp_path / "known_hosts"
        line = sshd.known_hosts_line()
        file.write_text(f"{line}@revoked {line}")
        error = refusal(make(sshd.settings(known_hosts=str(file))))
        assert error.cause is Cause.HOST_KEY
        assert "revoked" in error.detail

    def test_hashed_and_odd_lines_of_known_hosts_are_read(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd, tmp_path: Path
    ) -> None:
        file = tmp_path / "known_hosts"
        file.write_text(
            f"@broken line\n\nhost  ssh-rsa  no-base64\n{sshd.known_hosts_line()}"
            f"[127.0.0.1]:{sshd.port} ecdsa-sha2-nistp256 AAAA\n"
        )
        subprocess.run(
            ["ssh-keygen", "-q", "-H", "-f", str(file)],
            check=False,
            timeout=10,
            capture_output=True,
        )
        make(sshd.settings(known_hosts=str(file))).dial(soon(), News()).close(soon())

    def test_a_closed_port_is_sshd_down(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd, free_port: int
    ) -> None:
        error = refusal(make(sshd.settings(port=free_port)))
        assert isinstance(error, Transient)
        assert (error.cause, error.phase, error.reached) == (Cause.SSHD_DOWN, "connect", False)

    def test_an_unknown_name_is_dns(
        self,
        make: Callable[[SshSettings], SshEngine],
        sshd: Sshd,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        engine = make(sshd.settings(host="no-such-host.invalid"))

        def fails(*_: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fails)
        error = refusal(engine)
        assert (error.cause, error.phase, error.reached) == (Cause.DNS, "resolve", False)

    def test_a_dial_that_goes_a_dead_way_begins_anew(
        self, make: Callable[[SshSettings], SshEngine]
    ) -> None:
        """Each time that it is said; a link that is up is not touched."""
        with Sshd() as server, Relay(("127.0.0.1", server.port)) as relay:
            server.write_known_hosts(relay.port)
            engine, links = make(server.settings(port=relay.port)), list[Link]()
            engine.start_over()
            links.append(engine.dial(soon(), News()))
            relay.set(RelayMode.MUTE)
            dial = threading.Thread(target=lambda: links.append(engine.dial(soon(), News())))
            dial.start()
            until(lambda: relay.accepted == 2, "a dial")
            engine.start_over()
            until(lambda: relay.accepted == 3, "another")
            relay.set(RelayMode.PASS)
            engine.start_over()
            dial.join(20)
            assert relay.accepted == 4
            for link in links:
                assert link.run(["true"], deadline=soon()).status == 0
                link.close(soon())
            assert len(links) == 2

    def test_a_login_that_stops_begins_anew(self, make: Callable[[SshSettings], SshEngine]) -> None:
        with Sshd() as server:
            engine, links = make(server.settings()), list[Link]()
            dial = threading.Thread(target=lambda: links.append(engine.dial(soon(), News())))
            dial.start()
            until(server.session_pids, "a session")
            stopped = server.session_pids()
            server.kill_sessions(signal.SIGSTOP)
            assert not links
            engine.start_over()
            dial.join(20)
            (link,) = links
            assert link.run(["true"], deadline=soon()).status == 0
            assert set(server.session_pids()) > set(stopped)
            link.close(soon())

    def test_no_banner_ends_within_11_seconds(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd
    ) -> None:
        with Relay(("127.0.0.1", sshd.port)) as relay:
            relay.set(RelayMode.MUTE)
            begun = time.monotonic()
            error = refusal(make(sshd.settings(port=relay.port)))
            assert time.monotonic() - begun < 11
        assert (error.cause, error.phase, error.reached) == (
            Cause.HOST_UNREACHABLE,
            "banner",
            True,
        )

    def test_a_banner_after_8_seconds_is_waited_for(
        self, make: Callable[[SshSettings], SshEngine]
    ) -> None:
        with Sshd() as server, Relay(("127.0.0.1", server.port)) as relay:
            server.write_known_hosts(relay.port)
            relay.set(RelayMode.FREEZE)
            late = threading.Timer(8.0, relay.set, (RelayMode.PASS,))
            late.start()
            make(server.settings(port=relay.port)).dial(soon(25), News()).close(soon())
            late.join()

    def test_a_client_that_asks_in_vain_finds_the_silence_before_the_next_question_is_due(
        self, make: Callable[[SshSettings], SshEngine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.lab.engines.KEEPALIVE", 300.0)
        news = News()
        with Sshd() as server:
            link = make(server.settings()).dial(soon(25), news)
            until(lambda: link.facts().round_trip is not None, "the first answer")
            server.kill_sessions(signal.SIGSTOP)
            with pytest.raises(Transient):
                link.open(Address("127.0.0.1", 9), soon(1.0))
            news.await_last("silent", 60.0)
            server.kill_sessions(signal.SIGCONT)
            link.close(soon())

    def test_an_end_during_key_exchange_is_no_closed_door(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd
    ) -> None:
        def leaves(client: socket.socket) -> None:
            client.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
            client.recv(16)

        with TcpServer(leaves) as server:
            error = refusal(make(sshd.settings(port=server.address.port)))
        assert isinstance(error, Transient)
        assert (error.cause, error.reached) == (Cause.HOST_UNREACHABLE, True)
        assert error.phase == "host_key"

    @pytest.mark.parametrize("mode", [RelayMode.RESET, RelayMode.REFUSE])
    def test_an_ended_connection_is_a_rejection(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd, mode: RelayMode
    ) -> None:
        with Relay(("127.0.0.1", sshd.port)) as relay:
            relay.set(mode)
            error = refusal(make(sshd.settings(port=relay.port)))
        assert isinstance(error, Transient)
        assert error.cause is Cause.SSHD_REJECTS

    def test_a_server_that_stops_in_the_handshake_ends_by_the_deadline(
        self, make: Callable[[SshSettings], SshEngine], sshd: Sshd
    ) -> None:
        def only_banner(client: socket.socket) -> None:
            client.sendall(b"SSH-2.0-Frozen\r\n")
            while client.recv(4096):
                pass

        with TcpServer(only_banner) as server:
            begun = time.monotonic()
            with pytest.raises(Transient) as raised:
                make(sshd.settings(port=server.address.port)).dial(soon(2), News())
            assert time.monotonic() - begun < 4
        assert raised.value.cause is Cause.HOST_UNREACHABLE


@pytest.mark.real
class TestAgent:
    def test_a_locked_key_in_the_agent_logs_in(
        self, make: Callable[[SshSettings], SshEngine], agent: Path, tmp_path: Path
    ) -> None:
        key = keygen(tmp_path / "key")
        subprocess.run(["ssh-add", "-q", str(key)], check=True, timeout=10)
        subprocess.run(
            ["ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", str(key)], check=True, timeout=10
        )
        with Sshd() as server:
            server.authorize(key)
            settings = server.settings(identity_file=str(key))
            make(settings).dial(soon(), News()).close(soon())

    def test_a_locked_agent_is_named_with_what_unlocks_it(
        self, make: Callable[[SshSettings], SshEngine], agent: Path, sshd: Sshd, tmp_path: Path
    ) -> None:
        key = keygen(tmp_path / "key", passphrase="open sesame")
        asked = tmp_path / "ask"
        asked.write_text("#!/bin/sh\necho a lock\n")
        asked.chmod(0o700)
        environ = {**os.environ, "SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", "-x"], env=environ, check=True, timeout=10)
        error = refusal(make(sshd.settings(identity_file=str(key))))
        assert isinstance(error, Permanent)
        assert f"agent: holds no key, or is locked ({agent})" in error.detail
        assert error.mend == "ssh-add; or ssh-add -X"

    def test_only_the_configured_key_is_offered(
        self, make: Callable[[SshSettings], SshEngine], agent: Path, tmp_path: Path
    ) -> None:
        subprocess.run(["ssh-add", "-q", str(keygen(tmp_path / "a"))], check=True, timeout=10)
        with Sshd() as server:
            wrong = keygen(tmp_path / "wrong")
            refusal(make(server.settings(identity_file=str(wrong))))
            assert server.log_text().count("Failed publickey") == 1

    def test_a_stopped_agent_is_left_behind(
        self,
        make: Callable[[SshSettings], SshEngine],
        agent: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        stopped = tmp_path / "stopped.sock"
        with socket.socket(socket.AF_UNIX) as listener, Sshd() as server:
            listener.bind(str(stopped))
            listener.listen()
            monkeypatch.setenv("SSH_AUTH_SOCK", str(stopped))
            monkeypatch.setattr("watchdogd.adapters.login_keys._AGENT_SECONDS", 0.3)
            make(server.settings()).dial(soon(), News()).close(soon())

    def test_an_agent_that_waits_for_a_touch_is_told_as_such(
        self,
        make: Callable[[SshSettings], SshEngine],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        key = keygen(tmp_path / "key")
        monkeypatch.setattr("watchdogd.adapters.login_keys._AGENT_SECONDS", 1.0)
        with Sshd() as server, TouchAgent(tmp_path / "touch.sock", key) as touch:
            server.authorize(key)
            monkeypatch.setenv("SSH_AUTH_SOCK", str(touch.path))
            begun = time.monotonic()
            error = refusal(make(server.settings(identity_file=None)), limit=4.0)
            assert touch.asked.is_set()
        assert time.monotonic() - begun < 7
        assert isinstance(error, Permanent)
        assert (error.cause, error.phase) == (Cause.AUTH, "auth")
        assert "did not sign" in error.detail


class LinkPromises:
    """What a link promises, whoever made it: tests on the ``link`` fixture of a subclass."""

    def test_a_command_gets_input_and_gives_both_outputs(self, link: Link) -> None:
        script = "cat; echo oops >&2; exit 3"
        done = link.run(["sh", "-c", script], stdin=b"hello", deadline=soon())
        assert (done.status, done.stdout, done.stderr) == (3, b"hello", b"oops\n")
        assert not done.truncated

    def test_arguments_arrive_as_they_are(self, link: Link) -> None:
        odd = ["a b", "$HOME", "`id`", "'", '"', "", "*", "ä\n"]
        done = link.run(["printf", "%s|", *odd], deadline=soon())
        assert done.stdout == "".join(f"{one}|" for one in odd).encode()

    def test_output_beyond_the_limit_is_dropped(self, link: Link) -> None:
        done = link.run(
            ["sh", "-c", "head -c 300000 /dev/zero; echo end >&2"], limit=1000, deadline=soon()
        )
        assert (len(done.stdout), done.stderr, done.truncated) == (1000, b"end\n", True)

    def test_unread_input_is_no_error(self, link: Link) -> None:
        assert link.run(["true"], stdin=b"x" * 100_000, deadline=soon()).status == 0

    def test_a_command_that_hangs_ends_at_the_deadline(self, link: Link) -> None:
        begun = time.monotonic()
        with pytest.raises(Transient) as raised:
            link.run(["sleep", "30"], deadline=soon(0.8))
        assert raised.value.cause is Cause.REMOTE_WEDGED
        assert time.monotonic() - begun < 3

    def test_a_stream_carries_both_ways_with_a_half_close(self, link: Link) -> None:
        with TcpServer(echo_after_end) as server:
            stream = link.open(server.address, soon())
            stream.sendall(b"to be said twice")
            stream.shutdown_write()
            answer = b""
            while data := stream.recv(4096):
                answer += data
            assert answer == b"to be said twice"
            assert stream.ended_cleanly()
            stream.close()

    def test_a_refused_port_says_so(self, link: Link, free_port: int) -> None:
        with pytest.raises(Transient) as raised:
            link.open(Address("127.0.0.1", free_port), soon())
        assert raised.value.cause is Cause.RUNTIME_REFUSED
        assert link.alive()

    def test_a_command_s_pipes_as_a_stream(self, link: Link) -> None:
        stream = link.stdio(["cat"], soon())
        stream.sendall(b"there and back")
        assert stream.recv(100) == b"there and back"
        stream.close()
        stream.close()
        assert stream.closed()

    def test_after_its_end_everything_says_so(self, link: Link) -> None:
        link.close(soon())
        assert not link.alive()
        for use in (
            lambda: link.open(Address("127.0.0.1", 9), soon()),
            lambda: link.run(["true"], deadline=soon()),
            lambda: link.stdio(["true"], soon()),
        ):
            with pytest.raises(Transient) as raised:
                use()
            assert raised.value.cause is Cause.LINK_LOST


class TestFakeLink(LinkPromises):
    @pytest.fixture
    def link(self) -> Iterator[Link]:
        made = FakeEngine(CLOCK).dial(soon(), News())
        yield made
        made.close(soon())


@pytest.mark.real
class TestRealLink(LinkPromises):
    @pytest.fixture
    def link(self, make: Callable[[SshSettings], SshEngine], sshd: Sshd) -> Iterator[Link]:
        made = make(sshd.settings()).dial(soon(), News())
        yield made
        made.close(soon())

    def test_a_command_is_ended_on_the_server_too(self, link: Link, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"
        with pytest.raises(Transient):
            link.run(["sh", "-c", f"echo $$ > {pid_file}; exec sleep 60"], deadline=soon(3))
        pid = int(pid_file.read_text())
        limit = time.monotonic() + 30  # it is ended there after its time, and killed 5 s later
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < limit, "still runs on the server"
            threading.Event().wait(0.05)


@pytest.mark.real
class TestLife:
    """Each test breaks its server, so each has its own."""

    @pytest.fixture
    def server(self) -> Iterator[Sshd]:
        with Sshd() as made:
            yield made

    def test_a_frozen_server_is_silent_in_time_and_speaks_again(
        self, make: Callable[[SshSettings], SshEngine], server: Sshd
    ) -> None:
        news = News()
        link = make(server.settings()).dial(soon(), news)
        try:
            assert server.kill_sessions(signal.SIGSTOP)
            begun = time.monotonic()
            news.await_last("silent")
            assert time.monotonic() - begun < 2 * KEEPALIVE + 0.25 + 0.5
            assert link.alive()
            with pytest.raises(Transient) as raised:
                link.open(Address("127.0.0.1", 9), soon(0.5))
            assert raised.value.cause is Cause.LINK_LOST
            server.kill_sessions(signal.SIGCONT)
            news.await_last("speaking")
        finally:
            server.kill_sessions(signal.SIGCONT)
            link.close(soon())
        assert news.told == ["silent", "speaking"]

    def test_asked_at_once_a_frozen_server_is_silent_long_before_its_time(
        self,
        make: Callable[[SshSettings], SshEngine],
        server: Sshd,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As after a wake or in another network: nobody waits for the next keepalive."""
        monkeypatch.setitem(globals(), "KEEPALIVE", 600.0)
        news = News()
        link = make(server.settings()).dial(soon(), news)
        try:
            until(lambda: link.facts().round_trip, "the first answer")
            assert server.kill_sessions(signal.SIGSTOP)
            link.ask()
            news.await_last("silent", 20.0)
            server.kill_sessions(signal.SIGCONT)
            news.await_last("speaking", 20.0)
        finally:
            server.kill_sessions(signal.SIGCONT)
            link.close(soon())
        assert news.told == ["silent", "speaking"]

    def test_an_idle_link_is_not_silent(
        self, make: Callable[[SshSettings], SshEngine], server: Sshd
    ) -> None:
        news = News()
        link = make(server.settings()).dial(soon(), news)
        first = link.facts().last_received_at
        threading.Event().wait(4 * KEEPALIVE)
        facts = link.facts()
        link.close(soon())
        assert news.told == []
        assert facts.last_received_at > first
        assert facts.round_trip is not None
        assert 0 < facts.round_trip < KEEPALIVE

    def test_a_killed_link_is_lost_at_once(
        self, make: Callable[[SshSettings], SshEngine], server: Sshd
    ) -> None:
        news = News()
        link = make(server.settings()).dial(soon(), news)
        begun = time.monotonic()
        server.kill_sessions()
        news.await_last("lost")
        assert time.monotonic() - begun < 0.5
        assert not link.alive()
        link.close(soon())
        assert news.told == ["lost"]

    def test_an_answer_that_the_links_end_cut_does_not_look_complete(
        self, make: Callable[[SshSettings], SshEngine], server: Sshd
    ) -> None:
        link = make(server.settings()).dial(soon(), News())
        with TcpServer(echo) as far:
            stream = link.open(far.address, soon())
            stream.sendall(b"half")
            assert stream.recv(10) == b"half"
            server.kill_sessions()
            with suppress(OSError, EOFError):
                assert stream.recv(10) == b""
            assert not stream.ended_cleanly()
            stream.close()
            link.close(soon())

    def test_a_link_that_we_close_is_no_news(
        self, make: Callable[[SshSettings], SshEngine], server: Sshd
    ) -> None:
        news = News()
        make(server.settings()).dial(soon(), news).close(soon())
        assert news.told == []

    def test_a_full_send_buffer_neither_hides_silence_nor_blocks_the_close(
        self, make: Callable[[SshSettings], SshEngine], server: Sshd
    ) -> None:
        news = News()
        link = make(server.settings()).dial(soon(), news)
        with TcpServer(echo) as far:
            streams = [link.open(far.address, soon()) for _ in range(4)]
            server.kill_sessions(signal.SIGSTOP)
            for stream in streams:
                threading.Thread(target=_flood, args=(stream,), name="test-flood").start()
            news.await_last("silent")
            begun = time.monotonic()
            for stream in streams:
                stream.close()
            link.close(soon(5))
            assert time.monotonic() - begun < 7
            server.kill_sessions()

    def test_a_forbidden_forward_is_permanent(
        self, make: Callable[[SshSettings], SshEngine]
    ) -> None:
        with Sshd({"AllowTcpForwarding": "no"}) as server:
            link = make(server.settings()).dial(soon(), News())
            with pytest.raises(Permanent) as raised:
                link.open(Address("127.0.0.1", server.port), soon())
            link.close(soon())
        assert raised.value.cause is Cause.FORWARD_DENIED
        assert "AllowTcpForwarding" in raised.value.mend

    def test_sessions_beyond_the_limit_are_refused_and_the_link_lives(
        self, make: Callable[[SshSettings], SshEngine]
    ) -> None:
        with Sshd({"MaxSessions": "1"}) as server:
            link = make(server.settings()).dial(soon(), News())
            stream = link.stdio(["cat"], soon())
            with pytest.raises(Transient) as raised:
                link.run(["true"], deadline=soon())
            assert raised.value.cause is Cause.REMOTE_WEDGED
            assert link.alive()
            stream.close()
            link.close(soon())

    def test_a_server_that_comes_back_takes_a_new_link(
        self, make: Callable[[SshSettings], SshEngine], server: Sshd
    ) -> None:
        engine, news = make(server.settings()), News()
        link = engine.dial(soon(), news)
        server.stop()
        news.await_last("lost")
        link.close(soon())
        assert refusal(engine).cause is Cause.SSHD_DOWN
        server.start()
        engine.dial(soon(), News()).close(soon())


def _flood(stream: object) -> None:
    data = os.urandom(1_000_000)
    try:
        for _ in range(20):
            stream.sendall(data)  # type: ignore[attr-defined]
    except (OSError, EOFError):
        pass
