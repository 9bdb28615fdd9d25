"""People are told by a real agent, through the real apprise; and an endpoint that never answers harms nothing (F67)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.asking import fetch
from tests.lab.endpoint import Endpoint
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from tests.lab.stand_in import TOKEN, StandIn
from tests.lab.waiting import until as until_in
from watchdogd.app import Agent
from watchdogd.core.words import Kind, State
from watchdogd.loading import Source
from watchdogd.settings import (
    Address,
    AgentSettings,
    ForwardSettings,
    NotifySettings,
    ProbeSettings,
    RuntimeSettings,
    Secret,
    Settings,
    TargetSettings,
)

pytestmark = pytest.mark.real
PATH_SECRET = "s3cr3t-path-of-the-endpoint"


def until(condition: Callable[[], object], what: str) -> None:
    """With time for pauses between tries."""
    until_in(condition, what, 90.0)


@pytest.fixture
def own_sshd() -> Iterator[Sshd]:
    with Sshd() as server:
        yield server


@pytest.fixture
def quiet() -> Iterator[Endpoint]:
    """Accepts, and never answers, until it is told to."""
    with Endpoint(answers=False) as server:
        yield server


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        yield server


@pytest.fixture
def settings(own_sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with StandIn() as runtime:
        target = TargetSettings(
            name="a100",
            ssh=own_sshd.settings(keepalive=0.5),
            forward=ForwardSettings(
                local=Address("127.0.0.1", free_port()), remote=runtime.address, hold=5.0
            ),
            runtime=RuntimeSettings(kind=Kind.EXTERNAL, token_file=str(token)),
            probe=ProbeSettings(interval=0.5, suspect_interval=0.2, timeout=3.0),
        )
        yield Settings(
            agent=AgentSettings(
                listen=Address("127.0.0.1", free_port()), state_dir=str(tmp_path / "state")
            ),
            targets={"a100": target},
        )


def telling(settings: Settings, *servers: Endpoint) -> Settings:
    """The same, with these to be told."""
    file = Path(settings.agent.state_dir).parent / "urls"
    urls = [f"json://{one.address}/{PATH_SECRET}" for one in servers]
    file.write_text("# whom to tell\n\n" + "\n".join(urls) + "\n")
    file.chmod(0o600)
    return replace(settings, notify=NotifySettings(urls_file=str(file)))


def metric(settings: Settings, series: str) -> float:
    _, text = fetch(settings.agent.listen, "/metrics")
    lines = [one for one in text.splitlines() if one.startswith(f"watchdogd_{series} ")]
    return float(lines[0].rpartition(" ")[2]) if lines else -1.0


def failures(settings: Settings, channel: str = "json") -> float:
    return metric(settings, f'notification_failures_total{{channel="{channel}"}}')


def state(agent: Agent) -> State:
    return agent.view().targets["a100"].shown


@pytest.fixture
def begun(settings: Settings) -> Iterator[Callable[[Settings], Agent]]:
    """Starts an agent, awaits that it is up, and sees it end."""
    made: list[Agent] = []

    def begin(settings: Settings) -> Agent:
        agent = Agent(settings)
        made.append(agent)
        agent.start()
        until(lambda: state(agent) is State.UP, "up")
        return agent

    yield begin
    for agent in made:
        assert agent.stop() == ()  # all of it within its own time


def break_host_key(own_sshd: Sshd) -> Callable[[], object]:
    """A person is needed, at once; returns what mends it."""
    file = Path(own_sshd.known_hosts)
    kept = file.read_text()
    file.write_text("")
    own_sshd.kill_sessions()
    return lambda: file.write_text(kept)


def test_an_endpoint_that_never_answers_holds_up_nothing_and_is_told_once_it_does(
    settings: Settings,
    own_sshd: Sshd,
    quiet: Endpoint,
    begun: Callable[[Settings], Agent],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("apprise", reason="not installed: apprise")
    settings = telling(settings, quiet)
    caplog.set_level(logging.DEBUG)
    agent = begun(settings)
    until(lambda: failures(settings) == 0, "the series, before anything was sent")
    mend = break_host_key(own_sshd)
    until(lambda: quiet.met, "a message on its way")
    before = agent._loop.pulse().rounds
    until(lambda: agent._loop.pulse().rounds > before or failures(settings), "a round, or its end")
    assert agent._loop.pulse().rounds > before  # the sending still waits: it held up no round
    until(lambda: failures(settings) >= 1, "a failure that is counted")
    mend()
    until(lambda: state(agent) is State.UP, "up, all the same")
    quiet.answers = True
    until(lambda: quiet.taken, "the message, once somebody answers")
    until(lambda: "is well again" in "".join(quiet.bodies()), "the end")
    told = "\n".join(quiet.bodies())
    assert told.count("needs a person") <= 1
    assert told.count("is well again") == 1
    sent = 'notifications_total{channel="json"}'
    until(lambda: metric(settings, sent) >= failures(settings) + 1, "that it is counted")
    warnings = [one for one in caplog.messages if "messages to json are not taken" in one]
    assert len(warnings) == 1
    assert "no answer in 4 s" in warnings[0] or "nobody there" in warnings[0]
    assert PATH_SECRET not in caplog.text
    assert PATH_SECRET not in fetch(settings.agent.listen, "/metrics")[1]
    assert TOKEN.encode() not in quiet.heard


def test_the_end_of_the_agent_waits_for_no_endpoint(
    settings: Settings, own_sshd: Sshd, quiet: Endpoint, begun: Callable[[Settings], Agent]
) -> None:
    pytest.importorskip("apprise", reason="not installed: apprise")
    begun(telling(settings, quiet))
    break_host_key(own_sshd)
    until(lambda: quiet.met, "a message on its way")  # and now it ends


def test_opened_and_resolved_arrive_once_each_over_a_restart_of_the_agent(
    settings: Settings, own_sshd: Sshd, endpoint: Endpoint
) -> None:
    pytest.importorskip("apprise", reason="not installed: apprise")
    settings = telling(settings, endpoint)
    agent = Agent(settings)
    agent.start()
    until(lambda: state(agent) is State.UP, "up")
    own_sshd.stop()
    until(lambda: endpoint.taken, "the opening")
    assert "a100 is not usable for" in endpoint.bodies()[0]
    until(lambda: metric(settings, 'notifications_total{channel="json"}') == 1, "its answer")
    assert agent.stop() == ()

    again = Agent(settings)
    again.start()
    try:
        own_sshd.start()
        until(lambda: len(endpoint.taken) > 1, "the end")
        assert "a100 is well again" in endpoint.bodies()[1]
        assert len(endpoint.taken) == 2
        assert failures(settings) == 0
    finally:
        assert again.stop() == ()


def test_the_dead_mans_switch_is_pinged_fails_with_a_person_and_logs_incidents(
    settings: Settings, own_sshd: Sshd, endpoint: Endpoint, begun: Callable[[Settings], Agent]
) -> None:
    url = Secret(f"http://{endpoint.address}/{PATH_SECRET}?rid=1")
    settings = replace(settings, notify=NotifySettings(heartbeat_url=url))
    agent = begun(settings)
    until(lambda: endpoint.lines() == [f"GET /{PATH_SECRET}?rid=1"], "a ping")
    mend = break_host_key(own_sshd)
    opened = f"POST /{PATH_SECRET}/log?rid=1 a100: incident opened"
    until(lambda: opened in "\n".join(endpoint.lines()), "a log")
    failed = f"POST /{PATH_SECRET}/fail?rid=1 needs a person: a100"
    until(lambda: failed in endpoint.lines(), "a failure")
    until(
        lambda: "files_changed" in [one["kind"] for one in agent._recent.of("a100")],
        "its look at known_hosts",
    )
    mend()
    until(lambda: "incident closed" in "\n".join(endpoint.lines()), "the end")
    until(lambda: endpoint.lines().count(f"GET /{PATH_SECRET}?rid=1") == 2, "no person is needed")
    assert failures(settings, "heartbeat") == 0


def test_another_notify_is_in_force_at_once_and_the_tunnel_stays(
    settings: Settings, endpoint: Endpoint, tmp_path: Path
) -> None:
    now = [settings]
    source = Source(path=str(tmp_path / "config.toml"), environ={}, read=lambda *_: now[0])
    agent = Agent(settings, source=source)
    agent.start()
    try:
        until(lambda: state(agent) is State.UP, "up")
        link = agent.view().targets["a100"].dialing.up
        url = Secret(f"http://{endpoint.address}/{PATH_SECRET}")
        now[0] = replace(settings, notify=NotifySettings(heartbeat_url=url))
        agent.reload()
        until(lambda: endpoint.taken, "a ping")
        until(lambda: failures(settings, "heartbeat") == 0, "its series")
        assert agent.view().targets["a100"].dialing.up == link
    finally:
        assert agent.stop() == ()
