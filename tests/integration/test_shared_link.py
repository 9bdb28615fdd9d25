"""Two targets behind one real SSH server: one login serves both, and neither ends the other's link."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.asking import fetch
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from tests.lab.stand_in import TOKEN, StandIn
from tests.lab.waiting import until
from watchdogd.app import Agent
from watchdogd.core.words import Kind
from watchdogd.loading import Source
from watchdogd.settings import (
    Address,
    AgentSettings,
    ForwardSettings,
    ProbeSettings,
    RuntimeSettings,
    Settings,
    SshSettings,
    TargetSettings,
)

pytestmark = pytest.mark.real

LATER = 60.0
NAMES = ("a", "b")


class Lab:
    """A server, a runtime, and an agent in this process whose configuration a test may replace."""

    def __init__(self, folder: Path, stack: ExitStack, engine: str) -> None:
        self.sshd = stack.enter_context(Sshd())
        self.runtime = stack.enter_context(StandIn())
        token = folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        ssh = self.sshd.settings(engine=engine, keepalive=1.0)
        agent = AgentSettings(
            listen=Address("127.0.0.1", free_port()), state_dir=str(folder / "state")
        )
        targets = {name: self._target(name, ssh, str(token)) for name in NAMES}
        self.settings = Settings(agent=agent, targets=targets)
        source = Source(path=None, environ={}, read=lambda *_: self.settings)
        self.agent = Agent(self.settings, source=source)
        self.agent.start()
        stack.callback(self.agent.stop)

    def _target(self, name: str, ssh: SshSettings, token: str) -> TargetSettings:
        return TargetSettings(
            name=name,
            ssh=ssh,
            forward=ForwardSettings(
                local=Address("127.0.0.1", free_port()), remote=self.runtime.address
            ),
            runtime=RuntimeSettings(kind=Kind.EXTERNAL, token_file=token),
            probe=ProbeSettings(interval=1.0, suspect_interval=0.5, timeout=5.0),
        )

    def logins(self) -> int:
        """Connections that were let in, since the server's start."""
        return self.sshd.log_text().count("Accepted publickey")

    def until_served(self, *names: str) -> None:
        for name in names:
            until(lambda name=name: self.serves(name), f"{name} serves", LATER)  # type: ignore[misc]

    def serves(self, name: str) -> bool:
        try:
            return fetch(self.settings.targets[name].forward.local, "/api")[0] == 200
        except OSError:
            return False

    def metric(self, name: str) -> float:
        """The sum of that metric's series, as a scraper reads them."""
        _, text = fetch(self.settings.agent.listen, "/metrics")
        lines = [line for line in text.splitlines() if line.startswith(f"watchdogd_{name}")]
        assert lines, name
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def reload(self, settings: Settings) -> None:
        self.settings = settings
        self.agent.reload()


@pytest.fixture(params=["sshtunnel", "openssh"])
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with ExitStack() as stack:
        made = Lab(tmp_path, stack, request.param)
        made.until_served(*NAMES)
        yield made


def test_one_login_serves_both_and_its_loss_is_counted_for_each(lab: Lab) -> None:
    assert lab.logins() == 1
    for name in NAMES:
        assert lab.metric(f'tunnel_dials_total{{target="{name}"}}') == 1
    lab.sshd.kill_sessions()
    lab.until_served(*NAMES)
    for name in NAMES:
        series = f'tunnel_reconnects_total{{cause="link_lost",target="{name}"}}'
        until(lambda series=series: lab.metric(series) == 1, "it is counted", LATER)  # type: ignore[misc]
        assert lab.metric(f'tunnel_up{{target="{name}"}}') == 1
    assert lab.logins() == 2


def test_a_target_that_leaves_or_changes_leaves_the_other_s_link(lab: Lab) -> None:
    connection = lab.sshd.session_pids()[0]
    changed = replace(lab.settings.targets["b"], probe=ProbeSettings(interval=2.0))
    moved = ForwardSettings(
        local=Address("127.0.0.1", free_port()), remote=lab.runtime.address, hold=1.0
    )
    lab.reload(
        replace(
            lab.settings,
            targets={"a": lab.settings.targets["a"], "b": replace(changed, forward=moved)},
        )
    )
    lab.until_served(*NAMES)
    lab.reload(replace(lab.settings, targets={"a": lab.settings.targets["a"]}))
    until(lambda: set(lab.agent.view().targets) == {"a"}, "b is gone", LATER)
    lab.until_served("a")
    assert lab.sshd.session_pids()[0] == connection
    assert lab.logins() == 1
    assert lab.metric('tunnel_dials_total{target="a"}') == 1
