"""The command line where its output has no room, and where there is nothing to wait for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from tests.lab.sshd import keygen
from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.instance import InstanceLock, private_folder
from watchdogd.app.folders import children_folder
from watchdogd.app.results import CheckResult
from watchdogd.cli import check, status
from watchdogd.core.model import Verdict
from watchdogd.core.words import Cause, Kind, Outcome, State
from watchdogd.settings import (
    AgentSettings,
    RuntimeSettings,
    Settings,
    SshSettings,
    TargetSettings,
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "w.toml"
    file.write_text('[targets.a]\nssh.host = "h"\nruntime.kind = "external"\n')
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "watchdogd", "--config", str(file), "config", "show"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: [Errno 28] No space left on device\n"


def test_a_link_that_only_a_person_can_mend_has_no_next_dial(
    capsys: pytest.CaptureFixture[str],
) -> None:
    link = {"up": False, "dialing": False, "next_dial_in": None, "stopped_by": "host_key"}
    forward = {
        "local": "127.0.0.1:9000", "remote": "127.0.0.1:9000", "open_connections": 0,
        "holder": ", ".join(f"program-{number} (pid {number})" for number in range(8)),
    }  # fmt: skip
    with click.Context(click.Command("status")):
        status._link(link, forward, 0.0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  ssh link down, no dial until host_key is mended"
    assert all(len(line) <= 80 for line in lines)


def shown(capsys: pytest.CaptureFixture[str], tell: Callable[[], object]) -> str:
    with click.Context(click.Command("status")):
        tell()
    return capsys.readouterr().out


BOX: dict[str, object] = {
    "name": "box", "state": "up", "since": "2026-01-01T00:00:00.000Z", "cause": "session_missing",
    "phase": "suspect", "detail": "", "mend": "", "refusals": [], "recent": [], "layers": [],
}  # fmt: skip
NOW = datetime(2026, 1, 1, 0, 0, 44, tzinfo=UTC).timestamp()


def test_a_suspicion_is_not_told_as_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, lambda: status._whole(BOX, NOW))
    told = "the last look failed: session_missing"
    assert text.startswith(f"box is up for 44s, in doubt\n  {told}\n")
    assert status._line(BOX, NOW).split(maxsplit=2)[2] == f"for 44s, in doubt: {told}"
    failed = {"layer": "container", "outcome": "fail", "age": 4.2, "vantage": None}
    later = BOX | {"layers": [failed], "why": {"counted": {"fails": 2, "seconds": 9.0}}}
    assert ", in doubt: 2 looks in a row failed, the last 4.2s ago" in status._line(later, NOW)


@pytest.mark.parametrize(
    ("link", "word"), [({"up": False}, "down"), ({"up": True, "silent": True}, "silent")]
)
def test_while_nothing_passes_up_is_not_all_that_is_told(
    capsys: pytest.CaptureFixture[str], link: dict[str, bool], word: str
) -> None:
    forward = {"local": "127.0.0.1:1", "remote": "127.0.0.1:2", "open_connections": 0}
    box = BOX | {"phase": "steady", "cause": None, "link": link, "forward": forward}
    told = f"nothing passes, the ssh link is {word}"
    assert f"in doubt: {told}" in status._line(box, NOW)
    text = shown(capsys, lambda: status._whole(box, NOW))
    assert text.startswith(f"box is up for 44s, in doubt\n  {told}\n")
    assert f"nothing passes while the link is {word}" in " ".join(text.split())
    assert "in doubt" not in status._line(box | {"state": "down"}, NOW)


@pytest.mark.parametrize("reason", ["ask", "budget", "halted", "operator", "failed_start"])
def test_what_only_a_person_can_do_is_said_with_the_newest_reason(
    capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    told = {"kind": "remedy_refused", "remedy": "start_container", "reason": reason}
    box = BOX | {
        "phase": "held",
        "refusals": [
            {"remedy": "reconnect", "reason": "no_sight"},
            {"remedy": "start_container", "reason": reason},
        ],
        "recent": [told | {"detail": "old"}, told | {"detail": "somebody stopped it"},
                   told | {"reason": "no_sight", "detail": "nothing to do with it"}],
    }  # fmt: skip
    text = shown(capsys, lambda: status._whole(box, NOW))
    assert "  needs a person: somebody stopped it\n" in text


def test_a_cause_without_a_remedy_needs_a_person() -> None:
    box = BOX | {"phase": "held", "cause": "host_key", "mend": "ssh-keygen -R h"}
    assert status._person(box) == "needs a person: ssh-keygen -R h"
    assert status._person(BOX | {"phase": "held"}) == ""
    waits = {"refusals": [{"remedy": "reconnect", "reason": "halted"}]}
    assert status._person(BOX | waits | {"phase": "held"}) != ""
    assert status._person(BOX | waits | {"phase": "steady"}) == ""


def test_one_target_through_a_pipe_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"word-{number}" for number in range(40)]
    box = BOX | {
        "phase": "held",
        "state": "down",
        "detail": " ".join(words),
        "mend": "a " + "k" * 90,
    }
    text = shown(capsys, lambda: status._lines(box, NOW))
    lines = text.splitlines()
    assert lines.pop() == f"  to mend it: {box['mend']}"  # to be copied
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])
    assert [word for word in text.split() if word.startswith("word-")] == words


@pytest.mark.parametrize(
    ("cause", "kind", "mend"),
    [
        (Cause.SESSION_MISSING, Kind.SESSION, "watchdogd run  # the agent has a remedy: start_session"),
        (Cause.CONTAINER_MISSING, Kind.CONTAINER,
         "watchdogd run  # the agent has a remedy: create_container"),
        (Cause.SESSION_MISSING, Kind.EXTERNAL, ""),
        (Cause.WRONG_SERVER, Kind.SESSION, ""),
    ],
)  # fmt: skip
def test_check_names_the_agent_where_that_has_a_remedy(
    tmp_path: Path, cause: Cause, kind: Kind, mend: str
) -> None:
    target = TargetSettings(
        name="box", ssh=SshSettings(host="h"), runtime=RuntimeSettings(kind=kind)
    )
    settings = Settings(agent=AgentSettings(state_dir=str(tmp_path)), targets={"box": target})
    verdict = Verdict(outcome=Outcome.FAIL, cause=cause)
    with click.Context(click.Command("check")):
        result = CheckResult(verdict=verdict, observations=(), state=State.DOWN)
        assert check._mend(target, result, settings) == mend
        if mend:
            lock = InstanceLock(tmp_path)
            asks = "watchdogd status box --why  # the running agent sees to it"
            assert check._mend(target, result, settings) == asks
            lock.close()
        known = CheckResult(
            verdict=replace(verdict, mend="do that"), observations=(), state=State.DOWN
        )
        assert check._mend(target, known, settings) == "do that"


@pytest.fixture
def unreachable(tmp_path: Path, free_port: int) -> list[str]:
    """The command line of a target whose server is not there, up to its verb."""
    file, key = tmp_path / "w.toml", keygen(tmp_path / "key")
    file.write_text(
        f'[agent]\nstate_dir = "{tmp_path}/s"\nlisten = "127.0.0.1:0"\n'
        f'[targets.box]\nruntime.kind = "external"\nforward.local = "127.0.0.1:{free_port}"\n'
        f'ssh = {{ host = "127.0.0.1", port = 1, identity_file = "{key}" }}\n'
    )
    return [sys.executable, "-m", "watchdogd", "--config", str(file)]


def ended(argv: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    env = {name: os.environ[name] for name in ("PATH", "WATCHDOGD_TEST_RUN") if name in os.environ}
    return subprocess.run(argv, env={**env, "HOME": str(home)}, capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip


def test_one_round_ends_with_the_verdict_on_each_target(
    unreachable: list[str], tmp_path: Path
) -> None:
    done = ended([*unreachable, "run", "--once"], tmp_path)
    assert done.returncode == 2, done.stderr
    *log, head, detail, mend = done.stdout.splitlines()
    assert (head, detail[:20]) == ("box is down: sshd_down", "  no connection to 1")
    login = f"ssh -v -i {tmp_path / 'key'} -o IdentitiesOnly=yes -p 1 127.0.0.1 true"
    assert mend.startswith(f"  to mend it: {login}; if the port is wrong, correct ")
    assert all(line.startswith("{") for line in log)


def test_an_ssh_that_outlived_its_agent_is_told_as_a_line_of_the_log(
    unreachable: list[str], tmp_path: Path
) -> None:
    folder = children_folder(tmp_path / "s")
    private_folder(tmp_path / "s")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as left:
        ChildLedger(folder).note(left.pid, "")
        (entry,) = folder.glob("*.json")
        known = json.loads(entry.read_text())
        known["owner"]["started"] = "0"  # it is gone
        entry.write_text(json.dumps(known))
        done = ended([*unreachable, "run", "--once"], tmp_path)
        assert left.wait(5) == -signal.SIGTERM
    assert done.stderr == ""
    (told,) = [
        json.loads(line) for line in done.stdout.splitlines() if f"process {left.pid}," in line
    ]
    assert (told["level"], told["pid"]) == ("warning", left.pid)
    assert "killed" not in told["event"]


def test_check_tells_a_local_port_that_a_stranger_holds(
    unreachable: list[str], tmp_path: Path, free_port: int
) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        done = ended([*unreachable, "check"], tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"127.0.0.1:{free_port} is held by " in done.stdout
    assert f"(pid {os.getpid()})" in done.stdout


def test_a_metrics_port_that_is_taken_names_its_holder_and_key(
    unreachable: list[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        file = Path(unreachable[-1])
        file.write_text(file.read_text().replace("127.0.0.1:0", where))
        done = ended([*unreachable, "run", "--once"], tmp_path)
    assert f"{where} is held by " in done.stdout
    assert f"(pid {os.getpid()}); free it, or set another agent.listen" in done.stdout
