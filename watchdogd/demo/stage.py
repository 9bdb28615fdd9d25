"""The demo's world: server, runtime, agent and witness, set up in a private folder and taken down."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from watchdogd.demo import configuration
from watchdogd.demo.agent import Agent
from watchdogd.demo.faults import FAULTS, Fault, FaultName, Lab
from watchdogd.demo.runtime import (
    SESSION,
    START_SECONDS,
    ChildRuntime,
    Program,
    TmuxRuntime,
    jupyter_installed,
    program,
    tmux_installed,
)
from watchdogd.demo.sight import free_port, until
from watchdogd.demo.ssh_server import SshServer
from watchdogd.demo.witness import Witness
from watchdogd.ports import Clock

INSTALL_TMUX = {"linux": "sudo apt-get install tmux", "darwin": "brew install tmux"}
TOKEN_BYTES = 24


class Stage:
    """Everything that the play needs; a context manager that leaves nothing behind.

    Only what needs no agent runs after ``__enter__``: the agent and the witness are started by the
    play, since the first fault comes before them.
    """

    def __init__(self, clock: Clock, *, endurance: bool) -> None:
        self._clock = clock
        self.endurance = endurance
        self._closing = ExitStack()

    def __enter__(self) -> Stage:
        with ExitStack() as building:
            self._set_up(building)
            self._closing = building.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def _set_up(self, building: ExitStack) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="watchdogd-demo-"))
        building.callback(shutil.rmtree, self.folder, ignore_errors=True)
        environment = self._environment()
        self.token = secrets.token_hex(TOKEN_BYTES)
        self.program = program(
            self._made("runtime"), free_port(), self.token, real=jupyter_installed()
        )
        self.server = SshServer(self._made("ssh"), environment, self._clock)
        building.callback(self.server.close)
        self.server.start()
        tmux = self._runtime(building, self.program, environment)
        self.lab = Lab(server=self.server, program=self.program, tmux=tmux, local_port=free_port())
        self.agent = self._agent()
        self.witness = Witness(self.lab.local_port, self.token, self._clock)
        building.callback(self.witness.close)
        building.callback(self.agent.stop)
        building.callback(self._undo_all)

    def _runtime(
        self, building: ExitStack, made: Program, environment: dict[str, str]
    ) -> TmuxRuntime | None:
        runtime = (
            TmuxRuntime(made, environment, self._clock)
            if tmux_installed()
            else ChildRuntime(made, environment)
        )
        building.callback(runtime.close)
        runtime.start()
        if not until(self._clock, START_SECONDS, made.answers):
            raise TimeoutError(f"{made.name} did not answer within {START_SECONDS:.0f} s")
        return runtime if isinstance(runtime, TmuxRuntime) else None

    def _agent(self) -> Agent:
        state, config = self._made("state"), self.folder / "config.toml"
        self.metrics_port = free_port()
        config.write_text(configuration.text(self._places(state)))
        path = f"{self._quiet_ssh()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return Agent(config, state, self.folder / "agent.log", path)

    def _places(self, state: Path) -> configuration.Places:
        in_tmux = self.lab.tmux is not None
        return configuration.Places(
            state_dir=str(state),
            metrics_port=self.metrics_port,
            local_port=self.lab.local_port,
            remote_port=self.program.port,
            ssh_port=self.server.port,
            user=self.server.user,
            identity_file=str(self.server.identity_file),
            known_hosts=str(self.server.known_hosts),
            token_file=str(self.program.token_file),
            kind=TmuxRuntime.kind if in_tmux else ChildRuntime.kind,
            session=SESSION,
            command=self.program.shell_command(),
            endurance=self.endurance,
        )

    def _environment(self) -> dict[str, str]:
        """What the server's commands see: the person's PATH, a home of their own, no secrets."""
        bin_dir = Path(sys.executable).parent
        return {
            "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self._made("home")),
            "SHELL": "/bin/sh",
            "TMUX_TMPDIR": str(self._made("tmux")),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
        }

    def _quiet_ssh(self) -> Path:
        """A folder with an ``ssh`` that ignores the person's own ssh configuration."""
        bin_dir, real = self._made("bin"), shutil.which("ssh")
        if real is not None:
            script = bin_dir / "ssh"
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} -F none "$@"\n')
            script.chmod(0o700)
        return bin_dir

    def _made(self, name: str) -> Path:
        made = self.folder / name
        made.mkdir(mode=0o700)
        return made

    def _undo_all(self) -> None:
        for fault in FAULTS.values():
            fault.undo(self.lab)


def left_out() -> dict[Fault, str]:
    """The faults that cannot be made on this machine, each with the reason and what mends it."""
    missing: dict[Fault, str] = {}
    for fault in FAULTS.values():
        if fault.needs_tmux and not tmux_installed():
            install = INSTALL_TMUX.get(sys.platform, "install tmux with your package manager")
            missing[fault] = f"tmux is not installed; {install}"
        elif fault.name is FaultName.RUNTIME_HUNG and not Path("/proc/self/stat").exists():
            missing[fault] = (
                "this system has no /proc: without it the agent cannot tell whether something "
                "still works in the runtime, and ends nothing"
            )
    return missing
