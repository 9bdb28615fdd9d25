"""One agent a state folder: a lock that the system lifts by itself when the agent ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from watchdogd.errors import WatchdogdError

LOCK_NAME = "lock"
OWN_NAMES = (LOCK_NAME, "journal.sqlite", "tokens", "run", "events", "children")
"""What an agent keeps in its state folder, and how its names begin."""


class AlreadyRunning(WatchdogdError):
    """Another agent holds this state folder."""


class InstanceLock:
    """Holds the folder's lock from construction to ``close``."""

    def __init__(self, folder: Path) -> None:
        """Make ``folder`` (mode 0700) if need be, and lock it without waiting.

        Raises ``AlreadyRunning`` with the other agent's process id, ``OSError`` if the folder
        cannot be used.
        """
        private_folder(_unshared(folder))
        self._file = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip()
            os.close(self._file)
            if not isinstance(error, BlockingIOError):
                raise
            raise AlreadyRunning(_already(folder, holder)) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Give the folder free. The file stays: removing it would let two agents lock two files."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def running_agent(folder: Path) -> int | None:
    """The process id of the agent that holds the folder now, or ``None``. Leaves no trace."""
    try:
        file = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 32).decode("ascii", "replace").strip()
        return int(holder) if holder.isdecimal() else None
    except OSError:
        return None
    finally:
        os.close(file)
    return None


def _already(folder: Path, holder: str) -> str:
    who, end = "another process", "end it"
    if holder.isdecimal():
        who, end = f"process {holder}", f"`kill {holder}` ends it"
    return (
        f"an agent already runs on the state folder {folder} ({who}): `watchdogd status` shows what "
        f"it knows, {end}; or give this one its own agent.state_dir"
    )


def private_folder(folder: Path) -> Path:
    """Make the folder and give it mode 0700; returns it. Raises ``OSError``.

    For folders that are the agent's by their name; the one that a person chose is ``_unshared``.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def _unshared(folder: Path) -> Path:
    """The folder, unless others may enter it and it holds other things than an agent's.

    Raises ``PermissionError`` then: closing ``/tmp`` or a home to everybody else would break what has
    nothing to do with us.
    """
    shared = folder.exists() and folder.stat().st_mode & 0o077
    if shared and any(not name.startswith(OWN_NAMES) for name in os.listdir(folder)):
        why = "others may enter it and it holds other files; name an empty one or make it 0700"
        raise PermissionError(errno.EPERM, why, str(folder))
    return folder
