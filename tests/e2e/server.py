"""The server's side of an end-to-end test, private from top to bottom, and what was really done to it.

Nothing here asks the agent: engine events, sessions and logins are the witnesses that its own word
is compared with.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.closing import Closing
from tests.lab.docker import Dockerd
from tests.lab.sshd import Sshd, free_port

ACTS = frozenset(
    [
        "create",
        "start",
        "restart",
        "kill",
        "die",
        "stop",
        "oom",
        "destroy",
        "pause",
        "unpause",
        "rename",
        "update",
    ]
)
"""The engine's events that change a container. What merely looks (exec, top, logs) is not told."""
SESSION = "colab_session"
WAIT = 10.0


@dataclass(frozen=True, slots=True)
class Life:
    """One run of one container."""

    id: str
    started: str
    pid: int
    """Of its process 1, on this machine."""
    restarts: int
    """How often the engine itself started it again."""


class Server(Closing):
    """sshd, tmux and home folder of their own below one folder; the engine is the caller's.

    ``environment`` is laid over what a login gets. Use as a context manager or call ``close``: it ends
    every process that carries the folder's name, and complains if there was one.
    """

    def __init__(
        self,
        engine: Dockerd | None,
        *,
        environment: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.address = address
        """Where sshd listens."""
        self.folder = Path(tempfile.mkdtemp(prefix="wd-srv-", dir="/tmp"))
        self.engine = engine
        self.home = self.folder / "home"
        self.tmux_folder = self.folder / "t"
        for made in (self.home, self.tmux_folder):
            made.mkdir(mode=0o700)
        login = {
            "HOME": str(self.home),
            "TMUX_TMPDIR": str(self.tmux_folder),
            **(engine.env if engine is not None else {}),
            **(environment or {}),
        }
        words = " ".join(f"{name}={value}" for name, value in login.items())
        try:
            port = free_port()
            options = {"SetEnv": words, "ListenAddress": f"{address}:{port}"}
            self.sshd = Sshd(options, port=port)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    # ------------------------------------------------------------ logins

    def known_as(self, key: Path | None = None) -> str:
        """The known_hosts line of this server, or of ``key`` in its place."""
        return self.sshd.known_hosts_line(key=key).replace("127.0.0.1", self.address)

    def dials(self, since: int = 0) -> int:
        """TCP connections that reached sshd, from that place in its log on."""
        return self.sshd.log_text()[since:].count("Connection from ")

    def logins(self, since: int = 0) -> int:
        """Logins that it let in, from that place in its log on."""
        return self.sshd.log_text()[since:].count("Accepted publickey")

    # ------------------------------------------------------------ the container

    @property
    def docker(self) -> Dockerd:
        """The engine; a server without one is not asked for it."""
        assert self.engine is not None
        return self.engine

    def life(self, container: str) -> Life:
        """The container's present (or last) run."""
        form = "{{.Id}} {{.State.StartedAt}} {{.State.Pid}} {{.RestartCount}}"
        ident, started, pid, restarts = self.docker.out("inspect", "-f", form, container).split()
        return Life(ident, started, int(pid), int(restarts))

    def containers(self) -> list[str]:
        """The ids of all containers, in any state."""
        return self.docker.out("ps", "-aq", "--no-trunc").split()

    def acts(self, since: float, until: float) -> list[str]:
        """What was done to containers between two wall times, in order: ``start``, ``kill 15``, ..."""
        return [act for _, act in self.timed_acts(since, until)]

    def timed_acts(self, since: float, until: float) -> list[tuple[float, str]]:
        """The same, each with its wall time."""
        told = self.docker.out(
            *("events", "--since", f"{since:.9f}", "--until", f"{until:.9f}"),
            *("--filter", "type=container", "--format", "{{json .}}"),
        )
        seen = [json.loads(line) for line in told.splitlines()]
        return [(event["timeNano"] / 1e9, act) for event in seen if (act := _act(event))]

    def processes(self, container: str) -> dict[int, str]:
        """pid on this machine -> command line, of everything that runs in the container."""
        rows = self.docker.out("top", container, "-eo", "pid,args").splitlines()[1:]
        return {int(pid): args for pid, _, args in (row.strip().partition(" ") for row in rows)}

    # ------------------------------------------------------------ tmux

    def tmux(self, *argv: str, env: Mapping[str, str] | None = None) -> str:
        """What tmux printed; empty if it failed."""
        done = subprocess.run(
            ["tmux", *argv],
            env={**os.environ, **self._login(), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WAIT,
            check=False,
        )
        return done.stdout.decode(errors="replace").strip()

    def sessions(self) -> list[str]:
        """The names of all tmux sessions."""
        return self.tmux("list-sessions", "-F", "#{session_name}").split()

    def kill_tmux(self) -> None:
        """SIGKILL to the tmux server: its sessions are gone with it."""
        pid = int(self.tmux("display-message", "-p", "#{pid}"))
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + WAIT
        while _runs(pid) and time.monotonic() < end:
            time.sleep(0.02)
        assert not _runs(pid)

    def _login(self) -> dict[str, str]:
        engine = self.engine.env if self.engine is not None else {}
        return {"HOME": str(self.home), "TMUX_TMPDIR": str(self.tmux_folder), **engine}

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """End everything. Raises ``AssertionError`` naming processes that had to be ended by force."""
        self.tmux("kill-server")
        self.sshd.close()
        left = self._await_end()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not left, f"left on the server: {left}"

    def _await_end(self) -> dict[int, str]:
        """What still runs in the name of this server 5 s after its end."""
        end = time.monotonic() + 5.0
        while (left := _carrying(f"HOME={self.home}")) and time.monotonic() < end:
            time.sleep(0.05)
        return left


def _act(event: Any) -> str:
    action = str(event.get("Action", ""))
    if action not in ACTS:
        return ""
    number = event.get("Actor", {}).get("Attributes", {}).get("signal", "")
    return f"{action} {number}" if action == "kill" else action


def _runs(pid: int) -> bool:
    try:
        return not re.search(r"\) [ZX] ", Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return False


def _carrying(variable: str) -> dict[int, str]:
    """Processes that were started with this variable in their environment, but this one."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if variable.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
    return {pid: name for pid, name in found.items() if _runs(pid)}
