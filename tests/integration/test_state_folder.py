"""A state folder that cannot be used: the cause and the mend, before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.needs import programs, root

pytestmark = pytest.mark.real

FULL = "mount -t tmpfs -o size=32k none {0} && ! cat /dev/zero >{0}/fill"
READ_ONLY = "mount -t tmpfs -o ro none {0}"


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (FULL, ("No space left on device", "try: free some space, df -h")),
        (READ_ONLY, ("Read-only file system", "try: set agent.state_dir")),
    ],
    ids=["full", "read-only"],
)
def test_it_says_why_and_what_to_do(tmp_path: Path, how: str, told: tuple[str, str]) -> None:
    programs("unshare", "mount")
    root("a file system of its own")
    disk, config = tmp_path / "disk", tmp_path / "config.toml"
    disk.mkdir()
    config.write_text(
        f'[agent]\nstate_dir = "{disk}/state"\nlisten = "127.0.0.1:1"\n'
        '[targets.a.ssh]\nhost = "127.0.0.1"\n[targets.a.runtime]\nkind = "external"\n'
    )
    argv = [sys.executable, "-m", "watchdogd", "--config", str(config), "run"]
    script = f'{how.format(disk)} 2>/dev/null && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *argv],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 75
    for text in told:
        assert text in done.stderr
    assert str(disk) in done.stderr
    assert "Traceback" not in done.stderr
