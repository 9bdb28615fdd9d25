"""One agent a state folder: a lock that the system lifts by itself when the agent ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from watchdogd.errors import WatchdogdError

LOCK_NAME = "lock"


class AlreadyRunning(WatchdogdError):
    """Another agent holds this state folder."""


class InstanceLock:
    """Holds the folder's lock from construction to ``close``."""

    def __init__(self, folder: Path) -> None:
        """Make ``folder`` (mode 0700) if need be, and lock it without waiting.

        Raises ``AlreadyRunning`` with the other agent's process id, ``OSError`` if the folder
        cannot be used.
        """
        private_folder(folder)
        self._file = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip()
            os.close(self._file)
            if not isinstance(error, BlockingIOError):
                raise
            who = f"process {holder}" if holder.isdecimal() else "another process"
            raise AlreadyRunning(
                f"an agent already runs on the state folder {folder} ({who}); "
                "end it first, or give this one its own agent.state_dir"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Give the folder free. The file stays: removing it would let two agents lock two files."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def private_folder(folder: Path) -> Path:
    """Make the folder and give it mode 0700; returns it. Raises ``OSError``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder
