"""The command line where its output has no room, and where there is nothing to wait for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from watchdogd.cli import status


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
