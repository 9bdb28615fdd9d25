"""The children that outlive a killed agent: written down while they live, ended at the next start.

An entry names a process by its id, start time, executable and arguments, and its owner in the same way.
Only a process that is all of that still, and whose owner is gone, is ended; nothing else is touched.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from watchdogd.adapters.control_path import remove_control
from watchdogd.adapters.instance import private_folder
from watchdogd.ports import Clock, Deadline

_TERM_SECONDS = 2.0
_KILL_SECONDS = 1.0
_LOOK_SECONDS = 0.02
_BEGIN_LOOKS = 50
_PS_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One process, and no later one with its id."""

    pid: int
    started: str
    executable: str
    argv: str


class ChildLedger:
    """Of one agent. The folder is made with the first entry."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, pid: int, socket: str) -> None:
        """A child, and the socket it leaves behind if it is killed. Raises ``OSError``."""
        child, owner = _begun(pid), identity_of(os.getpid())
        if child is None or owner is None:
            return  # it ended already
        entry = {"child": asdict(child), "owner": asdict(owner), "socket": socket}
        private_folder(self._folder)
        new = self._folder / f"{pid}.new"
        new.write_text(json.dumps(entry), encoding="utf-8")
        new.replace(self._file(pid))

    def forget(self, pid: int) -> None:
        """It ended."""
        with suppress(OSError):
            self._file(pid).unlink(missing_ok=True)

    def end_orphans(self, clock: Clock) -> tuple[int, ...]:
        """End the children of agents that were killed; returns their ids. Never raises ``OSError``."""
        ended = []
        for file in sorted(self._folder.glob("*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                entry = json.loads(file.read_text(encoding="utf-8"))
                child, owner = Identity(**entry["child"]), Identity(**entry["owner"])
                if identity_of(owner.pid) == owner:
                    continue
                if _end(child, clock):
                    ended.append(child.pid)
                remove_control(str(entry["socket"]))
            with suppress(OSError):
                file.unlink(missing_ok=True)
        return tuple(ended)

    def _file(self, pid: int) -> Path:
        return self._folder / f"{pid}.json"


def _begun(pid: int) -> Identity | None:
    """Of a child just made. Whoever made it is told of its ``exec`` a moment before the kernel shows its
    arguments: noted without them it would never be recognised."""
    for _ in range(_BEGIN_LOOKS):
        found = identity_of(pid)
        if found is None or found.argv:
            return found
        time.sleep(_LOOK_SECONDS)
    return found


def identity_of(pid: int) -> Identity | None:
    """``None`` if there is no such process, or it is another user's, or a zombie."""
    return _from_proc(pid) if sys.platform == "linux" else _from_ps(pid)


def _from_proc(pid: int) -> Identity | None:
    folder = Path("/proc") / str(pid)
    try:
        stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        # Its file may have been replaced since by an upgrade; the process is the same.
        executable = os.readlink(folder / "exe").removesuffix(" (deleted)")
        argv = (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    started = stat.rpartition(")")[2].split()[19]
    return Identity(pid=pid, started=started, executable=executable, argv=argv)


def _from_ps(pid: int) -> Identity | None:
    def ask(field: str) -> str:
        argv = ["ps", "-ww", "-p", str(pid), "-o", f"{field}="]
        done = subprocess.run(argv, capture_output=True, timeout=_PS_SECONDS, check=False)
        return done.stdout.decode(errors="replace").strip()

    with suppress(OSError, subprocess.TimeoutExpired):
        started, executable, argv = ask("lstart"), ask("comm"), ask("args")
        if started and not ask("stat").startswith("Z"):
            return Identity(pid=pid, started=started, executable=executable, argv=argv)
    return None


def _end(child: Identity, clock: Clock) -> bool:
    """TERM, then KILL, for its whole process group, which it leads. False if it is gone."""
    if identity_of(child.pid) != child or child.pid == os.getpid():
        return False
    for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        deadline = Deadline.after(clock, seconds)
        if identity_of(child.pid) == child:
            _signal(child.pid, number)
        while identity_of(child.pid) == child and not deadline.passed():
            clock.wait(_LOOK_SECONDS)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(OSError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
