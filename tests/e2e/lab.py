"""One end-to-end scene: a private server, a container started as documented, and the real agent.

``Bench`` composes what ``tests/lab``, ``server.py`` and ``agent.py`` offer. Long durations are shortened
in the configuration, never in the code.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from tests.e2e.agent import TARGET, WATCHDOGD, Agent
from tests.e2e.server import SESSION, Life, Server
from tests.lab.closing import Closing
from tests.lab.docker import Dockerd
from tests.lab.needs import free_port
from tests.lab.waiting import until
from watchdogd.adapters.clock import SystemClock
from watchdogd.core.dialing import STEADY_LINK_SECONDS
from watchdogd.demo.sight import answers

T = TypeVar("T")

GROWN = 3
"""Threads and descriptors more than before that are none lost: a look or a client may be under way. What a burst
made of workers is idle, and ends."""
UP_SECONDS = 40.0
CALM_SECONDS = 40.0
REQUEST_SECONDS = 3.0
SHORT: Mapping[str, object] = {
    "ssh.keepalive": "1s",
    "forward.hold": "15s",
    "probe.interval": "1s",
    "probe.suspect_interval": "300ms",
    "probe.timeout": "2s",
    "heal.hung_after": "8s",
    "heal.cooldown": "20s",
    "heal.start_grace": "5s",
}
"""So a fault is confirmed after about 2 s, and an incident is over after 4 s of health."""
OWN_TOKEN = {"runtime.token_file": "TOKEN"}
"""Settings for ``Bench.settle``: the runtime's token is the one in ``Bench.token``."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, in each witness's own measure."""

    log: int
    wall: float
    sshd: int


class Bench(Closing):
    """Nothing runs but the server until ``run_container`` and ``start``. ``close`` ends everything.

    ``settings``: further keys of the target, without ``targets.NAME``; ``None`` takes one away.
    """

    def __init__(
        self,
        engine: Dockerd | None,
        image: str,
        *,
        settings: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        address: str = "127.0.0.1",
        port: int = 0,
        program: Sequence[str] = WATCHDOGD,
    ) -> None:
        self.clock = SystemClock()
        self.image = image
        self.port = port or free_port()
        """Of the runtime on the server."""
        self.local = free_port()
        """Of the forward."""
        self._stack = ExitStack()
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="wd-e2e-", dir="/tmp"))
            self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            if engine is not None:
                self._stack.callback(_clear, engine)
            self.server = self._stack.enter_context(
                Server(engine, environment=environment, address=address)
            )
            self.known_hosts = self.folder / "known_hosts"
            self.known_hosts.write_text(self.server.known_as())
            self.token = self.folder / "token"
            """The person's own token, for ``settle``."""
            self.token.touch(mode=0o600)
            self.token.write_text(secrets.token_hex(24))
            self.settings = dict(settings or {})
            config = self._configuration(self.settings)
            self.agent = Agent(self.folder, config, before=before, program=program)
            self._stack.callback(self.agent.close)
        except BaseException:
            self._stack.close()
            raise

    def _configuration(self, settings: Mapping[str, object]) -> dict[str, object]:
        sshd = self.server.sshd
        keys: dict[str, object] = {
            "ssh.host": self.server.address,
            "ssh.port": sshd.port,
            "ssh.user": sshd.user,
            "ssh.identity_file": sshd.identity_file,
            "ssh.known_hosts": str(self.known_hosts),
            "forward.local": f"127.0.0.1:{self.local}",
            "forward.remote": f"127.0.0.1:{self.port}",
            "runtime.container.image": self.image,
            "runtime.container.publish": f"127.0.0.1:{self.port}:8080",
            "runtime.container.gpus": "none",
            "runtime.container.shm_size": "64m",
            **SHORT,
            **settings,
        }
        if settings.get("runtime.kind", "container") != "container":
            keys = {key: value for key, value in keys.items() if ".container." not in key}
        if keys.get("runtime.token_file") == OWN_TOKEN["runtime.token_file"]:
            keys["runtime.token_file"] = str(self.token)
        chosen = {
            f"targets.{TARGET}.{key}": value for key, value in keys.items() if value is not None
        }
        return {"agent.listen": f"127.0.0.1:{free_port()}", **chosen}

    def another_agent(self) -> Agent:
        """A second laptop's agent on the same target: its own state folder and port. Ends with the scene."""
        folder = self.folder / "another"
        folder.mkdir()
        config = self._configuration(self.settings)
        config[f"targets.{TARGET}.forward.local"] = f"127.0.0.1:{free_port()}"
        other = Agent(folder, config)
        self._stack.callback(other.close)
        return other

    # ------------------------------------------------------------ the scene

    def run_container(self, *options: str, command: Sequence[str] = ()) -> Life:
        """As a person does: ``docker run -d -p 127.0.0.1:PORT:8080 IMAGE``; waits until it listens."""
        publish = f"127.0.0.1:{self.port}:8080"
        ident = self.server.docker.out("run", "-d", "-p", publish, *options, self.image, *command)
        self._until(lambda: self.runtime_answers(), "the runtime answers")
        return self.server.life(ident)

    def prepare(self, *options: str, command: Sequence[str] = ()) -> Life:
        """A container with a token that the agent was told, and its view. Needs ``OWN_TOKEN``."""
        mount = f"type=bind,src={self.token},dst=/token,readonly"
        pin = ("--mount", mount, "-e", "JUPYTER_TOKEN_FILE=/token")
        life = self.run_container(*pin, *options, command=command)
        self.open_view()
        return life

    def settle(self, *options: str, command: Sequence[str] = ()) -> Life:
        """``prepare`` and the agent: all is well and nothing was done."""
        life = self.prepare(*options, command=command)
        begin = self.start()
        assert self.actions(begin) == []
        assert self.acts(begin) == []
        return life

    def open_view(self) -> None:
        """As a person does: ``tmux new -s colab_session``."""
        self.server.tmux("new-session", "-d", "-s", SESSION, "sh")
        assert self.server.sessions() == [SESSION]

    def start(self, *options: str) -> Mark:
        """Start the agent and wait until it is up and has nothing left to do."""
        begin = self.mark()
        self.agent.start(*options)
        self.calm(UP_SECONDS)
        return begin

    def wait_state(self, name: str, within: float = 20.0) -> None:
        """Wait until the target is shown in that state."""
        self.agent.until(lambda: self.agent.target().get("state") == name, f"state {name}", within)

    def wait_noticed(self, restarts: int, within: float = 30.0) -> None:
        """Wait until the agent has seen that somebody else started the container anew."""

        def seen() -> bool:
            return self.agent.metric("container_restarts_total") >= restarts

        self.agent.until(seen, f"{restarts} restarts noticed", within)

    def wait_cause(self, name: str, within: float = 20.0) -> None:
        """Wait until the cause is confirmed: an incident with it is open."""

        def shown() -> bool:
            target = self.agent.target()
            return target.get("cause") == name and bool(target.get("incident"))

        self.agent.until(shown, f"cause {name}", within)

    def calm(self, within: float = CALM_SECONDS) -> None:
        """Wait until the target is up, no incident is open and nothing is being done or dialled."""

        def quiet() -> bool:
            target = self.agent.target()
            return bool(
                target
                and target["state"] == "up"
                and target["phase"] == "steady"
                and target["incident"] is None
                and target["remedy"] is None
                and target["link"]["up"]
                and not target["link"]["silent"]
            )

        self.agent.until(quiet, "calm", within)

    def steady(self) -> None:
        """Wait until the link is old enough for its loss to be answered by a dial at once.

        A younger one waits a back-off by chance first, long enough at times for the fault to be confirmed,
        and then the dial is a remedy.
        """

        def old() -> bool:
            begun = datetime.fromisoformat(str(self.agent.target()["link"]["since"])).timestamp()
            return self.clock.wall() - begun > STEADY_LINK_SECONDS + 1.0

        self.calm()
        self.agent.until(old, "a steady link", STEADY_LINK_SECONDS + 10.0)

    def pass_time(self, seconds: float) -> None:
        """Let the agent do wrong for so long; it must live on meanwhile."""
        over = self.clock.run() + seconds
        self.agent.until(lambda: self.clock.run() >= over, "time passes", 2 * seconds)

    # ------------------------------------------------------------ witnesses

    def mark(self) -> Mark:
        """This moment."""
        return Mark(self.agent.mark(), self.clock.wall(), len(self.server.sshd.log_text()))

    def actions(self, since: Mark) -> list[str]:
        """The remedies begun since then."""
        return self.agent.actions(since.log)

    def incidents(self, since: Mark) -> list[str]:
        """The causes confirmed since then."""
        return self.agent.incidents(since.log)

    def refusals(self, since: Mark) -> set[tuple[str, str]]:
        """The remedies passed over since then, with their reasons."""
        return self.agent.refusals(since.log)

    def acts(self, since: Mark) -> list[str]:
        """What was really done to containers since then, by whomever."""
        return self.server.acts(since.wall, self.clock.wall())

    def logins(self, since: Mark) -> int:
        """Logins at the server since then."""
        return self.server.logins(since.sshd)

    def dials(self, since: Mark) -> int:
        """Connections that reached sshd since then."""
        return self.server.dials(since.sshd)

    def usable(self) -> bool:
        """A request through the forward, with the token that ``watchdogd url`` prints, is answered."""
        return self.opens(self.agent.url())

    def opens(self, url: str) -> bool:
        """That address works on this laptop, token and all."""
        assert url.startswith(f"http://localhost:{self.local}/"), url
        call = f"answers({self.local}, sys.stdin.read(), {REQUEST_SECONDS})"
        code = f"import sys; from watchdogd.demo.sight import answers; sys.exit(not {call})"
        if not self.agent.before:
            return answers(self.local, token_of(url), REQUEST_SECONDS)
        done = subprocess.run(
            [*self.agent.before, sys.executable, "-c", code],
            input=token_of(url),
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode == 0

    def runtime_answers(self) -> bool:
        """The same asked directly at the published port; a 403 is an answer too."""
        import http.client

        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        try:
            asking.request("GET", "/api/status")
            return asking.getresponse().status in (200, 403)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()

    def _until(self, condition: Callable[[], object], what: str, within: float = 30.0) -> None:
        until(condition, what, within)

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Ends agent, server, containers; removes the folder. Complains about what did not end."""
        self._stack.close()


def token_of(url: str) -> str:
    """The token in an address."""
    found = re.search(r"[?&]token=([0-9a-f]+)$", url)
    assert found, url
    return found[1]


def _clear(engine: Dockerd) -> None:
    if engine.pid:
        engine.clear()


@contextlib.contextmanager
def container_untouched(bench: Bench, *, small: bool = True) -> Iterator[Mark]:
    """Whatever happens inside: same process 1, no event at the engine, same session, same address,
    and the agent is as small afterwards as before.

    ``small=False``: a silent link that a client rides on is kept for up to a minute, which nobody waits for.
    """
    bench.calm()
    (container,) = bench.server.containers()
    life, url, before = bench.server.life(container), bench.agent.url(), bench.agent.footprint()
    begin = bench.mark()
    yield begin
    bench.calm()
    assert bench.acts(begin) == []
    assert bench.server.life(container) == life
    assert bench.server.sessions() == [SESSION]
    assert bench.agent.url() == url
    assert bench.opens(url)

    def small_again() -> bool:
        return all(
            now <= then + GROWN for now, then in zip(bench.agent.footprint(), before, strict=True)
        )

    if small:
        bench.agent.until(
            small_again, f"descriptors, threads, children: {before}", 80
        )  # an idle worker ends after 60 s


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """These processes stand still meanwhile (those that live on are continued afterwards)."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
