"""The scripts of the probes ``gpu`` and ``training`` under real shells, on a server of the test's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.shells import SHELLS, program, run_scripts
from watchdogd.core.sight import GpuProcess, GpuSight, GpuTool
from watchdogd.probes.gpu import SCRIPTS as GPU
from watchdogd.probes.gpu import parse as parse_gpu
from watchdogd.probes.training import SCRIPTS as TRAINING
from watchdogd.probes.training import parse as parse_training

UUID = "GPU-5f4b1c9e-0000-1111-2222-333344445555"
SMI = f"""#!/bin/sh
case $* in
*compute-apps*) printf '%s\\n' '{UUID}, 4242' ;;
*query-gpu*) printf '%s\\n' '0, {UUID}, 97, 70123, 81559' ;;
*) exit 1 ;;
esac
"""


def gpus(shell: Sequence[str], path: str, home: Path) -> GpuSight:
    env = {"PATH": path, "HOME": str(home)}
    return parse_gpu(run_scripts(GPU, shell, ("a100",), env), 0.0)


def signs(shell: Sequence[str], arguments: Sequence[str], path: str, home: Path) -> list[str]:
    env = {"PATH": path, "HOME": str(home)}
    return run_scripts(TRAINING, shell, ("a100", *arguments), env)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_gpus(shell: list[str], tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "nvidia-smi", SMI)
    sight = gpus(shell, path, tmp_path)
    assert sight.tool is GpuTool.OK
    assert [one.utilization for one in sight.devices] == [0.97]
    assert sight.processes == (GpuProcess(gpu=UUID, pid=4242),)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("body", "tool"),
    [
        ("echo 'Failed to initialize NVML: Unknown Error'; exit 255", GpuTool.FAILED),
        (
            "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
            GpuTool.MISMATCH,
        ),
        ("case $* in *apps*) exit 9 ;; esac", GpuTool.FAILED),
    ],
    ids=["nvml", "mismatch", "only-half"],
)
def test_an_error_of_the_tool(shell: list[str], body: str, tool: GpuTool, tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "nvidia-smi", f"#!/bin/sh\n{body}\n")
    assert gpus(shell, path, tmp_path).tool is tool


def test_without_the_tool(tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("sh", "mkdir", "cat"):
        (bare / name).symlink_to(shutil.which(name) or "/bin/sh")
    sight = gpus(["/bin/sh"], str(bare), tmp_path)
    assert sight.tool is GpuTool.NONE


# ---------------------------------------------------------------- the signs of training


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a run"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_the_signs(shell: list[str], folder: Path, tmp_path: Path) -> None:
    (folder / "progress.json").write_text('{"step": 7,\n "total": 70}')
    (folder / "log").write_text("x" * 100)
    for name, at in (("old.ckpt", 1000), ("new.ckpt", 2000)):
        (folder / name).touch()
        os.utime(folder / name, (at, at))
    paths = (f"{folder}/progress.json", f"{folder}/*.ckpt", f"{folder}/log")
    path = os.environ["PATH"]
    found = parse_training(signs(shell, ("-", *paths), path, tmp_path), 0.0)
    assert (found.step, found.total, found.log_bytes) == (7.0, 70.0, 100)
    assert found.progress_age is not None
    assert 0 <= found.progress_age < 60
    assert found.checkpoint_mark.startswith("2000:")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_huge_one_and_hostile_names_harm_nobody(
    shell: list[str], folder: Path, tmp_path: Path
) -> None:
    huge = folder / "huge"
    with huge.open("wb") as file:
        file.truncate(50 * 1024**3)
    (folder / "$(touch evil)\n.ckpt").touch()
    paths = (str(huge), f"{folder}/*.ckpt", f"{folder}/none; touch evil")
    found = parse_training(signs(shell, ("-", *paths), os.environ["PATH"], tmp_path), 0.0)
    assert found.progress_mark
    assert found.checkpoint_mark
    assert found.log_bytes is None
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_not_on_the_host_is_looked_for_in_the_container(
    shell: list[str], folder: Path, tmp_path: Path
) -> None:
    (folder / "progress.json").write_text('{"step": 9}')
    # a `docker` that runs the command here, where the folder has another name
    text = f"""#!/bin/sh
[ "$1" = exec ] && [ "$2" = {"c" * 64} ] || exit 1
shift 2
ln -sfn '{folder}' '{tmp_path}/inside'
exec "$@"
"""
    path = program(tmp_path / "bin", "docker", text)
    paths = (f"{tmp_path}/inside/progress.json", "", "")
    lines = signs(shell, ("c" * 64, *paths), path, tmp_path)
    assert parse_training(lines, 0.0).step == 9.0
    path = program(tmp_path / "bin", "docker", "#!/bin/sh\nexit 1\n")
    lines = signs(shell, ("c" * 64, f"{folder}/none", "", ""), path, tmp_path)
    assert "unread=yes" in lines
