"""A tunnel keeper under a service manager, as a process tree of its own.

The manager does what systemd does with ``Restart=always``, ``RestartSec=5`` (as in watchdogd's unit, and in
the recipes for ssh and autossh; systemd's default of 0.1 s gives up after five starts in 10 s),
``StartLimitIntervalSec=0`` and ``KillMode=control-group``: once the main process ended, whatever it left is
killed, and after 5 s all is started again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.closing import Closing
from tests.lab.sshd import stop_process

RESTART_SECONDS = 5.0
STOP_SECONDS = 10.0
MARK = "WATCHDOGD_BENCH_KEEPER"


class Keeper(Closing):
    """Runs ``argv`` from ``start`` to ``stop``. Its processes are known by a mark in their environment."""

    def __init__(
        self, name: str, argv: Sequence[str], environ: Mapping[str, str], log: Path
    ) -> None:
        self._name, self._argv, self._log = name, list(argv), log
        self._mark = f"{name}-{os.getpid()}"
        self._environ = {**environ, MARK: self._mark}
        self._stopping = threading.Event()
        self._manager: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Under its manager, from now on."""
        self._stopping.clear()
        self._launch()
        self._manager = threading.Thread(target=self._manage, name=f"keeper-{self._name}")
        self._manager.start()

    def stop(self) -> None:
        """TERM to the main process, then KILL to all that is left."""
        self._stopping.set()
        with self._lock:
            process = self._process
        if process is not None:
            self._signal(signal.SIGCONT)
            stop_process(process, STOP_SECONDS)
        if self._manager is not None:
            self._manager.join(2 * STOP_SECONDS)
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """As ``stop``."""
        self.stop()

    def kill_main(self) -> None:
        """SIGKILL to the main process; its manager does the rest."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def freeze(self) -> None:
        """SIGSTOP to all of its processes."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to them."""
        self._signal(signal.SIGCONT)

    def signal_ssh(self, number: signal.Signals) -> None:
        """To the ``ssh`` that carries its link: the oldest one, further ones only ask it."""
        found = [pid for pid in self._pids() if _name_of(pid) == "ssh"]
        if found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(min(found, key=_started), number)

    def told(self) -> str:
        """For a person: its processes, and the end of what it wrote."""
        log = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
        found = ", ".join(f"{pid} {_name_of(pid)}" for pid in self._pids()) or "none"
        return f"its processes: {found}; its last words:\n{log}"

    def _launch(self) -> None:
        with self._lock, self._log.open("ab") as log:
            if not self._stopping.is_set():
                self._process = subprocess.Popen(
                    self._argv,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def _manage(self) -> None:
        while not self._stopping.is_set():
            assert self._process is not None
            self._process.wait()
            if not self._stopping.is_set():
                self._signal(signal.SIGKILL)
                self._stopping.wait(RESTART_SECONDS)
                self._launch()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self) -> list[int]:
        sought = f"{MARK}={self._mark}".encode()
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if sought in (Path("/proc") / name / "environ").read_bytes().split(b"\0"):
                    found.append(int(name))
        return found


def _name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _started(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return 1 << 62
