"""The agent itself: what survives it, what it never tells, how it starts and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.agent import SLOW_LOOK_SECONDS
from tests.e2e.kernel import Kernel
from tests.e2e.lab import Bench, stopped, token_of
from tests.e2e.server import SESSION
from watchdogd.control import NoAgent

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]


def test_a_kernel_computes_through_all_of_it(own: Bench) -> None:
    """The same process, its counter always moving, whatever happens outside its container."""
    life = own.settle()
    url = own.agent.url()
    kernel = Kernel(own.port, own.token.read_text(), life.pid)
    begin = own.mark()

    def survives(what: str) -> None:
        own.calm()
        assert kernel.advances(), what
        assert own.server.life(life.id) == life, what
        assert own.acts(begin) == [], what
        assert own.agent.url() == url, what
        assert own.opens(url), what

    own.server.sshd.kill_sessions()
    survives("link killed")

    with stopped(*own.server.sshd.session_pids()):
        own.agent.until(lambda: own.logins(begin) == 2, "another link", 20)
        assert kernel.advances()
    survives("link frozen")

    own.server.sshd.stop()
    assert kernel.advances()
    own.server.sshd.start()
    survives("sshd restarted")

    assert own.agent.end(signal.SIGTERM) == 0
    assert kernel.advances()
    own.agent.start()
    survives("agent ended and started")

    assert own.agent.end(signal.SIGKILL) == -signal.SIGKILL
    assert kernel.advances()
    own.agent.start()
    survives("agent killed and started")

    assert set(own.actions(begin)) <= {"reconnect"}
    begin = own.mark()
    own.server.kill_tmux()
    own.agent.until(
        lambda: own.server.sessions() == [SESSION], "the session", 30, SLOW_LOOK_SECONDS
    )
    survives("tmux server killed")
    assert own.actions(begin) == ["open_session"]


def test_the_address_outlives_the_container(bench: Bench) -> None:
    """``watchdogd url`` before and after restarts of a container that the agent made: unchanged."""
    bench.start()
    url = bench.agent.url()
    assert bench.opens(url)
    (container,) = bench.server.containers()

    begin, life = bench.mark(), bench.server.life(container)
    os.kill(life.pid, signal.SIGKILL)  # Docker's policy starts it again
    bench.agent.until(
        lambda: bench.server.life(container).restarts == 1, "restarted", 30, SLOW_LOOK_SECONDS
    )
    bench.agent.until(bench.runtime_answers, "the runtime", 30)
    bench.calm()
    assert bench.agent.url() == url
    assert bench.opens(url)
    assert bench.actions(begin) == []

    bench.server.docker.cli("restart", "-t", "1", container)  # by a person
    bench.agent.until(bench.runtime_answers, "the runtime", 30)
    bench.calm()
    assert bench.agent.url() == url
    assert bench.opens(url)
    assert bench.actions(begin) == []

    assert bench.agent.end() == 0
    bench.agent.start()
    bench.calm()
    assert bench.agent.url() == url
    assert bench.opens(url)


@contextlib.contextmanager
def every_command_line() -> Iterator[set[bytes]]:
    """All that ``ps`` could show meanwhile: arguments and environment of every process, again and again."""
    seen: set[bytes] = set()
    young: dict[str, float] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            now = time.monotonic()
            for pid in (name for name in os.listdir("/proc") if name.isdigit()):
                # A process may become another program, but does so soon after its start.
                if now - young.setdefault(pid, now) < 2 and int(pid) != os.getpid():
                    for name in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            seen.add(Path(f"/proc/{pid}/{name}").read_bytes())

    thread = threading.Thread(target=look, name="every-command-line")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_the_token_is_told_to_nobody_but_url(bench: Bench) -> None:
    """A container is made, breaks and heals; then everything that was written or shown is searched."""
    with every_command_line() as shown:
        bench.start()
        (container,) = bench.server.containers()
        bench.server.sshd.kill_sessions()
        bench.calm()
        running = bench.server.life(container)
        os.kill(running.pid, signal.SIGKILL)
        bench.agent.until(
            lambda: bench.server.life(container).restarts == 1, "restarted", 30, SLOW_LOOK_SECONDS
        )
        bench.calm()
        told = [
            str(bench.agent.status()),
            *(bench.agent.page(path)[1] for path in ("/metrics", "/", "/livez", "/readyz")),
        ]
        for verb in (("status",), ("status", "--json"), ("check",), ("check", "--json")):
            done = bench.agent.cli(*verb)
            told += [done.stdout, done.stderr]
        with contextlib.suppress(NoAgent):
            assert bench.agent.end() == 0
        told += [bench.agent.cli("url").stderr, bench.agent.cli("config", "show").stdout]
    bench.agent.start()
    token = token_of(bench.agent.until(lambda: _url(bench), "url", 20))
    assert len(token) == 48
    assert token not in bench.server.docker.out("inspect", container)
    logs = bench.agent.log.read_text() + bench.agent.errors.read_text()
    assert "create_container" in logs, "there was something to tell"
    assert token not in logs
    assert token not in bench.server.sshd.log_text()
    for text in told:
        assert token not in text
    assert any(b"dial-stdio" in line for line in shown), "processes were seen"
    assert [line for line in shown if token.encode() in line] == []
    holders = [path for path in _files(bench.agent.state) if token.encode() in path.read_bytes()]
    assert holders, "it is kept"
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
    assert {path.name for path in holders} == {"a100"}


def _url(bench: Bench) -> str:
    done = bench.agent.cli("url")
    return done.stdout.strip() if done.returncode == 0 else ""


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_second_agent_is_refused(own: Bench) -> None:
    own.settle()
    second = own.agent.cli("run")
    assert second.returncode == 75
    assert str(own.agent.pid) in second.stderr
    assert str(own.agent.state) in second.stderr
    own.calm()
    assert own.usable()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_nothing_is_left(own: Bench, number: signal.Signals) -> None:
    """Also with a client on the forward, and while a round of probes runs."""
    life = own.settle()
    begin = own.mark()
    pid = own.agent.pid
    with socket.create_connection(("127.0.0.1", own.local), 5) as client:
        client.sendall(b"GET /api HTTP/1.1\r\n")  # and no end of it
        own.agent.until(lambda: own.agent.target()["forward"]["open_connections"] > 0, "it", 5)
        at = time.monotonic()
        assert own.agent.end(number) == 0
        assert time.monotonic() - at < 5
    assert not Path(f"/proc/{pid}").exists()
    for port in (own.local, int(own.agent.listen.rpartition(":")[2])):
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
    assert [path for path in own.agent.runtime_dir.rglob("*") if path.is_socket()] == []
    end = time.monotonic() + 5
    while own.server.sshd.session_pids() and time.monotonic() < end:
        time.sleep(0.05)
    assert own.server.sshd.session_pids() == ()
    assert own.agent.errors.read_text() == ""
    assert own.acts(begin) == []
    assert own.server.life(life.id) == life
    assert own.server.sessions() == [SESSION]


def test_once_does_one_round_with_harmless_remedies_only(own: Bench) -> None:
    own.settle()
    assert own.agent.end() == 0
    assert own.agent.cli("run", "--once").returncode == 0

    (container,) = own.server.containers()
    os.kill(own.server.life(container).pid, signal.SIGKILL)
    begin = own.mark()
    own.agent.until(lambda: own.server.life(container).pid == 0, "ended", 10, SLOW_LOOK_SECONDS)
    done = own.agent.cli("run", "--once", seconds=130)
    assert done.returncode == 2
    assert "start_container begins" not in done.stdout
    assert own.acts(begin) in (["die"], [])

    own.known_hosts.write_text("")
    assert own.agent.cli("run", "--once").returncode == 77


def test_dry_run_says_what_it_would_do(own: Bench) -> None:
    life = own.settle()
    assert own.agent.end() == 0
    own.agent.start("--dry-run")
    own.calm()
    begin = own.mark()
    os.kill(life.pid, signal.SIGKILL)
    own.agent.until(
        lambda: ("start_container", "observe") in own.refusals(begin), "what it would do", 30
    )
    own.pass_time(4)
    assert own.actions(begin) == []
    assert own.acts(begin) == ["die"]


def test_a_taken_metrics_port_does_not_stop_healing(own: Bench) -> None:
    host, _, port = own.agent.listen.rpartition(":")
    with socket.create_server((host, int(port))):
        life = own.prepare()
        begin = own.mark()
        own.agent.start()
        own.calm()
        own.server.sshd.kill_sessions()
        own.agent.until(lambda: own.logins(begin) == 2, "a new login", 20)
        own.calm()
        os.kill(life.pid, signal.SIGKILL)
        own.agent.until(
            lambda: own.acts(begin) == ["die", "start"], "started again", 40, SLOW_LOOK_SECONDS
        )
        own.calm()
        said = [one for one in own.agent.records() if "metrics port" in str(one["event"])]
        assert len(said) == 1
        assert "healing goes on" in said[0]["event"]
