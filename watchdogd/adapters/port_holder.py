"""Who listens on a local TCP port: named for a person, never touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"
UNKNOWN = "another process"


def listening_inodes(table: str, port: int) -> frozenset[str]:
    """Socket inodes that listen on ``port``, in the text of ``/proc/net/tcp`` or ``tcp6``."""
    wanted = f":{port:04X}"
    rows = (line.split() for line in table.splitlines()[1:])
    return frozenset(
        row[9] for row in rows if len(row) > 9 and row[1].endswith(wanted) and row[3] == _LISTENING
    )


def holder_of(port: int) -> str:
    """``PROGRAM (pid N)`` for each holder, or "another process" where the system does not tell."""
    inodes: frozenset[str] = frozenset()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            inodes |= listening_inodes((_PROC / "net" / name).read_text(), port)
    links = {f"socket:[{inode}]" for inode in inodes}
    found = [f"{_program(pid)} (pid {pid})" for pid in _pids() if _holds(pid, links)]
    return ", ".join(found) or UNKNOWN


def _pids() -> Iterator[int]:
    with suppress(OSError):
        for name in os.listdir(_PROC):
            if name.isdigit():
                yield int(name)


def _holds(pid: int, links: set[str]) -> bool:
    folder = _PROC / str(pid) / "fd"
    with suppress(OSError):
        return any(_link(folder / name) in links for name in os.listdir(folder))
    return False


def _link(file: Path) -> str:
    with suppress(OSError):
        return os.readlink(file)
    return ""


def _program(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return "a process"
