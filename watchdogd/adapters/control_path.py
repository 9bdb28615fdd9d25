"""Where an ``ssh`` makes its control socket: short, plain, in a folder that nobody else may enter."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from watchdogd.adapters.instance import private_folder

_PATH_LIMIT = 86
"""Bytes: a unix socket's path has 104 (macOS) with its zero, and ssh first makes one with 17 more."""
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")
"""ssh expands some other signs in the name."""
_OWN = "watchdogd-ssh-"


def new_control_path(folder: Path) -> str:
    """A name that nothing has yet, in ``folder``, or in one of its own if that does not suit ssh.

    Raises ``OSError`` if there is no such folder to be had.
    """
    path = str(folder / f"{secrets.token_hex(4)}.ctl")
    if len(os.fsencode(path)) <= _PATH_LIMIT and _PLAIN.fullmatch(path):
        private_folder(folder)
        return path
    return str(Path(tempfile.mkdtemp(prefix=_OWN, dir="/tmp")) / "ctl")  # it is 0700


def remove_control(path: str) -> None:
    """The socket of an ssh that ended, if it is there, and the folder made for it."""
    file = Path(path)
    with suppress(OSError):
        if file.is_socket():
            file.unlink()
        if file.parent.name.startswith(_OWN):
            file.parent.rmdir()
