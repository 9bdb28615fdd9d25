"""F14 on real parts: a captive portal that answers for the SSH server and for the canary."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import waiting
from tests.lab.asking import fetch
from tests.lab.canary import GOOD, SENT_AWAY, CanaryServer
from tests.lab.needs import free_port
from tests.lab.relay import Relay
from tests.lab.sshd import Sshd
from tests.lab.stand_in import TOKEN, StandIn
from watchdogd.app import Agent, check_targets
from watchdogd.app.results import exit_code
from watchdogd.cli import run as command_line
from watchdogd.core.words import Cause, Kind, State
from watchdogd.loading import as_toml
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


def until(condition: Callable[[], object], what: str) -> None:
    """Each is a matter of seconds, and up to 15 for a canary's next turn; here they are none on a busy machine."""
    waiting.until(condition, what, 90.0)


@dataclass
class Scene:
    """A network that turns into a captive portal and back."""

    server: Sshd
    impostor: Sshd
    relay: Relay
    canary: CanaryServer
    runtime: Address

    def enter_portal(self) -> None:
        """From now on somebody else answers for everybody."""
        self.canary.wire = SENT_AWAY
        self.relay.target = ("127.0.0.1", self.impostor.port)
        self.relay.reset_all()

    def log_in(self) -> None:
        """A person did, in a browser."""
        self.canary.wire = GOOD
        self.relay.target = ("127.0.0.1", self.server.port)

    def settings(self, folder: Path, engine: str = "auto") -> Settings:
        token = folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        local = Address("127.0.0.1", free_port())
        return Settings(
            agent=AgentSettings(
                listen=Address("127.0.0.1", free_port()),
                state_dir=str(folder / "state"),
                canaries=(self.canary.page,),
            ),
            targets={
                "a100": TargetSettings(
                    name="a100",
                    ssh=self.server.settings(port=self.relay.port, engine=engine, keepalive=0.5),
                    forward=ForwardSettings(local=local, remote=self.runtime, hold=5.0),
                    runtime=RuntimeSettings(kind=Kind.EXTERNAL, token_file=str(token)),
                    probe=ProbeSettings(interval=1.0, suspect_interval=0.5, timeout=10.0),
                )
            },
        )


@pytest.fixture
def scene() -> Iterator[Scene]:
    with (
        Sshd() as server,
        Sshd() as impostor,
        CanaryServer() as canary,
        StandIn() as runtime,
        Relay(("127.0.0.1", server.port)) as relay,
    ):
        server.write_known_hosts(relay.port)
        yield Scene(server, impostor, relay, canary, runtime.address)


def incidents(settings: Settings) -> set[str]:
    """The causes of those that were opened."""
    _, text = fetch(settings.agent.listen, "/metrics")
    found = re.findall(r'^watchdogd_incidents_total{cause="(\w+)".*} ([0-9.e+]+)$', text, re.M)
    assert found
    return {cause for cause, times in found if float(times)}


LOSS = {"link_lost"}
"""On a busy machine a new link may take longer than this test's short intervals allow."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ["sshtunnel", "openssh"])
def test_a_captive_portal_is_told_outwaited_and_believed_in_nothing(
    scene: Scene,
    engine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings = scene.settings(tmp_path, engine)
    config = tmp_path / "config.toml"
    config.write_text(as_toml(settings))
    known = Path(scene.server.known_hosts).read_text()
    agent = Agent(settings)
    agent.start()
    try:
        until(lambda: agent.view().targets["a100"].shown is State.UP, "up")
        assert scene.canary.heads == []  # who has a link asks nobody

        scene.enter_portal()
        until(lambda: agent.view().targets["a100"].shown is State.OFFLINE, "offline")
        target = agent.view().targets["a100"]
        assert target.verdict.cause is Cause.CAPTIVE_PORTAL
        dials = scene.relay.accepted
        rounds = target.round
        until(lambda: agent.view().targets["a100"].round > rounds + 5, "more rounds")
        assert scene.relay.accepted == dials
        assert agent.view().targets["a100"].shown is State.OFFLINE
        assert agent.view().targets["a100"].dialing.stopped_by is None
        assert incidents(settings) <= LOSS

        capsys.readouterr()
        for more in ((), ("--why",)):
            command_line(["--config", str(config), "status", "a100", *more])
            said = capsys.readouterr().out
            assert "captive_portal" in said
            assert "log in to this Wi-Fi" in " ".join(said.split())
        (checked,) = check_targets(settings, ["a100"]).values()
        assert (checked.state, checked.verdict.cause) == (State.OFFLINE, Cause.CAPTIVE_PORTAL)
        assert exit_code({"a100": checked}) == 3
        assert "open a browser and log in" in checked.verdict.detail
        assert scene.canary.page.url in checked.verdict.mend

        scene.log_in()
        until(lambda: agent.view().targets["a100"].shown is State.UP, "up again")
        assert fetch(settings.targets["a100"].forward.local, "/api")[0] == 200
        assert incidents(settings) <= LOSS
        assert Path(scene.server.known_hosts).read_text() == known
    finally:
        assert agent.stop() == ()


@pytest.mark.timeout(400)
def test_an_agent_that_starts_behind_a_portal_connects_once_that_is_over(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings = scene.settings(tmp_path)
    scene.enter_portal()
    agent = Agent(settings)
    agent.start()
    try:
        until(lambda: agent.view().targets["a100"].shown is State.OFFLINE, "offline")
        assert agent.view().targets["a100"].verdict.cause is Cause.CAPTIVE_PORTAL
        scene.log_in()
        until(lambda: agent.view().targets["a100"].shown is State.UP, "up")
        assert incidents(settings) <= LOSS
    finally:
        assert agent.stop() == ()


@pytest.mark.timeout(400)
def test_another_host_key_without_a_portal_is_told_as_ever(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings = scene.settings(tmp_path)
    agent = Agent(settings)
    agent.start()
    try:
        until(lambda: agent.view().targets["a100"].shown is State.UP, "up")
        scene.enter_portal()
        scene.canary.wire = GOOD
        until(lambda: "host_key" in incidents(settings), "told")
        target = agent.view().targets["a100"]
        assert (target.verdict.cause, target.dialing.stopped_by) == (Cause.HOST_KEY,) * 2
        dials, rounds = scene.relay.accepted, target.round
        until(lambda: agent.view().targets["a100"].round > rounds + 5, "more rounds")
        assert scene.relay.accepted == dials
        assert len(scene.canary.heads) <= 4  # not with every round
    finally:
        assert agent.stop() == ()
