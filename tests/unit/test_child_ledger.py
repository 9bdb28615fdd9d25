"""Children of a killed agent are ended at the next start; nothing else ever is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from watchdogd.adapters import child_ledger
from watchdogd.adapters.child_ledger import ChildLedger, Identity, identity_of
from watchdogd.adapters.clock import SystemClock

CLOCK = SystemClock()
PARENT = """
import subprocess, sys, time
from dataclasses import replace
from pathlib import Path
from watchdogd.adapters.child_ledger import ChildLedger
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
ChildLedger(Path(sys.argv[1])).note(child.pid, sys.argv[2])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> ChildLedger:
    return ChildLedger(tmp_path / "children")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait(5)


def entry_of(folder: Path, pid: int) -> Path:
    return folder / "children" / f"{pid}.json"


def disown(file: Path) -> None:
    """As if the process that wrote it were gone."""
    entry = json.loads(file.read_text())
    entry["owner"]["started"] = "0"
    file.write_text(json.dumps(entry))


def test_a_killed_parent_s_child_is_ended(ledger: ChildLedger, tmp_path: Path) -> None:
    left = tmp_path / "left.ctl"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "children"), str(left)],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert ledger.end_orphans(CLOCK) == ()  # its owner lives
        parent.send_signal(signal.SIGKILL)
    assert identity_of(pid) is not None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    assert ledger.end_orphans(CLOCK) == (pid,)
    assert identity_of(pid) is None
    assert not left.exists()
    assert not entry_of(tmp_path, pid).exists()
    assert ledger.end_orphans(CLOCK) == ()


def test_one_that_ignores_term_is_killed(ledger: ChildLedger, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as stubborn:  # fmt: skip
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        ledger.note(stubborn.pid, "")
        disown(entry_of(tmp_path, stubborn.pid))
        assert ledger.end_orphans(CLOCK) == (stubborn.pid,)
        assert stubborn.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("field", ["started", "executable", "argv"])
def test_another_process_with_its_id_is_not_touched(
    ledger: ChildLedger, tmp_path: Path, sleeper: subprocess.Popen[bytes], field: str
) -> None:
    ledger.note(sleeper.pid, "")
    file = entry_of(tmp_path, sleeper.pid)
    disown(file)
    entry = json.loads(file.read_text())
    entry["child"][field] += "x"
    file.write_text(json.dumps(entry))
    assert ledger.end_orphans(CLOCK) == ()
    assert sleeper.poll() is None
    assert not file.exists()


def test_a_living_owner_s_child_is_not_touched(
    ledger: ChildLedger, tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    ledger.note(sleeper.pid, "")
    assert ledger.end_orphans(CLOCK) == ()
    assert sleeper.poll() is None
    assert entry_of(tmp_path, sleeper.pid).exists()
    ledger.forget(sleeper.pid)
    assert not entry_of(tmp_path, sleeper.pid).exists()


def test_a_child_whose_program_was_upgraded_since_is_ended(
    ledger: ChildLedger, tmp_path: Path
) -> None:
    program = tmp_path / "sleep"
    shutil.copy("/bin/sleep", program)
    child = subprocess.Popen([program, "60"], start_new_session=True)
    ledger.note(child.pid, str(tmp_path / "none"))
    disown(entry_of(tmp_path, child.pid))
    program.unlink()
    shutil.copy("/bin/sleep", program)
    assert ledger.end_orphans(CLOCK) == (child.pid,)
    assert child.wait(5) == -signal.SIGTERM


def test_rubbish_in_the_folder_ends_nothing(ledger: ChildLedger, tmp_path: Path) -> None:
    folder = tmp_path / "children"
    folder.mkdir()
    own = identity_of(os.getpid())
    assert own is not None
    for name, text in {
        **{"1": "", "2": "[]", "3": '{"child": {}}', "4": "\x00"},
        "5": "[" * 200_000,
    }.items():
        (folder / f"{name}.json").write_text(text)
    assert ledger.end_orphans(CLOCK) == ()
    assert list(folder.iterdir()) == []


def test_a_file_that_is_no_socket_stays(
    ledger: ChildLedger, tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    ledger.note(sleeper.pid, str(precious))
    disown(entry_of(tmp_path, sleeper.pid))
    ledger.end_orphans(CLOCK)
    assert precious.read_text() == "data"


def test_a_child_is_noted_with_its_arguments_though_the_kernel_shows_them_late(
    ledger: ChildLedger,
    sleeper: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = []

    def late(pid: int) -> Identity | None:
        found = identity_of(pid)
        looks.append(pid)
        assert found is not None
        early = pid == sleeper.pid and looks.count(pid) < 3
        return replace(found, argv="") if early else found

    monkeypatch.setattr(child_ledger, "identity_of", late)
    ledger.note(sleeper.pid, "")
    assert json.loads(entry_of(tmp_path, sleeper.pid).read_text())["child"]["argv"]
