"""The script of the probe ``host`` under real shells, on this machine as the server."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.lab.local_link import until
from tests.lab.shells import SHELLS, run_scripts
from watchdogd.core.sight import HostSight
from watchdogd.probes.host import SCRIPTS, parse_facts


def run_script(
    shell: Sequence[str], container: str, pid: str, env: Mapping[str, str] | None = None
) -> HostSight:
    return parse_facts(run_scripts(SCRIPTS, shell, (container, pid), env), 0.0)


@pytest.fixture
def family() -> Iterator[dict[str, int]]:
    """A process with a child that uses CPU and one with odd arguments."""
    code = "import os\nwhile True: os.getppid()"
    odd = f"exec -a {shlex.quote('a) R 1 2' + chr(10) + 'boot_id=evil' + chr(9) + 'x')} sleep 300"
    child = subprocess.Popen(
        ["bash", "-c", f"{shlex.join([sys.executable, '-c', code])} & ({odd}) & wait"],
        start_new_session=True,
    )
    try:
        yield {"root": child.pid}
    finally:
        os.killpg(child.pid, 9)
        child.wait(10)


@pytest.mark.parametrize("shell", SHELLS)
class TestScript:
    def test_the_host(self, shell: list[str]) -> None:
        found = run_script(shell, "-", "-")
        assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert found.uptime_seconds is not None
        assert found.load_per_core is not None
        assert found.disk_free_bytes is not None
        assert found.disk_free_bytes <= shutil.disk_usage("/").free + 2**30
        assert found.inodes_free_ratio is None or 0 <= found.inodes_free_ratio <= 1
        assert found.processes is None

    def test_the_descendants_of_a_pane(self, shell: list[str], family: dict[str, int]) -> None:
        root = str(family["root"])
        until(lambda: len(run_script(shell, "-", root).processes or ()) >= 3)

        def used() -> dict[tuple[int, int], float]:
            found = run_script(shell, "-", root)
            assert found.boot_id != "evil"
            assert found.processes is not None
            return {(one.pid, one.started): one.cpu_seconds for one in found.processes}

        before = used()
        assert family["root"] in {pid for pid, _ in before}
        assert os.getpid() not in {pid for pid, _ in before}
        until(lambda: any(used()[who] > seconds + 0.05 for who, seconds in before.items()))
        still = used()
        assert any(still[who] == seconds for who, seconds in before.items())

    def test_the_processes_of_a_container_by_their_cgroup(
        self, shell: list[str], family: dict[str, int], own_cgroup: str
    ) -> None:
        found = run_script(shell, own_cgroup, "-")
        assert found.processes is not None
        pids = {one.pid for one in found.processes}
        assert family["root"] in pids
        assert os.getpid() not in pids

    def test_a_container_that_no_process_is_seen_of_is_unknown_not_idle(
        self, shell: list[str]
    ) -> None:
        assert run_script(shell, "f" * 64, "-").processes is None

    def test_a_pane_that_ended_is_unknown(self, shell: list[str]) -> None:
        assert run_script(shell, "-", "4194999").processes is None

    def test_what_is_not_there_or_fails_leaves_the_rest(
        self, shell: list[str], tmp_path: Path
    ) -> None:
        for name in ("df", "nproc", "timeout"):
            (tmp_path / name).write_text("#!/bin/sh\necho nonsense; exit 1\n")
            (tmp_path / name).chmod(0o755)
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        found = run_script(["/bin/sh"] if shell[0] == "busybox" else shell, "-", "-", env)
        assert found.boot_id is not None
        assert found.disk_free_bytes is None
        assert found.load_per_core is not None  # counted another way


@pytest.fixture
def own_cgroup(family: dict[str, int]) -> Iterator[str]:
    """A cgroup named as a container engine names them, with the family's root in it."""
    name = "ab" * 32
    base = next(
        (p for p in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if p.is_dir()), None
    )
    if base is None or os.geteuid() != 0:
        pytest.skip("making a cgroup needs root and a cgroup file system")
    folder = base / f"docker-{name}.scope"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error.strerror}")
    try:
        (folder / "cgroup.procs").write_text(str(family["root"]))
        yield name
    finally:
        for line in (folder / "cgroup.procs").read_text().split():
            (base / "cgroup.procs").write_text(line)
        folder.rmdir()
