"""Every query of the rules and the dashboard, by a real Prometheus, on a live agent, through an outage."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.asking import fetch
from tests.lab.endpoint import Endpoint
from tests.lab.needs import free_port, programs
from tests.lab.prometheus import Prometheus
from tests.lab.queries import SELECTOR, Query, all_queries
from tests.lab.sshd import Sshd, stop_process
from tests.lab.stand_in import TOKEN, StandIn
from tests.lab.waiting import until
from watchdogd.settings import Address

pytestmark = pytest.mark.real

NOTHING_HAPPENED = {
    "watchdogd_container_restarts_total": "no container is there",
    "watchdogd_container_oom_kills_total": "no container is there",
    "watchdogd_remedy_failures_total": "each remedy worked",
    "alert WatchdogdConfigRejected": "the configuration is fine",
    "alert WatchdogdLoopStalled": "the loop runs",
    "alert WatchdogdBug": "no defect",
    "alert WatchdogdNotificationsFail": "each ping is taken",
    "panel Messages B": "each ping is taken",
    "alert WatchdogdReconnectStorm": "one reconnection is none",
    "alert WatchdogdBlind": "the first verdict may come before the first scrape",
    "alert WatchdogdDegraded": "from served to proved takes less than a scrape",
}
"""Queries that look for what did not happen here, by their place or their metric. What they select must
be there all the same."""


class Lab:
    """An agent with a healthy target, and one whose server has no container engine; it pings a dead man's switch."""

    def __init__(self, folder: Path, sshd: Sshd, runtime: StandIn, pinged: Endpoint) -> None:
        self.sshd = sshd
        self.runtime = runtime
        self.listen = Address("127.0.0.1", free_port())
        token = folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.config = folder / "config.toml"
        self.config.write_text(f"""
[agent]
listen = "{self.listen}"
state_dir = "{folder}/state"
[notify]
heartbeat_url = "http://{pinged.address}/check"
[defaults.ssh]
host = "127.0.0.1"
port = {sshd.port}
identity_file = "{sshd.identity_file}"
known_hosts = "{sshd.known_hosts}"
[defaults.probe]
interval = "1s"
suspect_interval = "500ms"
[targets.a100.forward]
local = "127.0.0.1:{free_port()}"
remote = "{runtime.address}"
[targets.a100.runtime]
kind = "external"
token_file = "{token}"
[targets.b200]
mode = "observe"
[targets.b200.forward]
local = "127.0.0.1:{free_port()}"
remote = "127.0.0.1:1"
[targets.b200.runtime.container]
image = "not-there"
""")
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "DOCKER_HOST": "unix:///nowhere"}
        argv = [sys.executable, "-m", "watchdogd", "--config", str(self.config), "run"]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(argv, env=environ, stdout=log, stderr=log)

    def metrics(self) -> str:
        return fetch(self.listen, "/metrics")[1]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    engineless = {"SetEnv": "DOCKER_HOST=unix:///nowhere"}
    with StandIn() as runtime, Sshd(engineless) as sshd, Endpoint() as pinged:
        made = Lab(tmp_path, sshd, runtime, pinged)
        try:
            yield made
        finally:
            stop_process(made.process)


def expected_empty(query: Query) -> bool:
    names = {query.place, *(name for name, _ in query.selectors())}
    return bool(names & NOTHING_HAPPENED.keys())


def test_every_query_answers_through_a_real_outage(lab: Lab) -> None:
    with Prometheus(lab.listen) as prometheus:
        begun = time.time()
        up = 'watchdogd_target_state{target="a100",state="up"} == 1'
        until(lambda: prometheus.now(up), "the target is up, for Prometheus")
        until(lambda: prometheus.now('watchdogd_target_needs_hand{target="b200"} == 1'), "a hand")

        lab.sshd.kill_sessions()
        reconnects = 'watchdogd_tunnel_reconnects_total{target="a100",cause="link_lost"}'
        until(lambda: prometheus.value(reconnects) == 1, "one reconnection, for Prometheus")
        lab.sshd.stop()
        down = 'watchdogd_target_state{target="a100",state="down"} == 1'
        until(lambda: prometheus.now(down), "the target is down, for Prometheus")
        alerts = 'ALERTS{alertname="WatchdogdTargetDown",target="a100",alertstate="pending"}'
        until(lambda: prometheus.now(alerts), "the alert on it is pending")
        lab.sshd.start()
        until(lambda: prometheus.now(up), "the target is up again")
        until(lambda: prometheus.value(f"sum({reconnects.partition('{')[0]})") == 4, "all links")
        until(lambda: not prometheus.now(alerts), "the alert is over")

        seconds = 'watchdogd_target_state_seconds_total{target="a100",state=~"down|healing"}'
        assert sum(float(one["value"][1]) for one in prometheus.now(seconds)) > 0
        unusable = 'target:watchdogd_unusable:ratio_rate5m{target="a100"}'
        share = until(lambda: prometheus.value(f"{unusable} > 0"), "the outage in the rules")
        assert 0 < share < 1

        end = time.time()
        told = []
        for query in all_queries():
            if prometheus.over(query.filled(), begun, end):
                continue
            if not expected_empty(query):
                told.append(f"{query.place}: nothing")
            for name, matchers in SELECTOR.findall(query.filled()):
                if not prometheus.over(f"{name}{{{matchers}}}", begun, end):
                    told.append(f"{query.place}: no series {name}{{{matchers}}}")
        assert told == []

        groups = prometheus.ask("rules")["groups"]
        errors = [rule for group in groups for rule in group["rules"] if rule["health"] != "ok"]
        assert errors == []
        firing = {
            alert["labels"]["alertname"]
            for alert in prometheus.ask("alerts")["alerts"]
            if alert["state"] == "firing"
        }
        assert "WatchdogdDeadMansSwitch" in firing
        assert not firing & {"WatchdogdTargetDown", "WatchdogdLoopStalled", "WatchdogdAgentMissing"}


def test_the_exposition_passes_promtools_own_check(lab: Lab) -> None:
    programs("promtool")
    until(lambda: _asked(lab), "an answer")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=lab.metrics(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def _asked(lab: Lab) -> bool:
    try:
        return fetch(lab.listen, "/livez")[0] == 200
    except OSError:
        return False
