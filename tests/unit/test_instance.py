"""One agent a state folder."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from watchdogd.adapters.instance import (
    AlreadyRunning,
    InstanceLock,
    private_folder,
    running_agent,
)


def test_the_folder_is_made_private_and_the_second_is_refused_with_the_first_ones_pid(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "deep" / "state"
    lock = InstanceLock(folder)
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
            InstanceLock(folder)
    finally:
        lock.close()
    InstanceLock(folder).close()


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from watchdogd.adapters.instance import InstanceLock\n"
        "lock = InstanceLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match=f"process {holder.pid}"):
            InstanceLock(tmp_path)
        holder.kill()
        holder.wait()
    InstanceLock(tmp_path).close()


def test_closing_twice_gives_nobody_elses_descriptor_away(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    lock.close()
    other = InstanceLock(tmp_path)
    try:
        lock.close()
        with pytest.raises(AlreadyRunning):
            InstanceLock(tmp_path)
    finally:
        other.close()


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert stat.S_IMODE(private_folder(tmp_path).stat().st_mode) == 0o700


def test_a_folder_that_others_use_is_not_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "of-somebody-else").touch()
    (tmp_path / "lock").mkdir()  # as in /run
    with pytest.raises(PermissionError, match="holds other files"):
        InstanceLock(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


@pytest.mark.parametrize("inside", ["nothing", "lock"])
def test_an_own_folder_that_is_too_open_is_made_private(tmp_path: Path, inside: str) -> None:
    tmp_path.chmod(0o755)
    if inside == "lock":
        (tmp_path / "lock").touch()
    InstanceLock(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_who_runs_is_told_while_it_runs_and_no_longer(tmp_path: Path) -> None:
    assert running_agent(tmp_path) is None
    lock = InstanceLock(tmp_path)
    assert running_agent(tmp_path) == os.getpid()
    with pytest.raises(AlreadyRunning, match=f"`watchdogd status`.*`kill {os.getpid()}`"):
        InstanceLock(tmp_path)
    lock.close()
    assert running_agent(tmp_path) is None
