"""Our scripts as they run on a server: under each shell that may be its ``sh``, with programs of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from watchdogd.scripts import framed, text_of

SHELLS = [
    pytest.param(
        list(shell),
        id=shell[0],
        marks=pytest.mark.skipif(not found, reason=f"not installed: {shell[0]}"),
    )
    for shell in (("dash",), ("bash",), ("busybox", "sh"))
    for found in [shutil.which(shell[0])]
]


def run_scripts(
    names: Sequence[str],
    shell: Sequence[str],
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
) -> list[str]:
    """The lines that they print between the marks. Waits, as sshd does, for all that holds their output."""
    done = subprocess.run(
        [*shell, "-s", "--", "MARK", *arguments],
        input=text_of(*names),
        capture_output=True,
        timeout=60,
        check=True,
        env={**os.environ, **(env or {})},
    )
    assert done.stderr == b""
    lines = framed(done.stdout.decode("utf-8", "replace"), "MARK")
    assert lines is not None
    return lines


def program(folder: Path, name: str, text: str) -> str:
    """A program of that name, first on the PATH that is returned."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text)
    file.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
