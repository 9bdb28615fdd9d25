"""The runtime of the demo: a Jupyter server as a command in a private tmux, or as a child.

The tmux server is private (``TMUX_TMPDIR`` in the SSH server's environment), so the person's own
sessions are untouched.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from watchdogd.core.words import Kind
from watchdogd.demo.sight import LOOPBACK, Process, answers, end, finish, look, send
from watchdogd.ports import Clock

SESSION = "colab_session"
TOKEN_VARIABLE = "JUPYTER_TOKEN_FILE"  # noqa: S105 - the name of a variable
TMUX_SECONDS = 10.0
START_SECONDS = 30.0
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is run as the runtime."""

    name: str
    """For people."""
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    port: int
    token_file: Path
    """Named to the server by ``TOKEN_VARIABLE``, which is not in ``environment``: whoever starts
    the program, the demo or the agent, says where the token is."""
    runtime_dir: Path
    """The server leaves a ``jpserver-PID.json`` here while it runs."""

    def shell_command(self) -> str:
        """The same as one line for the server's shell; the token is not in it.

        The shell stays as its parent: tmux continues a stopped child of its own at once, so a
        server that is tmux's own child cannot be made to hang.
        """
        words = ["env", *(f"{k}={v}" for k, v in self.environment.items()), *self.argv]
        return f"{shlex.join(words)}; exit $?"

    def pinned(self) -> dict[str, str]:
        """The variable that names the token file."""
        return {TOKEN_VARIABLE: str(self.token_file)}

    def process(self) -> Process | None:
        """The running server, found by its own file; ``None`` if none runs."""
        for path in self.runtime_dir.glob("jpserver-*.json"):
            try:
                pid = int(json.loads(path.read_text())["pid"])
            except (OSError, ValueError, KeyError):
                continue
            if process := look(pid):
                return process
        return None

    def answers(self, timeout: float = 1.0) -> bool:
        """True if it answers on its own port, asked directly and not through the forward."""
        return answers(self.port, self.token_file.read_text(), timeout)


def jupyter_installed() -> bool:
    """True if this interpreter has a Jupyter server."""
    return importlib.util.find_spec("jupyter_server") is not None


def program(folder: Path, port: int, token: str, *, real: bool) -> Program:
    """Jupyter if ``real``, else the stand-in, on a loopback port with a pinned token.

    ``folder`` (made by the caller) receives the token file (0600) and all that Jupyter writes.
    """
    token_file, runtime_dir, root = folder / "token", folder / "runtime", folder / "content"
    for made in (runtime_dir, root):
        made.mkdir(mode=0o700)
    with os.fdopen(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    private = {"JUPYTER_RUNTIME_DIR": str(runtime_dir)}
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        private[name] = str(folder / name.lower())
    return Program(
        name=_name(real),
        argv=_jupyter(port, root) if real else _stand_in(port),
        environment=private,
        port=port,
        token_file=token_file,
        runtime_dir=runtime_dir,
    )


def _name(real: bool) -> str:
    if real:
        return f"Jupyter Server {version('jupyter_server')}"
    return "a stand-in that answers like Jupyter (jupyter_server is not installed here)"


def _jupyter(port: int, root: Path) -> tuple[str, ...]:
    options = (
        f"--ServerApp.ip={LOOPBACK}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.open_browser=False",
        f"--ServerApp.root_dir={root}",
        "--ServerApp.terminals_enabled=False",
        *(("--allow-root",) if os.geteuid() == 0 else ()),
    )
    return (sys.executable, "-m", "jupyter_server", *options)


def _stand_in(port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "watchdogd.demo.stand_in", "--port", str(port))


class TmuxRuntime:
    """The program in a tmux session of its own, as a person would have typed it."""

    kind = Kind.SESSION

    def __init__(self, made: Program, environment: Mapping[str, str], clock: Clock) -> None:
        self.program = made
        self._environment = dict(environment)
        self._clock = clock

    def start(self) -> None:
        """Opens the session. Raises ``CalledProcessError`` if tmux does not."""
        argv = ("new-session", "-d", "-s", SESSION, self.program.shell_command())
        self._tmux(*argv, check=True, more=self.program.pinned())

    def has_session(self) -> bool:
        """What tmux itself says."""
        return self._tmux("has-session", "-t", f"={SESSION}").returncode == 0

    def kill_session(self) -> None:
        """Ends the session and what runs in it."""
        self._tmux("kill-session", "-t", f"={SESSION}")

    def close(self) -> None:
        """Ends the runtime, and the private tmux server with all its sessions."""
        running = self.program.process()
        self._tmux("kill-server")
        if running is not None:
            send(running, signal.SIGCONT)
            end(running, self._clock, seconds=STOP_SECONDS)

    def _tmux(
        self, *argv: str, check: bool = False, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["tmux", *argv],
            env={**self._environment, **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TMUX_SECONDS,
            check=check,
        )


class ChildRuntime:
    """The program as a child of the demo, for machines without tmux: nothing repairs it."""

    kind = Kind.EXTERNAL

    def __init__(self, made: Program, environment: Mapping[str, str]) -> None:
        self.program = made
        self._environment = {**environment, **made.environment, **made.pinned()}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the child."""
        self._child = subprocess.Popen(
            self.program.argv,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """Ends and reaps it."""
        if self._child is not None:
            finish(self._child, gentle=STOP_SECONDS)


def tmux_installed() -> bool:
    """True if tmux is on the person's PATH."""
    return shutil.which("tmux") is not None
