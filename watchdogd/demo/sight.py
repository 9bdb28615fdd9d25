"""The demo's own eyes: processes, HTTP, waiting.

Nothing here is shared with the agent, so what it sees is a second opinion and not the agent's word.
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from watchdogd.ports import Clock, Deadline

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 30_000)
PORT_TRIES = 100
_STARTED = 19
"""Place of the start time in ``/proc/PID/stat``, counted after the program's name."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process. ``pid`` and ``started`` together are its identity; a pid alone is used again."""

    pid: int
    started: str
    state: str
    """One letter, as ``ps`` gives it: ``T`` stopped, ``Z`` ended and not yet reaped."""

    def same_as(self, other: Process | None) -> bool:
        """True if ``other`` is this very process, now or at another time."""
        return other is not None and (self.pid, self.started) == (other.pid, other.started)


def look(pid: int) -> Process | None:
    """The living process with that pid; ``None`` if there is none, or only its zombie."""
    seen = _from_proc(pid) if Path("/proc/self/stat").exists() else _from_ps(pid)
    return None if seen is None or seen.state == "Z" else seen


def stopped(pid: int) -> bool:
    """True if every thread of it stands still. A SIGSTOP reaches one after the other."""
    tasks = tuple(Path(f"/proc/{pid}/task").glob("*/stat"))
    seen = [_from_stat(pid, task) for task in tasks] or [look(pid)]
    return all(one is not None and one.state == "T" for one in seen)


def _from_proc(pid: int) -> Process | None:
    return _from_stat(pid, Path(f"/proc/{pid}/stat"))


def _from_stat(pid: int, file: Path) -> Process | None:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return Process(pid, fields[_STARTED], fields[0])


def _from_ps(pid: int) -> Process | None:
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    )
    state, _, started = done.stdout.strip().partition(" ")
    return Process(pid, started.strip(), state[0]) if state else None


def alive(process: Process) -> bool:
    """True while that very process lives."""
    return process.same_as(look(process.pid))


def send(process: Process, number: signal.Signals, *, group: bool = False) -> bool:
    """Signals that very process, or the group that it leads; False if it is gone."""
    if not alive(process):
        return False
    with suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(process.pid, number)
        return True
    return False


def end(process: Process, clock: Clock, *, seconds: float = 5.0, group: bool = False) -> bool:
    """SIGKILL, also if it is stopped; True once it is gone, False if it is not within ``seconds``."""
    send(process, signal.SIGKILL, group=group)
    return until(clock, seconds, lambda: not alive(process))


def finish(child: subprocess.Popen[bytes], *, gentle: float = 0.0) -> None:
    """Ends and reaps a child of ours: SIGTERM with ``gentle`` seconds to obey, then SIGKILL."""
    if child.poll() is not None:
        return
    if gentle > 0:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(gentle)
            return
    child.kill()
    child.wait(5)


def until(clock: Clock, seconds: float, condition: Callable[[], bool], step: float = 0.02) -> bool:
    """Waits until ``condition`` holds, asked every ``step`` seconds; False after ``seconds``."""
    deadline = Deadline.after(clock, seconds)
    while not condition():
        if deadline.passed():
            return False
        clock.wait(min(step, deadline.remaining()))
    return True


def free_port() -> int:
    """A loopback port that nobody holds.

    Below those that systems pick for outgoing connections (from 32768 on Linux, 49152 on macOS), so
    that none of these takes it while nobody listens there. Raises ``OSError`` if none is found.
    """
    for _ in range(PORT_TRIES):
        port = secrets.choice(PORTS)
        with socket.socket() as asked, suppress(OSError):
            asked.bind((LOOPBACK, port))
            return port
    raise OSError(f"no free port among {PORTS.start} to {PORTS.stop - 1}")


def answers(port: int, token: str, timeout: float) -> bool:
    """True if a Jupyter behind that loopback port answers ``/api/status`` to the token.

    ``timeout`` bounds each wait on the socket, in seconds.
    """
    asking = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout)
    try:
        asking.request("GET", "/api/status", headers={"Authorization": f"token {token}"})
        answer = asking.getresponse()
        return answer.status == http.client.OK and b'"started"' in answer.read(65_536)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()
