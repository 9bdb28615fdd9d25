"""The metrics: every label set from the start, closed values, one state at a time, no surprises."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from watchdogd.core.commands import (
    Fact,
    IncidentClosed,
    IncidentOpened,
    Reconnected,
    RemedyEnded,
    RemedyIntended,
    RemedyRefused,
    ShadowOpened,
    ShadowScored,
)
from watchdogd.core.events import DialFailed, Event, LinkUp, Observed, Woke
from watchdogd.core.link import Dialing
from watchdogd.core.model import (
    Account,
    Charge,
    Env,
    Incident,
    Intent,
    Observation,
    Policy,
    TargetState,
    Verdict,
    View,
)
from watchdogd.core.sight import (
    ContainerSight,
    Generation,
    GpuDevice,
    GpuSight,
    GpuTool,
    KernelSight,
    SessionSight,
    Sight,
    TrainingSight,
)
from watchdogd.core.traces import Beacon, Life
from watchdogd.core.words import (
    LIVE_STATES,
    Cause,
    ContainerStatus,
    Hindsight,
    Kind,
    Layer,
    Outcome,
    Phase,
    ProbeName,
    Refusal,
    Remedy,
    Result,
    State,
    Vantage,
)
from watchdogd.probes import DECLARED_CAUSES
from watchdogd.sinks.catalogue import METRICS, PREFIX, Type
from watchdogd.sinks.metrics import MetricsSink
from watchdogd.sinks.series import TunnelFacts, unix_time

START = 1_800_000_000.0
ENV = Env(run=100.0, boot=100.0, wall=START + 60, boot_id="b", chance=0.5)
CLOSED: dict[str, set[str]] = {
    "state": {*State},
    "cause": {*Cause},
    "probe": {*ProbeName},
    "remedy": {*Remedy},
    "reason": {*Refusal},
    "level": {"debug", "info", "warning", "error", "critical"},
}
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
"""Enough for what is told here, and fifty times as fast as the library's parser."""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Bench:
    """A sink of one target, its view, and what a scrape of it says."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.view = View(
            targets={"a100": TargetState(last_up_wall=START)},
            started_wall=START,
            last_round_wall=START,
        )
        self.tunnel = TunnelFacts()
        self.body, self.samples = b"", Samples()
        self.totals = {
            "suspended_seconds_total": 0.0,
            "resumes_total": 0.0,
            "clock_steps_total": 0.0,
        }
        self.sink = MetricsSink(
            {"a100": policy or Policy()}, probes=DECLARED_CAUSES, started_wall=START, version="0"
        )
        self.sink.show(
            lambda: self.view, lambda: self.totals, lambda target: self.tunnel, lambda: ENV
        )

    def change(self, **fields: object) -> None:
        state = replace(self.view.targets["a100"], **fields)  # type: ignore[arg-type]
        self.view = replace(self.view, targets={"a100": state})

    def tell(self, event: Event, *facts: Fact) -> None:
        self.sink.told("a100", event, facts, self.view.targets["a100"], ENV)

    def scrape(self) -> Samples:
        body, _ = self.sink.render("")
        if body == self.body:
            return self.samples
        found: Samples = {}
        for name, labels, value in SAMPLE.findall(body.decode()):
            key = (name.removeprefix(PREFIX), frozenset(LABEL.findall(labels)))
            assert key not in found, f"twice: {key}"
            found[key] = float(value)
        self.body, self.samples = body, found
        return found

    def value(self, name: str, **labels: str) -> float:
        return self.scrape()[name, frozenset(labels.items())]

    def of(self, name: str, **labels: str) -> float:
        return self.value(name, target="a100", **labels)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def seen(
    probe: ProbeName,
    outcome: Outcome,
    cause: Cause | None = None,
    *,
    seconds: float = 0.5,
) -> Observation:
    return Observation(
        probe=probe,
        layer=Layer.RUNTIME,
        vantage=Vantage.TUNNEL,
        outcome=outcome,
        started=10.0,
        ended=10.0 + seconds,
        cause=cause,
    )


def observed(*observations: Observation, sight: Sight | None = None, **over: bool) -> Observed:
    return Observed(
        round=1, started=10.0, observations=observations, sight=sight or Sight(), **over
    )


def intent(remedy: Remedy) -> Intent:
    return Intent(
        key="k",
        remedy=remedy,
        incident="i",
        cause=Cause.LINK_LOST,
        generation=Generation(),
        decided=0.0,
        deadline_seconds=1.0,
        charged=False,
    )


def incident(cause: Cause) -> Incident:
    return Incident(id="i", cause=cause, opened_wall=0, first_failure_boot=0)


# -------------------------------------------------------------------- at the start


def test_everything_exists_from_the_start_with_0_but_for_times_and_what_is_so(
    bench: Bench,
) -> None:
    for (name, labels), value in bench.scrape().items():
        if name in ("build_info", "config_last_reload_successful"):
            assert value == 1
        elif name == "remedy_budget_remaining":
            assert value > 0, labels
        elif name == "target_state":
            assert value == (("state", "unknown") in labels)
        elif "timestamp" in name or name == "start_time_seconds":
            assert value == START, name
        else:
            assert value == 0, (name, labels)


def test_the_librarys_parser_reads_the_same(bench: Bench) -> None:
    everything(bench)
    text = bench.sink.render("")[0].decode()
    read = {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert read == bench.scrape()


def test_nothing_that_happens_makes_a_label_set_that_was_not_there(bench: Bench) -> None:
    before = set(bench.scrape())
    everything(bench)
    assert set(bench.scrape()) == before


def everything(bench: Bench) -> None:
    """Each event and fact once, with each value that can occur in it."""
    for probe, causes in DECLARED_CAUSES.items():
        for cause in causes if Policy().measures(probe) else ():
            bench.tell(observed(seen(probe, Outcome.FAIL, cause)))
            bench.tell(Woke(), IncidentOpened(incident=incident(cause), detection_seconds=20))
    bench.tell(Woke(), IncidentClosed(incident=incident(Cause.DNS), duration_seconds=30))
    for remedy in (Remedy.RECONNECT, Remedy.OPEN_SESSION, Remedy.RESTART_CONTAINER):
        bench.tell(Woke(), RemedyIntended(intent=intent(remedy)))
        bench.tell(Woke(), RemedyEnded(intent=intent(remedy), result=Result.FAILED, seconds=3))
        for reason in (Refusal.NO_SIGHT, Refusal.COOLDOWN):
            bench.tell(Woke(), RemedyRefused(remedy=remedy, reason=reason))
    bench.tell(Woke(), RemedyRefused(remedy=Remedy.RECONNECT, reason=Refusal.HALTED))
    bench.tell(LinkUp(number=1), Reconnected(cause=Cause.LINK_LOST, seconds=0.2))
    for cause in (Cause.AUTH, Cause.HOST_KEY, Cause.SSHD_DOWN, Cause.BUG):
        bench.tell(DialFailed(number=2, cause=cause, permanent=False, reached=False))


@pytest.mark.parametrize("kind", list(Kind))
def test_label_values_are_within_the_closed_lists_and_a_target_has_at_most_800_series(
    kind: Kind,
) -> None:
    bench = Bench(Policy(kind=kind))
    everything(bench)
    found = bench.scrape()
    for _, labels in found:
        for label, value in labels:
            if label in CLOSED:
                assert value in CLOSED[label], (label, value)
    assert len([1 for _, labels in found if ("target", "a100") in labels]) <= 800


def test_a_kind_has_the_remedies_and_probes_that_it_can_get() -> None:
    def of(kind: Kind, label: str) -> set[str]:
        found = Bench(Policy(kind=kind)).scrape()
        return {dict(labels)[label] for _, labels in found if label in dict(labels)}

    assert Remedy.RESTART_SESSION in of(Kind.SESSION, "remedy")
    assert Remedy.RESTART_SESSION not in of(Kind.CONTAINER, "remedy")
    assert of(Kind.EXTERNAL, "remedy") == {"reconnect", "reopen_forward", "refresh_token"}
    assert ProbeName.CONTAINER not in of(Kind.SESSION, "probe")
    assert ProbeName.SESSION not in of(Kind.EXTERNAL, "probe")


def test_both_formats_parse_and_nothing_is_called_created(bench: Bench) -> None:
    everything(bench)
    body, content_type = bench.sink.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = openmetrics.text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call] # the library gives it no types
    assert "watchdogd_target_state_seconds" in {family.name for family in families}
    assert b"_created" not in body
    assert b"_created" not in bench.sink.render("")[0]


def test_every_metric_of_the_catalogue_is_exported_and_no_other() -> None:
    bench = Bench(Policy(watches_training=True))
    bench.change(sight=WORK)
    body = bench.sink.render("")[0].decode()
    exported = {line.split()[2] for line in body.splitlines() if line.startswith("# TYPE")}
    assert exported == {PREFIX + metric.name for metric in METRICS}


WORK = Sight(
    gpu=GpuSight(
        read_at=1.0,
        tool=GpuTool.OK,
        devices=(GpuDevice(index=3, uuid="G", utilization=0.5, memory_used=7, memory_total=9),),
    ),
    kernels=KernelSight(read_at=1.0, kernels=frozenset("ab"), busy=frozenset("a")),
    training=TrainingSight(read_at=1.0, step=30.0, total=40.0),
)


def test_what_works_in_the_runtime_is_told_in_numbers() -> None:
    bench = Bench(Policy(watches_training=True))
    stamp = "training_last_progress_timestamp_seconds"
    assert (bench.of(stamp), bench.of("training_active")) == (START, 0)
    moved = Beacon(mark="30", advanced=ENV.run - 5.0, read_at=ENV.run)
    bench.change(sight=WORK, life=Life(progress=moved))
    assert (bench.of(stamp), bench.of("training_active")) == (ENV.wall - 5.0, 1)
    assert (bench.of("training_step"), bench.of("training_progress_ratio")) == (30, 0.75)
    assert (bench.of("kernels"), bench.of("kernels_busy")) == (2, 1)
    assert bench.of("gpu_utilization_ratio", gpu="3") == 0.5
    assert not [name for name, _ in Bench().scrape() if name.startswith(("training", "gpu"))]


def test_help_texts_say_something() -> None:
    for metric in METRICS:
        assert metric.help.endswith("."), metric.name
        assert len(metric.help.split()) >= 4, metric.name
        assert bool(metric.buckets) == (metric.type is Type.HISTOGRAM)


# -------------------------------------------------------------------- what is fed


def test_exactly_one_state_and_cause_is_shown(bench: Bench) -> None:
    for shown in LIVE_STATES:
        bench.change(shown=shown)
        found = bench.scrape()
        labels = {state: frozenset({("target", "a100"), ("state", state)}) for state in LIVE_STATES}
        assert [state for state in LIVE_STATES if found["target_state", labels[state]]] == [shown]
    bench.change(verdict=Verdict(outcome=Outcome.FAIL, cause=Cause.DNS))
    found = bench.scrape()
    ones = [labels for (name, labels), value in found.items() if name == "target_cause" and value]
    assert ones == [frozenset({("target", "a100"), ("cause", "dns")})]


def test_seconds_by_state_are_the_account(bench: Bench) -> None:
    bench.change(account=Account(seconds={State.UP: 90.5, State.ASLEEP: 3600.0}))
    assert bench.of("target_state_seconds_total", state="up") == 90.5
    assert bench.of("target_state_seconds_total", state="asleep") == 3600.0
    assert bench.of("target_state_seconds_total", state="down") == 0


def test_up_follows_the_measurement_not_the_state(bench: Bench) -> None:
    bench.change(shown=State.DOWN, verdict=Verdict(usable=True))
    assert bench.of("target_up") == 1
    bench.change(shown=State.UP, verdict=Verdict(usable=None))
    assert bench.of("target_up") == 0


@pytest.mark.parametrize(
    ("fields", "hand"),
    [
        ({"verdict": Verdict(cause=Cause.HOST_KEY)}, 1),
        ({"verdict": Verdict(cause=Cause.SSHD_DOWN)}, 0),
        ({"phase": Phase.HELD, "refusals": ((Remedy.START_CONTAINER, Refusal.OPERATOR),)}, 1),
        ({"phase": Phase.HELD, "refusals": ((Remedy.START_CONTAINER, Refusal.COOLDOWN),)}, 0),
        ({"phase": Phase.STEADY, "refusals": ((Remedy.START_CONTAINER, Refusal.BUDGET),)}, 0),
    ],
)
def test_a_hand_is_needed_where_only_a_person_can_help(
    bench: Bench, fields: dict[str, object], hand: float
) -> None:
    bench.change(**fields)
    assert bench.of("target_needs_hand") == hand


def test_the_tunnel_is_up_while_the_link_speaks_and_the_port_is_ours(bench: Bench) -> None:
    bench.change(dialing=Dialing(up=3, port_bound=True))
    assert bench.of("tunnel_up") == 1
    bench.change(dialing=Dialing(up=3, port_bound=True, silent=True))
    assert bench.of("tunnel_up") == 0
    bench.change(dialing=Dialing(up=3, port_bound=False))
    assert bench.of("tunnel_up") == 0
    bench.tunnel = TunnelFacts(
        round_trip=0.02, open_connections=3, sent_bytes=10, received_bytes=99
    )
    assert bench.of("tunnel_round_trip_seconds") == 0.02
    assert bench.of("tunnel_open_connections") == 3
    assert bench.of("tunnel_sent_bytes_total") == 10
    assert bench.of("tunnel_received_bytes_total") == 99


def test_dials_and_reconnects(bench: Bench) -> None:
    bench.tell(LinkUp(number=1))
    bench.tell(DialFailed(number=2, cause=Cause.AUTH, permanent=True, reached=True))
    bench.tell(LinkUp(number=3), Reconnected(cause=Cause.LINK_LOST, seconds=0.3))
    assert bench.of("tunnel_dials_total") == 3
    assert bench.of("tunnel_dial_failures_total", cause="auth") == 1
    assert bench.of("tunnel_reconnects_total", cause="link_lost") == 1
    assert bench.of("tunnel_reconnect_duration_seconds_sum") == 0.3
    assert bench.of("tunnel_connected_timestamp_seconds") == ENV.wall


def test_probes_are_counted_once_a_round(bench: Bench) -> None:
    tunnel = {"probe": "runtime_tunnel"}
    bench.tell(observed(seen(ProbeName.RUNTIME_TUNNEL, Outcome.OK, seconds=0.5)))
    assert bench.of("probe_success", **tunnel) == 1
    assert bench.of("probe_last_success_timestamp_seconds", **tunnel) == ENV.wall
    bench.tell(observed(seen(ProbeName.RUNTIME_TUNNEL, Outcome.FAIL, Cause.RUNTIME_HUNG)))
    bench.tell(observed(seen(ProbeName.RUNTIME_TUNNEL, Outcome.UNKNOWN)))
    assert bench.of("probe_attempts_total", **tunnel) == 3
    assert bench.of("probe_failures_total", cause="runtime_hung", **tunnel) == 1
    assert bench.of("probe_success", **tunnel) == 0
    assert bench.of("probe_duration_seconds_count", **tunnel) == 3
    assert bench.of("probe_duration_seconds_sum", **tunnel) == 1.5


def test_what_was_not_even_tried_or_straddled_a_sleep_is_no_attempt(bench: Bench) -> None:
    bench.tell(observed(seen(ProbeName.HOST, Outcome.UNKNOWN, seconds=0.0)))
    bench.tell(observed(seen(ProbeName.HOST, Outcome.FAIL, Cause.REMOTE_WEDGED), stalled=True))
    assert bench.of("probe_attempts_total", probe="host") == 0
    assert bench.of("probe_failures_total", probe="host", cause="remote_wedged") == 0


def test_remedies_refusals_and_incidents(bench: Bench) -> None:
    remedy = {"remedy": "start_container"}
    bench.tell(Woke(), RemedyIntended(intent=intent(Remedy.START_CONTAINER)))
    bench.tell(
        Woke(), RemedyEnded(intent=intent(Remedy.START_CONTAINER), result=Result.DONE, seconds=4)
    )
    assert bench.of("remedy_attempts_total", **remedy) == 1
    assert bench.of("remedy_failures_total", **remedy) == 0
    assert bench.of("remedy_last_timestamp_seconds", **remedy) == ENV.wall
    assert bench.of("remedy_duration_seconds_sum", **remedy) == 4
    bench.tell(
        Woke(), RemedyEnded(intent=intent(Remedy.START_CONTAINER), result=Result.UNKNOWN, seconds=1)
    )
    assert bench.of("remedy_failures_total", **remedy) == 1
    bench.tell(Woke(), RemedyRefused(remedy=Remedy.START_CONTAINER, reason=Refusal.GRACE))
    assert bench.of("remedy_refused_total", reason="grace", **remedy) == 1
    opened = incident(Cause.SSHD_DOWN)
    bench.tell(Woke(), IncidentOpened(incident=opened, detection_seconds=21))
    bench.change(incident=opened)
    assert bench.of("incidents_total", cause="sshd_down") == 1
    assert bench.of("incident_open") == 1
    assert bench.of("incident_detection_seconds_sum") == 21
    bench.tell(Woke(), IncidentClosed(incident=opened, duration_seconds=33))
    assert bench.of("incident_duration_seconds_sum") == 33


def test_hindsight_is_counted_by_remedy_and_what_is_undecided_is_not(bench: Bench) -> None:
    remedy, cause, reason = Remedy.RESTART_CONTAINER, Cause.RUNTIME_HUNG, Refusal.VETO
    bench.tell(Woke(), ShadowOpened(remedy=remedy, cause=cause, reason=reason))
    for outcome in (*Hindsight, Hindsight.RIGHT):
        bench.tell(
            Woke(),
            ShadowScored(remedy=remedy, cause=cause, reason=reason, outcome=outcome, seconds=1.0),
        )
    assert bench.of("shadow_right_total", remedy=remedy) == 2
    assert bench.of("shadow_false_alarms_total", remedy=remedy) == 1


def test_the_budget_goes_down_with_each_charge(bench: Bench) -> None:
    assert bench.of("remedy_budget_remaining", remedy="restart_container") == 2
    charge = Charge(remedy=Remedy.RESTART_CONTAINER, key="k", wall=0, boot=90, boot_id="b")
    bench.change(charges=(charge,))
    assert bench.of("remedy_budget_remaining", remedy="restart_container") == 1


def container(started: str, status: ContainerStatus = ContainerStatus.RUNNING) -> Sight:
    return Sight(container=ContainerSight(read_at=1, id="c1", started=started, status=status))


def test_a_container_found_started_anew_is_counted_once(bench: Bench) -> None:
    first, second = "2026-01-01T00:00:00.5Z", "2026-01-01T01:00:00Z"
    for started in (first, first, second, second):
        bench.tell(observed(sight=container(started)))
    bench.tell(observed(sight=container("2026-01-01T02:00:00Z", ContainerStatus.EXITED)))
    assert bench.of("container_restarts_total") == 1
    bench.change(sight=container(first))
    assert bench.of("container_running") == 1
    assert bench.of("container_start_time_seconds") == 1767225600.5


def test_a_death_for_memory_is_counted_once_a_start(bench: Bench) -> None:
    killed = seen(ProbeName.CONTAINER, Outcome.FAIL, Cause.CONTAINER_OOM)
    for started in ("a", "a", "b"):
        bench.tell(observed(killed, sight=container(started, ContainerStatus.EXITED)))
    assert bench.of("container_oom_kills_total") == 2


def test_the_session_and_the_network(bench: Bench) -> None:
    bench.change(sight=Sight(session=SessionSight(read_at=1, exists=True)))
    assert bench.of("session_up") == 1
    bench.change(observations=(seen(ProbeName.NETWORK, Outcome.OK),))
    assert bench.value("online") == 1
    bench.change(observations=(seen(ProbeName.NETWORK, Outcome.FAIL, Cause.OFFLINE),))
    assert bench.value("online") == 0


def test_the_loop_and_the_log(bench: Bench) -> None:
    bench.totals["suspended_seconds_total"] = 3600.0
    bench.sink.round_took(0.002)
    assert bench.value("suspended_seconds_total") == 3600
    assert bench.value("loop_round_duration_seconds_count") == 1
    logger = logging.getLogger("watchdogd.tests")
    handler = bench.sink.log_handler()
    logger.addHandler(handler)
    try:
        logger.warning("one")
    finally:
        logger.removeHandler(handler)
    assert bench.value("log_messages_total", level="warning") == 1


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1970-01-02T00:00:00Z", 0.0),
        ("2026-01-01T00:00:00.123456789Z", 1767225600.123456),
        ("2026-01-01T02:00:00+02:00", 1767225600.0),
        ("0001-01-01T00:00:00Z", 0.0),
        ("2026-01-01T00:00:00", 0.0),
        ("garbage", 0.0),
        ("", 0.0),
    ],
)
def test_an_engines_time(stamp: str, seconds: float) -> None:
    assert unix_time(stamp) == pytest.approx(seconds)


def test_targets_that_come_and_go_bring_and_take_their_series(bench: Bench) -> None:
    bench.tell(LinkUp(number=1))
    before = bench.scrape()
    other = Policy(kind=Kind.EXTERNAL)
    bench.sink.regroup({"a100": Policy(interval=60.0), "b": other}, START + 10)
    bench.view = replace(bench.view, targets={**bench.view.targets, "b": TargetState()})
    both = bench.scrape()
    assert {key: value for key, value in both.items() if key in before} == before
    assert both["tunnel_dials_total", frozenset({("target", "b")})] == 0
    bench.sink.regroup({"b": other}, START + 20)
    bench.scrape()  # the view still has the one that went: no error
    bench.view = replace(bench.view, targets={"b": TargetState()})
    left = bench.scrape()
    assert not [labels for _, labels in left if ("target", "a100") in labels]
    assert {key for key in both if ("target", "b") in key[1]} <= left.keys()


def test_a_target_of_another_kind_has_the_series_of_that_kind(bench: Bench) -> None:
    bench.tell(LinkUp(number=1))
    bench.sink.regroup({"a100": Policy(kind=Kind.SESSION)}, START + 10)
    fresh = Bench(Policy(kind=Kind.SESSION))
    assert bench.scrape().keys() == fresh.scrape().keys()
    assert bench.of("tunnel_dials_total") == 0


def test_a_round_that_was_on_its_way_brings_no_series_back() -> None:
    with_gpus = Bench(Policy(gpus=True))
    with_gpus.sink.regroup({"a100": Policy(gpus=False)}, START + 10)
    with_gpus.tell(observed(seen(ProbeName.GPU, Outcome.OK)))
    assert with_gpus.scrape().keys() == Bench(Policy(gpus=False)).scrape().keys()


def test_a_refused_reload_shows_until_one_is_taken_up(bench: Bench) -> None:
    def shown() -> tuple[float, float]:
        at = bench.value("config_last_reload_success_timestamp_seconds")
        return bench.value("config_last_reload_successful"), at

    assert shown() == (1, START)
    bench.sink.reloaded(START + 5, successful=False)
    assert shown() == (0, START)
    bench.sink.reloaded(START + 9, successful=True)
    assert shown() == (1, START + 9)
