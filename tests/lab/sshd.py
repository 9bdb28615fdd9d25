"""A real OpenSSH server on a free loopback port, with its own keys, for tests."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.lab.closing import Closing
from watchdogd.settings import SshSettings

_WAIT = 10.0


def free_port() -> int:
    """A loopback TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keygen(path: Path, *, passphrase: str = "", kind: str = "ed25519") -> Path:
    """A new private key at ``path`` (public half at ``path.pub``); returns ``path``."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, timeout=_WAIT, stdin=subprocess.DEVNULL)
    return path


def stop_process(process: subprocess.Popen[bytes], limit: float = _WAIT) -> None:
    """TERM, then KILL one child by its pid; waits for its end."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(limit)


class Sshd(Closing):
    """Starts in the constructor; ``close`` ends the listener and every session and removes the folder.

    ``options`` are further ``sshd_config`` lines, such as ``{"AllowTcpForwarding": "no"}``.
    """

    def __init__(self, options: Mapping[str, str] | None = None, *, port: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="watchdogd-sshd-"))
        self.user = getpass.getuser()
        self.port = port or free_port()
        self.host_key = keygen(self.folder / "host_ed25519")
        self.identity = keygen(self.folder / "client_ed25519")
        self.identity_file = str(self.identity)
        self.known_hosts = str(self.folder / "known_hosts")
        self.log = self.folder / "sshd.log"
        self._authorized = self.folder / "authorized_keys"
        self._authorized.write_bytes(self.identity.with_suffix(".pub").read_bytes())
        self.options = dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.write_known_hosts()
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------ what a client needs

    def settings(self, **over: Any) -> SshSettings:
        """Settings that log in to this server; ``over`` replaces single fields."""
        fields: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "identity_file": self.identity_file,
            "known_hosts": self.known_hosts,
        }
        return SshSettings(**(fields | over))

    def known_hosts_line(self, port: int | None = None, key: Path | None = None) -> str:
        """The line that makes this server (or ``key`` in its place) known at ``port``."""
        kind, blob = (key or self.host_key).with_suffix(".pub").read_text().split()[:2]
        return f"[127.0.0.1]:{port or self.port} {kind} {blob}\n"

    def write_known_hosts(self, *ports: int) -> None:
        """Know this server at its own port and at ``ports`` (a relay's), and nothing else."""
        lines = [self.known_hosts_line(port) for port in (self.port, *ports)]
        Path(self.known_hosts).write_text("".join(lines))

    def authorize(self, *keys: Path) -> None:
        """Let exactly these keys in from now on."""
        self._authorized.write_text("".join(key.with_suffix(".pub").read_text() for key in keys))

    # ------------------------------------------------------------ the server's life

    @property
    def pid(self) -> int:
        """Process id of the listener."""
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        """True while the listener lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Listen (again) on the same port; returns once it answers."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        program = shutil.which("sshd") or "/usr/sbin/sshd"  # absolute: sshd re-executes itself
        config = self.folder / "sshd_config"
        config.write_text(self._config())
        begin = len(self.log_text())  # a restarted server appends
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._await_listening(begin)

    def stop(self) -> None:
        """End the listener and every session, as a server that goes away."""
        sessions = self.session_pids()
        if self._process is not None:
            stop_process(self._process)
        self._process = None
        for pid in sessions:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """``stop``, and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def session_pids(self) -> tuple[int, ...]:
        """The per-connection children (and their unprivileged halves), oldest first.

        Killing or stopping *all* of them is what a client sees as its connection dying or freezing.
        """
        if self._process is None:
            return ()
        found: list[int] = []
        parents = {self._process.pid}
        while parents:
            parents = {pid for parent in parents for pid in _sshd_children(parent)}
            found += sorted(parents)
        return tuple(found)

    def kill_sessions(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send ``number`` to every session process; returns to how many."""
        pids = self.session_pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    def log_text(self) -> str:
        """What the server has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _config(self) -> str:
        lines = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": str(self.host_key),
            "AuthorizedKeysFile": str(self._authorized),
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "yes",
            "PrintMotd": "no",
            "LogLevel": "VERBOSE",
            "UseDNS": "no",
        } | self.options
        # bash reads the developer's own ~/.bashrc for each command that sshd starts, unless it runs in another
        # shell: what loads pyenv there takes a fifth of a second, and its lock holds up all others for a minute.
        lines["SetEnv"] = f"SHLVL=2 {self.options.get('SetEnv', '')}"
        return "".join(f"{key} {value}\n" for key, value in lines.items())

    def _await_listening(self, begin: int) -> None:
        assert self._process is not None
        limit = time.monotonic() + _WAIT
        while time.monotonic() < limit:
            if self._process.poll() is not None:
                raise RuntimeError(f"sshd ended at once:\n{self.log_text()}")
            if "Server listening on" in self.log_text()[begin:]:
                return
            time.sleep(0.01)
        raise RuntimeError(f"sshd does not listen:\n{self.log_text()}")


def _sshd_children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split() if _is_sshd(int(child))]


def _is_sshd(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip().startswith("sshd")
    except OSError:
        return False
