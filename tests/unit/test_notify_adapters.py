"""Addresses, the program that sends, and the ping: each bounded, and none shows an address."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab.endpoint import Endpoint
from tests.lab.needs import free_port
from watchdogd.adapters.apprise_send import LATE, AppriseSender
from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.heartbeat import HeartbeatPing
from watchdogd.adapters.local_command import LocalCommands
from watchdogd.adapters.notify_urls import NoUrls, UrlSource, channel
from watchdogd.ports import Deadline, Ran
from watchdogd.settings import NotifySettings, Secret

URL = Secret("json://127.0.0.1:1/s3cr3t")
STUB = """
import sys, time, pathlib
class Service:
    def notify(self, title, body):
        pathlib.Path(HERE, "said").write_text(f"{sys.argv[1:]} {title}|{body}")
        print("s3cr3t in a line of apprise")
        if title == "hang": time.sleep(60)
        return title != "no"
class Apprise:
    @staticmethod
    def instantiate(url, suppress_exceptions):
        return None if "unknown" in url else Service()
"""


@pytest.fixture
def commands(tmp_path: Path) -> LocalCommands:
    return LocalCommands(SystemClock(), ChildLedger(tmp_path / "children"))


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apprise of our own, for the program that sends."""
    folder = tmp_path / "stub"
    folder.mkdir()
    (folder / "apprise.py").write_text(f"HERE = {str(tmp_path)!r}\n{STUB}")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_it_is_sent_by_a_program_that_is_told_the_address_by_no_argv(
    commands: LocalCommands, stub: Path, tmp_path: Path
) -> None:
    send = AppriseSender(commands.run, SystemClock())
    assert send(URL, "title", "b\u00f6dy") == ""
    assert (tmp_path / "said").read_text() == "[] title|b\u00f6dy"
    assert send(URL, "no", "") == "refused, or nobody there"
    assert send(Secret("unknown://x"), "t", "") == "an address that apprise does not know"
    (stub / "apprise.py").write_text("raise ImportError")
    assert send(URL, "t", "") == "apprise is not installed"


def test_one_that_hangs_ends_itself(commands: LocalCommands, stub: Path) -> None:
    ended = list[int | None]()

    def run(argv: Sequence[str], *, stdin: bytes, deadline: Deadline) -> Ran:
        ran = commands.run(argv, stdin=stdin, deadline=deadline)
        ended.append(ran.status)
        return ran

    assert AppriseSender(run, SystemClock(), seconds=0.3)(URL, "hang", "") == LATE
    assert ended == [-signal.SIGALRM]  # by its own clock, not by the agent's patience


def test_one_that_hangs_is_ended_with_the_agent(
    commands: LocalCommands, stub: Path, tmp_path: Path
) -> None:
    said = list[str]()
    send = AppriseSender(commands.run, SystemClock(), seconds=50.0)
    thread = threading.Thread(target=lambda: said.append(send(URL, "hang", "")))
    thread.start()
    while not (tmp_path / "said").exists():
        assert thread.is_alive()
    commands.stop()
    thread.join()
    assert said == [LATE]
    assert send(URL, "t", "").startswith("the program that sends could not be run")


def test_what_it_is_told_fits_into_a_pipe() -> None:
    given = list[bytes]()

    def run(argv: Sequence[str], *, stdin: bytes, deadline: Deadline) -> Ran:
        given.append(stdin)
        return Ran(status=-signal.SIGALRM, said=b"")

    send = AppriseSender(run, SystemClock())
    assert send(Secret("json://" + "u" * 1000), "\u00e4" * 9000, "\u00e4" * 9000) == LATE
    assert len(given[0]) <= 4096


# ---------------------------------------------------------------- addresses


def source(path: Path, commands: LocalCommands) -> UrlSource:
    return UrlSource(NotifySettings(urls_file=str(path)), commands.run, SystemClock())


def test_a_file_of_addresses_is_read_again_when_it_changes(
    tmp_path: Path, commands: LocalCommands
) -> None:
    file = tmp_path / "urls"
    file.write_text("# mine\n\njson://a/b\nJSON://a/b \njson://a/b\n")
    file.chmod(0o600)
    urls = source(file, commands)
    assert [one.reveal() for one in urls.read()] == ["json://a/b", "JSON://a/b"]
    assert not urls.changed()
    file.write_text("slack://x/y/z\n")
    assert urls.changed()
    assert [channel(one) for one in urls.read()] == ["slack"]


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("json://a/s3cr3t", 0o640, "chmod 600"),
        ("json://a/b\ns3cr3t\n", 0o600, "line 2 of the addresses is none"),
        ("json://a/s3cr3t x", 0o600, "line 1"),
        ("# s3cr3t\n", 0o600, "0 addresses"),
        ("\n".join(f"json://s3cr3t/{n}" for n in range(17)), 0o600, "17 addresses"),
        ("json://s3cr3t/" + "x" * 1000, 0o600, "line 1"),
    ],
)
def test_a_bad_file_is_told_without_what_is_in_it(
    tmp_path: Path, commands: LocalCommands, text: str, mode: int, why: str
) -> None:
    file = tmp_path / "urls"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(NoUrls, match=why) as caught:
        source(file, commands).read()
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(NoUrls, match="does not exist"):
        source(tmp_path / "none", commands).read()


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("/bin/sh", "-c", "echo json://a/b"), ""),
        (("/bin/sh", "-c", "echo s3cr3t; exit 3"), "ended with status 3"),
        (("/no/such",), "cannot be run"),
        (("/bin/sh", "-c", "yes json://s3cr3t/b | head -c 9000"), "more than 4095 bytes"),
    ],
)
def test_a_command_prints_them(commands: LocalCommands, argv: tuple[str, ...], why: str) -> None:
    urls = UrlSource(NotifySettings(urls_command=argv), commands.run, SystemClock())
    if not why:
        assert urls.read() == (Secret("json://a/b"),)
        return
    with pytest.raises(NoUrls, match=why) as caught:
        urls.read()
    assert "s3cr3t" not in str(caught.value)


# ---------------------------------------------------------------- the ping


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        yield server


def test_a_ping_is_one_request(endpoint: Endpoint) -> None:
    ping = HeartbeatPing(SystemClock())
    url = Secret(f"http://{endpoint.address}/uuid/?rid=1")
    assert ping(url, "", "") == ""
    assert ping(url, "/fail", "needs a person: a") == ""
    assert endpoint.taken == [
        ("GET /uuid?rid=1", ""),
        ("POST /uuid/fail?rid=1", "needs a person: a"),
    ]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_no_redirect_is_followed_and_another_status_is_a_failure(status: int) -> None:
    with Endpoint(status=status) as server:
        assert HeartbeatPing(SystemClock())(Secret(f"http://{server.address}/x"), "", "") == (
            f"status {status}"
        )
        assert server.met == 1


def test_a_ping_that_is_not_answered_ends() -> None:
    with Endpoint(answers=False) as server:
        ping = HeartbeatPing(SystemClock(), seconds=0.2)
        assert ping(Secret(f"http://{server.address}/x"), "", "") == "no answer in 0.2 s"
        assert ping(Secret(f"https://{server.address}/x"), "", "") == "no answer in 0.2 s"
    ping = HeartbeatPing(SystemClock())
    assert ping(Secret(f"http://127.0.0.1:{free_port()}/x"), "", "") == "Connection refused"


def test_https_to_somebody_who_speaks_none_is_a_failure(endpoint: Endpoint) -> None:
    assert HeartbeatPing(SystemClock())(Secret(f"https://{endpoint.address}/x"), "", "")


def test_a_ping_writes_no_keys_down_and_fails_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "none" / "keys"))
    with Endpoint() as server:
        ping = HeartbeatPing(SystemClock())
        assert ping(Secret(f"https://{server.address}/x"), "", "") != ""
