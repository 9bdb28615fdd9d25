"""Several targets in one agent: two broken in different ways delay nothing for the third."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.asking import fetch
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from tests.lab.stand_in import TOKEN, StandIn
from tests.lab.waiting import until
from watchdogd.app import Agent
from watchdogd.core.commands import Fact
from watchdogd.core.events import Event, Observed
from watchdogd.core.model import Env, TargetState
from watchdogd.core.words import Cause, Kind, State
from watchdogd.settings import (
    Address,
    AgentSettings,
    ForwardSettings,
    ProbeSettings,
    RuntimeSettings,
    Settings,
    TargetSettings,
)

pytestmark = pytest.mark.real

INTERVAL = 0.5
ROUNDS = 20


class Rounds:
    """A sink that remembers when each round of one target began."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.begun: list[float] = []

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        if target == self.target and isinstance(event, Observed):
            self.begun.append(event.started)


class Lab:
    """Three targets: a healthy one, one behind an SSH server that freezes, one whose runtime hangs."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.sound, self.frozen = (stack.enter_context(Sshd()) for _ in range(2))
        self.runtime = stack.enter_context(StandIn())
        self.hung = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.folder = folder
        token = folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        here, nobody = self.runtime.address, Address("127.0.0.1", self.hung.getsockname()[1])
        targets = {
            "healthy": self._target("healthy", self.sound, here),
            "frozen": self._target("frozen", self.frozen, here),
            "hung": self._target("hung", self.sound, nobody),
        }
        agent = AgentSettings(
            listen=Address("127.0.0.1", free_port()), state_dir=str(folder / "state")
        )
        self.settings = Settings(agent=agent, targets=targets)

    def _target(self, name: str, sshd: Sshd, remote: Address) -> TargetSettings:
        return TargetSettings(
            name=name,
            ssh=sshd.settings(keepalive=0.5),
            forward=ForwardSettings(local=Address("127.0.0.1", free_port()), remote=remote, hold=5),
            runtime=RuntimeSettings(kind=Kind.EXTERNAL, token_file=str(self.folder / "token")),
            probe=ProbeSettings(interval=INTERVAL, suspect_interval=0.3, timeout=5.0),
        )

    def freeze(self, number: signal.Signals) -> None:
        """Stop that SSH server and its sessions, or let them go on."""
        os.kill(self.frozen.pid, number)
        self.frozen.kill_sessions(number)

    def use(self, name: str) -> int:
        """The status that a client of that target's forward gets."""
        return fetch(self.settings.targets[name].forward.local, "/api")[0]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with ExitStack() as stack:
        yield Lab(tmp_path, stack)


def test_the_third_keeps_its_period_and_its_clients(lab: Lab) -> None:
    rounds = Rounds("healthy")
    agent = Agent(lab.settings, sinks=(rounds,))
    agent.start()

    def targets() -> Mapping[str, TargetState]:
        return agent.view().targets

    clients: list[threading.Thread] = []
    try:
        until(lambda: targets()["healthy"].shown is State.UP, "the healthy one is up")
        until(lambda: targets()["frozen"].shown is State.UP, "the one to be frozen is up")
        lab.freeze(signal.SIGSTOP)
        until(lambda: targets()["frozen"].dialing.silent, "a silent link")
        until(lambda: targets()["hung"].verdict.cause is Cause.RUNTIME_HUNG, "a hung runtime")
        # Clients that wait in vain hold threads, too.
        for name in ("frozen", "hung") * 10:
            clients.append(threading.Thread(target=_try, args=(lab, name)))
            clients[-1].start()
        first = len(rounds.begun)
        for number in range(ROUNDS):
            assert lab.use("healthy") == 200
            until(lambda count=number: len(rounds.begun) > first + count, "a round")  # type: ignore[misc]
        gaps = [
            later - earlier
            for earlier, later in zip(rounds.begun[first:], rounds.begun[first + 1 :], strict=False)
        ]
        assert targets()["healthy"].shown is State.UP
        assert targets()["frozen"].dialing.silent
        assert targets()["hung"].verdict.cause is Cause.RUNTIME_HUNG
        # A round takes milliseconds here, a wait for one of the others 5 s.
        assert max(gaps) < 6 * INTERVAL, gaps
        assert sum(gaps) / len(gaps) < 2 * INTERVAL, gaps
    finally:
        lab.freeze(signal.SIGCONT)
        lab.hung.close()
        agent.stop()
        for client in clients:
            client.join(20)


def _try(lab: Lab, name: str) -> None:
    try:
        lab.use(name)
    except OSError:
        return
