"""The agent as a process of its own on real servers of the lab, with plain targets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.tunnel_far import Far
from tests.lab.asking import fetch
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd, stop_process
from tests.lab.stand_in import TOKEN, StandIn
from tests.lab.waiting import until
from watchdogd.settings import Address


@dataclass(frozen=True, kw_only=True)
class Scene:
    """SSH servers, one runtime behind them all, and a configuration."""

    folder: Path
    servers: tuple[Sshd, ...]
    runtime: StandIn | Far
    config: Path
    listen: Address
    local: tuple[Address, ...]
    """Where each target's forward listens."""

    @property
    def sshd(self) -> Sshd:
        """The first server, or the only one."""
        return self.servers[0]

    def environ(self) -> dict[str, str]:
        """For processes of the scene."""
        return {**os.environ, "XDG_RUNTIME_DIR": str(self.folder)}

    def argv(self, *words: str) -> list[str]:
        """``watchdogd`` with this configuration."""
        return [sys.executable, "-m", "watchdogd", "--config", str(self.config), *words]


@contextmanager
def scene(
    targets: int = 1,
    keepalive: str = "5s",
    *,
    servers: int = 1,
    engines: Sequence[str] = (),
    behind: type[StandIn | Far] = StandIn,
    sshd_options: Mapping[str, str] | None = None,
) -> Iterator[Scene]:
    """All of it but the agent. ``engines``: one target for each, instead of ``targets`` that choose theirs.
    The targets take the servers in turn."""
    chosen = engines or ("auto",) * targets
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="wd-bench-", dir="/tmp"))
        )
        sshds = tuple(stack.enter_context(Sshd(sshd_options)) for _ in range(servers))
        runtime = behind()
        stack.callback(runtime.close)
        listen, *local = (Address("127.0.0.1", port) for port in _ports(1 + len(chosen)))
        # In folders of their own: they are watched, and a log beside them would be news of them all the time.
        token, config = folder / "token", folder / "config" / "config.toml"
        config.parent.mkdir()
        keys = [_keys(folder / f"keys{number}", sshd) for number, sshd in enumerate(sshds)]
        token.write_text(TOKEN)
        token.chmod(0o600)
        text = f"""
[agent]
listen = "{listen}"
state_dir = "{folder}/state"
[defaults.ssh]
host = "127.0.0.1"
keepalive = "{keepalive}"
[defaults.runtime]
kind = "external"
token_file = "{token}"
"""
        for number, (address, engine) in enumerate(zip(local, chosen, strict=True)):
            sshd = sshds[number % servers]
            text += f"""
[targets.t{number}.ssh]
engine = "{engine}"
port = {sshd.port}
identity_file = "{keys[number % servers] / "client"}"
known_hosts = "{keys[number % servers] / "known_hosts"}"
[targets.t{number}.forward]
local = "{address}"
remote = "{runtime.address}"
"""
        config.write_text(text)
        yield Scene(
            folder=folder,
            servers=sshds,
            runtime=runtime,
            config=config,
            listen=listen,
            local=tuple(local),
        )


def _keys(folder: Path, sshd: Sshd) -> Path:
    """What a login to this server needs."""
    folder.mkdir()
    for name, path in (("client", sshd.identity_file), ("known_hosts", sshd.known_hosts)):
        shutil.copy(path, folder / name)
    return folder


def _ports(count: int) -> list[int]:
    """Free ones, each another: of hundreds that are asked for one by one some come twice."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[free_port()] = None
    return list(found)


@contextmanager
def running(made: Scene, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """The agent, from when every forward serves. ``before``: a program that runs ``watchdogd`` in its way."""
    argv = [*before, *made.argv("run")[3:]] if before else made.argv("run")
    with (made.folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, env=made.environ(), stdout=log, stderr=log)
    try:
        for address in made.local:
            until(lambda local=address: serves(local), "a forward that serves")  # type: ignore[misc]
        yield process
    finally:
        stop_process(process)


@contextmanager
def forwarding(made: Scene, *before: str) -> Iterator[Address]:
    """``ssh -L`` to the same runtime on the same server, behind ``before`` (such as autossh)."""
    local = Address("127.0.0.1", free_port())
    options = {
        "UserKnownHostsFile": made.sshd.known_hosts,
        "IdentityFile": made.sshd.identity_file,
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ExitOnForwardFailure": "yes",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "2",
    }
    program = before or ("ssh",)
    argv = [*program, "-F", "none", "-N", "-p", str(made.sshd.port)]
    argv += [f"-o{key}={value}" for key, value in options.items()]
    argv += ["-L", f"{local}:{made.runtime.address}", f"{made.sshd.user}@127.0.0.1"]
    environ = {**made.environ(), "AUTOSSH_GATETIME": "0"}
    with (made.folder / "ssh.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environ, stdout=log, stderr=log)
    try:
        until(lambda: serves(local), "the opponent serves")
        yield local
    finally:
        stop_process(process)


def serves(local: Address) -> bool:
    """Does a request through that port get the runtime's answer?"""
    try:
        return fetch(local, "/api")[0] == 200
    except OSError:
        return False
