"""What our scripts start on the server and does not end: bounded, and said."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.local_link import until
from tests.lab.shells import SHELLS, program, run_scripts
from tests.ports.test_guard_script import a_scene
from watchdogd.core.sight import GpuTool
from watchdogd.ports import GuardResult
from watchdogd.probes.gpu import SCRIPTS as GPU
from watchdogd.probes.gpu import parse as parse_gpu
from watchdogd.probes.training import SCRIPTS as TRAINING
from watchdogd.probes.training import parse as parse_training

SMI = "#!/bin/sh\ncase $* in *compute-apps*) ;; *) echo '0, GPU-1234, 97, 1, 2' ;; esac\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_an_act_of_the_guard_that_does_not_end_is_late(shell: list[str], tmp_path: Path) -> None:
    for scene in a_scene(tmp_path, shell):
        late = scene.act(does="exec sleep 60", seconds=41)
        assert late.result is GuardResult.LATE
        assert scene.entries()[1]["result"] == "late"


# ---------------------------------------------------------------- nvidia-smi


class Gpus:
    """A server whose ``nvidia-smi`` is the test's."""

    def __init__(self, folder: Path, shell: Sequence[str], text: str) -> None:
        self.folder, self.shell = folder, shell
        self.env = {"PATH": program(folder / "bin", "nvidia-smi", text), "HOME": str(folder)}

    def lines(self, target: str = "a100") -> list[str]:
        return run_scripts(GPU, self.shell, (target,), self.env)

    def tool(self, target: str = "a100") -> GpuTool:
        return parse_gpu(self.lines(target), 0.0).tool

    @contextmanager
    def flying(self, seconds: int) -> Iterator[None]:
        """Somebody's look for the target ``a100`` is under way for so long."""
        with subprocess.Popen(["sleep", str(seconds)]) as process:
            began = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
            self.left().write_text(f"{process.pid} {began}\n")
            yield
            process.kill()

    def left(self) -> Path:
        """What tells of a look that is under way."""
        (self.folder / ".watchdogd").mkdir(exist_ok=True)
        return self.folder / ".watchdogd" / f"nvidia-smi.a100.{os.uname().nodename}.pid"


@pytest.mark.parametrize("shell", SHELLS)
def test_nvidia_smi_that_hangs_is_ended_and_said(shell: list[str], tmp_path: Path) -> None:
    gpus = Gpus(tmp_path, shell, "#!/bin/sh\nexec sleep 300\n")
    assert gpus.tool() is GpuTool.FAILED


@pytest.mark.parametrize("shell", SHELLS)
def test_nvidia_smi_that_no_signal_ends_is_left_behind_once(
    shell: list[str], tmp_path: Path
) -> None:
    """It hangs in the kernel: it is there as before, and none is started beside it."""
    count = tmp_path / "count"
    gpus = Gpus(tmp_path, shell, SMI.replace("\n", f"\necho x >>{count}\n", 1))
    with gpus.flying(300):
        for _ in range(3):
            assert [line for line in gpus.lines() if line] == ["tool=busy"]
        assert not count.exists()
        assert gpus.tool("another") is GpuTool.OK
    assert gpus.tool() is GpuTool.OK


@pytest.mark.parametrize("shell", SHELLS)
def test_another_agents_nvidia_smi_is_waited_for(shell: list[str], tmp_path: Path) -> None:
    gpus = Gpus(tmp_path, shell, SMI)
    with gpus.flying(1):
        assert gpus.tool() is GpuTool.OK
    assert not gpus.left().exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_later_process_of_the_same_number_is_no_nvidia_smi(
    shell: list[str], tmp_path: Path
) -> None:
    gpus = Gpus(tmp_path, shell, SMI)
    for told in (f"{os.getpid()} 1", f"{os.getpid()}", "x y", ""):
        gpus.left().write_text(told)
        assert gpus.tool() is GpuTool.OK


# ---------------------------------------------------------------- the signs of training


class Disk:
    """A server with a file system on which nobody who looks comes back until it ``answers`` again."""

    def __init__(self, folder: Path, shell: Sequence[str]) -> None:
        self.shell, self.readers = shell, folder / "readers"
        for name in ("hung", "well"):
            (folder / name).mkdir()
            (folder / name / "log").write_text("x" * 7)
        self.folder, self.pipe = folder, folder / "pipe"
        os.mkfifo(self.pipe)
        stat = shutil.which("stat")
        text = f"""#!/bin/sh
case $* in *{folder}/hung/*) echo $$ >>{self.readers}; read -r _ <{self.pipe} ;; esac
exec {stat} "$@"
"""
        path = program(folder / "bin", "stat", text)
        self.env = {"PATH": path, "HOME": str(folder)}

    def look(self, where: str = "hung", container: str = "-") -> list[str]:
        """What the script says of a log there."""
        arguments = ("a100", container, "", "", f"{self.folder}/{where}/log")
        return [line for line in run_scripts(TRAINING, self.shell, arguments, self.env) if line]

    def stuck(self) -> list[int]:
        """Who looked at the disk that hangs, and still does."""
        return [pid for pid in map(int, self.readers.read_text().split()) if alive(pid)]

    def answers(self) -> None:
        """Who hangs comes back."""
        stuck = self.stuck()
        with self.pipe.open("w") as end:
            end.write("\n" * len(stuck))
        until(lambda: not any(alive(pid) for pid in stuck))
        self.pipe.unlink()
        self.pipe.touch()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# busybox has a `stat` inside, which hangs on real disks only: see the one after this
@pytest.mark.parametrize("shell", SHELLS[:2])
def test_ten_looks_at_a_disk_that_hangs_leave_one_process(shell: list[str], tmp_path: Path) -> None:
    """Each one that stays behind would keep one of the sessions that sshd allows on a connection."""
    disk = Disk(tmp_path, shell)
    try:
        assert disk.look() == ["unread=late"]
        for _ in range(9):
            assert disk.look() == ["unread=held"]
        assert len(disk.readers.read_text().split()) == len(disk.stuck()) == 1
        assert parse_training(disk.look("well"), 0.0).log_bytes == 7
    finally:
        disk.answers()
    until(lambda: parse_training(disk.look(), 0.0).log_bytes == 7)
    assert not list((tmp_path / ".watchdogd").iterdir())


@pytest.mark.parametrize("shell", SHELLS)
def test_nor_do_ten_in_the_container(shell: list[str], tmp_path: Path) -> None:
    """There, too, what hangs cannot be ended; to end who waits for it would only hide it."""
    disk = Disk(tmp_path, shell)
    # on the host there is no such path, in the container there is
    docker = f'#!/bin/sh\nshift 2\nln -sfn {tmp_path}/hung {tmp_path}/inside\nexec "$@"\n'
    stat = (tmp_path / "bin" / "stat").read_text().replace("/hung/", "/inside/")
    program(tmp_path / "bin", "docker", docker)
    program(tmp_path / "bin", "stat", stat)

    def look() -> list[str]:
        (tmp_path / "inside").unlink(missing_ok=True)
        return disk.look("inside", "c" * 64)

    try:
        assert look() == ["unread=late"]
        for _ in range(9):
            assert look() == ["unread=held"]
        assert len(disk.readers.read_text().split()) == len(disk.stuck()) == 1
    finally:
        disk.answers()
    until(lambda: parse_training(look(), 0.0).log_bytes == 7)
