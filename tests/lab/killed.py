"""A process that is killed (SIGKILL) at one step of a remedy or a hook, or at one write of its journal."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

from watchdogd.adapters.journal import SqliteJournal

POINTS = (
    "before the intent",
    "within the intent",
    "after the intent",
    "before the act",
    "after the act",
    "before the result",
    "within the result",
    "after the result",
)
"""In the order in which they are passed; "within": after the write, before its commit."""


def run_child(script: str, folder: Path, point: str) -> None:
    """Run it as ``python -c`` with that folder and that point as arguments; it ends as it should, or it raises
    ``AssertionError``."""
    argv = [sys.executable, "-c", script, str(folder), point]
    done = subprocess.run(argv, timeout=60, check=False)
    assert done.returncode == (0 if point == "never" else -signal.SIGKILL)


def acts(folder: Path) -> list[str]:
    """The keys of what was done."""
    file = folder / "acts"
    return file.read_text().split() if file.exists() else []


class Doomed:
    """In the child: dies at that point."""

    def __init__(self, folder: Path, point: str) -> None:
        self.folder = folder
        self.point = point
        self.ended = threading.Event()
        """The result is kept."""

    def die(self, here: str) -> None:
        """If this is the point."""
        if here == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    def act(self, key: str) -> None:
        """Do it, durably."""
        self.die("before the act")
        with (self.folder / "acts").open("a") as done:
            done.write(key + "\n")
            done.flush()
            os.fsync(done.fileno())
        self.die("after the act")

    def journal(self, intend: str, finish: str) -> SqliteJournal:
        """One whose two writes, by the names of its methods, are such points."""
        return _Journal(str(self.folder / "journal.sqlite"), self, intend, finish)


class _Journal(SqliteJournal):
    def __init__(self, path: str, doomed: Doomed, intend: str, finish: str) -> None:
        super().__init__(path)
        self._doomed = doomed
        self._writing = ""
        setattr(self, intend, self._dying(getattr(self, intend), "intent"))
        setattr(self, finish, self._dying(getattr(self, finish), "result"))

    def _dying(self, write: Any, what: str) -> Any:
        def written(*words: object) -> None:
            self._doomed.die(f"before the {what}")
            self._writing = f"within the {what}"
            write(*words)
            self._doomed.die(f"after the {what}")
            if what == "result":
                self._doomed.ended.set()

        return written

    def _open(self) -> sqlite3.Connection:
        return cast("sqlite3.Connection", _Watched(super()._open(), self))

    def committing(self) -> None:
        """A write is whole, and not durable yet."""
        self._doomed.die(self._writing)


class _Watched:
    def __init__(self, real: sqlite3.Connection, owner: _Journal) -> None:
        self._real = real
        self._owner = owner

    def execute(self, text: str, *words: Any) -> sqlite3.Cursor:
        if text == "COMMIT":
            self._owner.committing()
        return self._real.execute(text, *words)
