"""What our scripts start on the server and does not end: bounded, and said."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.test_guard_script import a_scene
from tests.unit.test_work_probes import SHELLS, program, run_script
from watchdogd.core.sight import GpuTool
from watchdogd.ports import GuardResult
from watchdogd.probes.gpu import parse


@contextmanager
def left_behind(folder: Path) -> Iterator[int]:
    """A process whose name is ``nvidia-smi``; its number."""
    copy = folder / "hanging" / "nvidia-smi"
    copy.parent.mkdir()
    shutil.copy(shutil.which("sleep") or "/bin/sleep", copy)
    process = subprocess.Popen([str(copy), "300"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("shell", SHELLS)
def test_an_act_of_the_guard_that_does_not_end_is_late(shell: list[str], tmp_path: Path) -> None:
    for scene in a_scene(tmp_path, shell):
        late = scene.act(does="exec sleep 60", seconds=41)
        assert late.result is GuardResult.LATE
        assert scene.entries()[1]["result"] == "late"


def test_nvidia_smi_that_hangs_is_left_behind_once(tmp_path: Path) -> None:
    """It hangs in the kernel, where no signal reaches it."""
    count = tmp_path / "count"
    text = f"#!/bin/sh\necho x >>{count}\nexec sleep 300\n"
    path = program(tmp_path / "bin", "nvidia-smi", text)
    found = parse(run_script("gpu.sh", ["sh"], (), path, tmp_path), 0.0)
    assert found.tool is GpuTool.FAILED
    with left_behind(tmp_path) as pid:
        (tmp_path / ".watchdogd" / "nvidia-smi.pid").write_text(f"{pid}\n")
        found = parse(run_script("gpu.sh", ["sh"], (), path, tmp_path), 0.0)
    assert found.tool is GpuTool.FAILED
    assert count.read_text() == "x\n"
