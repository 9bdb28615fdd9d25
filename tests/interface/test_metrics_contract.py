"""The metrics as other programs rely on them: names, types and labels, against the published table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from watchdogd.core.model import Policy
from watchdogd.core.words import Refusal, State
from watchdogd.probes import DECLARED_CAUSES
from watchdogd.sinks.catalogue import METRICS, PREFIX
from watchdogd.sinks.metrics import MetricsSink

TABLE = """
build_info | info | version, python
start_time_seconds, loop_last_round_timestamp_seconds | gauge |
loop_round_duration_seconds | histogram |
config_last_reload_successful, config_last_reload_success_timestamp_seconds | gauge |
target_up, target_needs_hand | gauge | target
target_state | gauge | target, state
target_state_seconds_total | counter | target, state
target_cause | gauge | target, cause
target_last_up_timestamp_seconds | gauge | target
tunnel_up, tunnel_connected_timestamp_seconds | gauge | target
tunnel_round_trip_seconds, tunnel_open_connections | gauge | target
tunnel_dials_total | counter | target
tunnel_dial_failures_total | counter | target, cause
tunnel_reconnects_total | counter | target, cause
tunnel_reconnect_duration_seconds | histogram | target
tunnel_sent_bytes_total, tunnel_received_bytes_total | counter | target
probe_duration_seconds | histogram | target, probe
probe_attempts_total | counter | target, probe
probe_failures_total | counter | target, probe, cause
probe_success, probe_last_success_timestamp_seconds | gauge | target, probe
remedy_attempts_total, remedy_failures_total | counter | target, remedy
remedy_refused_total | counter | target, remedy, reason
remedy_duration_seconds | histogram | target, remedy
remedy_last_timestamp_seconds, remedy_budget_remaining | gauge | target, remedy
shadow_right_total, shadow_false_alarms_total | counter | target, remedy
incidents_total | counter | target, cause
incident_open | gauge | target
incident_duration_seconds, incident_detection_seconds | histogram | target
container_running, container_start_time_seconds | gauge | target
container_restarts_total, container_oom_kills_total | counter | target
session_up | gauge | target
kernels, kernels_busy | gauge | target
training_active, training_step, training_progress_ratio | gauge | target
training_last_progress_timestamp_seconds | gauge | target
training_resumes_total, training_resume_failures_total | counter | target
gpu_utilization_ratio, gpu_memory_used_bytes, gpu_memory_total_bytes | gauge | target, gpu
suspended_seconds_total, resumes_total, clock_steps_total | counter |
online | gauge |
notifications_total, notification_failures_total | counter | channel
log_messages_total | counter | level
"""
"""Published; changed only with a note in the changelog. What is lost is
published too, and exported once something feeds it."""
UNFED = (
    "kernel_replaced",
    "training_lost",
)


def rows() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for line in TABLE.strip().splitlines():
        names, kind, labels = (part.strip() for part in line.split("|"))
        for name in names.split(","):
            yield (
                name.strip(),
                kind,
                tuple(filter(None, (one.strip() for one in labels.split(",")))),
            )


def test_the_catalogue_is_the_published_table() -> None:
    assert {(metric.name, str(metric.type), metric.labels) for metric in METRICS} == set(rows())


@pytest.mark.parametrize("start", UNFED)
def test_nothing_is_exported_that_nothing_feeds(start: str) -> None:
    assert not [metric.name for metric in METRICS if metric.name.startswith(start)]


def exposition(accept: str) -> str:
    sink = MetricsSink(
        {"a100": Policy()}, probes=DECLARED_CAUSES, started_wall=1.8e9, version="0.1.0"
    )
    return sink.render(accept)[0].decode()


def test_names_and_types_as_a_scraper_sees_them() -> None:
    """What the View feeds is rendered only with a View: here, the instruments alone."""
    published = {PREFIX + name: kind for name, kind, _ in rows()}
    lines = [line.split() for line in exposition("").splitlines() if line.startswith("# TYPE")]
    assert lines
    for _, _, name, kind in lines:
        expected = published[name]
        assert kind == ("gauge" if expected == "info" else expected), name


def test_build_info_is_one_series_with_both_labels() -> None:
    line = next(
        one for one in exposition("").splitlines() if one.startswith("watchdogd_build_info{")
    )
    assert 'version="0.1.0"' in line
    assert 'python="3.' in line
    assert line.endswith(" 1.0")


def test_states_and_reasons_are_the_published_ones() -> None:
    assert {str(state) for state in State} == {
        *("up", "degraded", "down", "healing", "offline", "unknown", "paused", "asleep")
    }
    assert {str(reason) for reason in Refusal} == {
        *("veto", "budget", "cooldown", "grace", "paused", "observe", "ask", "no_sight"),
        *("flapping", "halted", "operator", "unarmed", "failed_start"),
    }
