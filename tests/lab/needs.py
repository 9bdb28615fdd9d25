"""What a test needs of the machine: named in its skip where it is missing, never guessed."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"))


def programs(*names: str) -> None:
    """Skip unless all these programs are installed."""
    missing = [name for name in names if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def root(why: str) -> None:
    """Skip unless root; ``why`` says for what."""
    if os.geteuid() != 0:
        pytest.skip(f"{why} needs root")


def free_port() -> int:
    """A loopback TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
