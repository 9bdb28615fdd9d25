"""One opponent with all that is its own: server, line, runtime, local port, client."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from bench.faults_client import Client
from bench.faults_keeper import Keeper
from bench.faults_line import Line, Loop, lasting_port
from bench.scene import serves
from tests.lab.closing import Closing
from tests.lab.sshd import Sshd
from tests.lab.stand_in import TOKEN
from tests.lab.waiting import until
from watchdogd.adapters.clock import SystemClock
from watchdogd.settings import Address

SERVER = "server.invalid"
"""The server's name. As root each keeper has an ``/etc/hosts`` of its own, where it stands."""
HOME, ELSEWHERE = "127.0.0.1", "127.0.0.2"
UP_SECONDS = 90.0
"""An interpreter has taken 38 s to start on a machine with a load of 90 (measured)."""
_FORWARD = ("-N", "-L")
_TUNED = (
    "-oServerAliveInterval=5",
    "-oServerAliveCountMax=2",
    "-oConnectTimeout=5",
    "-oExitOnForwardFailure=yes",
)
_RECIPE = ("-oServerAliveInterval=60", "-oExitOnForwardFailure=yes")
"""Of the unit file for ssh that most pages show."""
_FAST = {"AUTOSSH_GATETIME": "0"}
OPPONENTS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "autossh tuned": (("autossh", "-M", "0", *_TUNED), _FAST),
    "autossh default": (("autossh",), {}),  # with Debian's free monitoring port, asked every 600 s
    "ssh and systemd": (("ssh", *_RECIPE), {}),
    "watchdogd sshtunnel": (("sshtunnel",), {}),
    "watchdogd openssh": (("openssh",), {}),
}
"""The command without its forward, and what its environment has more; watchdogd: the engine."""


def is_root() -> bool:
    """Only root can give a process an ``/etc/hosts`` of its own."""
    return os.geteuid() == 0


class Lane(Closing):
    """Everything but the keeper runs once it is made; ``begin`` starts the keeper and waits for its forward."""

    def __init__(self, name: str, folder: Path, loop: Loop) -> None:
        self.name, self.folder, self.clock = name, folder, SystemClock()
        folder.mkdir()
        self._stack = ExitStack()
        try:
            self._make(loop)
        except BaseException:
            self.close()
            raise

    def _make(self, loop: Loop) -> None:
        self.sshd = self._stack.enter_context(Sshd(port=lasting_port()))
        self.line = self._stack.enter_context(Line(loop, self.sshd.port))
        self.local = Address(HOME, lasting_port())
        self.remote = Address(HOME, lasting_port())
        self._runtime: subprocess.Popen[bytes] | None = None
        self._stack.callback(self.stop_runtime)
        self.client = Client(loop, self.local, self.clock.run)
        self.squatter: socket.socket | None = None
        self.rogues: list[Sshd] = []
        self._write_files()
        self.keeper = self._stack.enter_context(
            Keeper(self.name.replace(" ", "-"), *self._command(), self.folder / "keeper.log")
        )
        self._stack.callback(self.free_port)
        self._stack.callback(self.original)

    @property
    def has_ssh_child(self) -> bool:
        """True if an ``ssh`` process carries its link."""
        return self.name != "watchdogd sshtunnel"

    # ------------------------------------------------------------ between two faults

    def begin(self, given_up: Callable[[], bool]) -> None:
        """A healthy server and line, the keeper anew, and its forward serves; raises ``AssertionError`` if
        not in time. ``given_up``: nobody waits for it any more."""
        self.line.calm()
        self.line.target = self.sshd.port
        self.line.listen(HOME)
        if not self.sshd.running():
            self.sshd.start()
        self.sshd.authorize(self.sshd.identity)
        self.resolve_to(HOME)
        self.user_config()
        self.start_runtime()
        self.keeper.start()
        until(lambda: serves(self.local) or given_up(), f"{self.name} serves", UP_SECONDS)

    def end(self) -> None:
        """No keeper, no connection, no session."""
        self.keeper.stop()
        self.free_port()
        self.thaw_runtime()
        self.original()
        self.line.calm()
        self.line.reset_all()
        self.sshd.kill_sessions()
        if self.sshd.options:
            self.server_options({})

    def close(self) -> None:
        """Everything."""
        self._stack.close()

    # ------------------------------------------------------------ what faults change

    def server_options(self, options: Mapping[str, str]) -> None:
        """Restart the server with these lines in place of any given before."""
        self.sshd.stop()
        self.sshd.options = dict(options)
        self.sshd.start()

    def server_down(self) -> None:
        """As a machine without its sshd: sessions are gone, connects are refused."""
        self.sshd.stop()
        self.line.listen()
        self.line.reset_all()

    def server_up(self) -> None:
        """It listens again."""
        self.sshd.start()
        self.line.listen(HOME)

    def resolve_to(self, address: str) -> None:
        """The server's name leads there; an empty one: nowhere."""
        line = f"{address} {SERVER}\n" if address else ""
        self._hosts.write_text(f"127.0.0.1 localhost\n{line}")

    def user_config(self, *more: str) -> None:
        """The person's ssh configuration, with these lines for the server."""
        lines = {
            "HostName": SERVER if is_root() else HOME,
            "Port": self.line.port,
            "User": self.sshd.user,
            "IdentityFile": self.sshd.identity_file,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.sshd.known_hosts,
            "BatchMode": "yes",
        }
        text = "".join(f"  {key} {value}\n" for key, value in lines.items())
        text += "".join(f"  {line}\n" for line in more)
        self._ssh_config.write_text(f"Host {SERVER}\n{text}")

    def original(self) -> None:
        """The right server answers; the rogue ones are gone, and their connections with them."""
        self.line.target = self.sshd.port
        while self.rogues:
            self.rogues.pop().close()

    def rest(self, quiet: bool) -> None:
        """Nobody uses the forward, or somebody does again."""
        self.client.quiet = quiet

    def start_runtime(self) -> None:
        """Start it, if it does not run; returns once it listens."""
        if self._runtime is not None and self._runtime.poll() is None:
            return
        argv = [sys.executable, "-m", "watchdogd.demo.stand_in", "--port", str(self.remote.port)]
        more = {"JUPYTER_TOKEN_FILE": str(self._token), "JUPYTER_RUNTIME_DIR": str(self.folder)}
        with (self.folder / "runtime.log").open("ab") as log:
            self._runtime = subprocess.Popen(
                argv, env={**os.environ, **more}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(lambda: serves(self.remote), "the runtime answers")

    def stop_runtime(self) -> None:
        """Its port refuses from now on."""
        if self._runtime is not None:
            self._runtime.kill()
            self._runtime.wait(UP_SECONDS)

    def freeze_runtime(self) -> None:
        """It takes connections and answers none."""
        if self._runtime is not None:
            self._runtime.send_signal(signal.SIGSTOP)

    def thaw_runtime(self) -> None:
        """It goes on."""
        if self._runtime is not None:
            self._runtime.send_signal(signal.SIGCONT)

    def take_port(self) -> bool:
        """A stranger binds the keeper's local port, if it is free now, and never answers."""
        if self.squatter is None:
            with suppress(OSError):
                self.squatter = socket.create_server((HOME, self.local.port))
        return self.squatter is not None

    def free_port(self) -> None:
        """The stranger leaves."""
        if self.squatter is not None:
            self.squatter.close()
        self.squatter = None

    # ------------------------------------------------------------ the keeper's command

    def _write_files(self) -> None:
        self._hosts, self._ssh_config = self.folder / "hosts", self.folder / "ssh_config"
        self._token = self.folder / "token"
        self._token.write_text(TOKEN)
        self._token.chmod(0o600)
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (self.folder / "bin").mkdir()
        program = self.folder / "bin" / "ssh"
        program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F "{self._ssh_config}" "$@"\n')
        program.chmod(0o755)
        known = self.sshd.known_hosts_line(self.line.port)
        Path(self.sshd.known_hosts).write_text(known + known.replace(HOME, SERVER))

    def _command(self) -> tuple[list[str], dict[str, str]]:
        words, more = OPPONENTS[self.name]
        if self.name.startswith("watchdogd"):
            argv = [sys.executable, "-m", "watchdogd", "--config", self._agent_config(*words)]
            argv.append("run")
        else:
            argv = [*words, *_FORWARD, f"{self.local}:{self.remote}", SERVER]
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        environ = {**os.environ, **more, "PATH": path, "XDG_RUNTIME_DIR": str(self.folder)}
        environ["AUTOSSH_PATH"] = str(self.folder / "bin" / "ssh")
        return [*self._own_hosts(), *argv], environ

    def _own_hosts(self) -> list[str]:
        if not is_root():
            return []
        script = (
            'mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf'
        )
        return ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', str(self.folder)]

    def _agent_config(self, engine: str) -> str:
        config = self.folder / "watchdogd.toml"
        config.write_text(f"""
[agent]
listen = "127.0.0.1:{lasting_port()}"
state_dir = "{self.folder}/state"
[targets.bench.ssh]
host = "{SERVER}"
engine = "{engine}"
[targets.bench.forward]
local = "{self.local}"
remote = "{self.remote}"
[targets.bench.runtime]
kind = "external"
token_file = "{self._token}"
""")
        return str(config)
