"""The instruments that facts move: counters, histograms, gauges, each by its name in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)

from watchdogd.core.words import Hindsight, ProbeName
from watchdogd.sinks.catalogue import METRICS, PREFIX, Metric

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


_M = TypeVar("_M", Counter, Gauge, Histogram)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfProbe:
    """What each run of one target's probe moves."""

    attempts: Counter
    seconds: Histogram
    success: Gauge
    success_at: Gauge


class Tallies:
    """The instruments: counters, histograms and the gauges that a fact sets. One registry's own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library gives it no types
        self._registry = registry
        self._of_a_target: list[Counter | Gauge | Histogram] = []
        self._of_probes: dict[tuple[str, ProbeName], OfProbe] = {}
        self.round_seconds = self._histogram("loop_round_duration_seconds")
        self.dials = self._counter("tunnel_dials_total")
        self.dial_failures = self._counter("tunnel_dial_failures_total")
        self.connected_at = self._gauge("tunnel_connected_timestamp_seconds")
        self.reconnects = self._counter("tunnel_reconnects_total")
        self.reconnect_seconds = self._histogram("tunnel_reconnect_duration_seconds")
        self.probe_seconds = self._histogram("probe_duration_seconds")
        self.probe_attempts = self._counter("probe_attempts_total")
        self.probe_failures = self._counter("probe_failures_total")
        self.probe_success = self._gauge("probe_success")
        self.probe_success_at = self._gauge("probe_last_success_timestamp_seconds")
        self.remedy_attempts = self._counter("remedy_attempts_total")
        self.remedy_failures = self._counter("remedy_failures_total")
        self.remedy_refused = self._counter("remedy_refused_total")
        self.remedy_seconds = self._histogram("remedy_duration_seconds")
        self.remedy_at = self._gauge("remedy_last_timestamp_seconds")
        self.shadow = {
            Hindsight.RIGHT: self._counter("shadow_right_total"),
            Hindsight.FALSE_ALARM: self._counter("shadow_false_alarms_total"),
        }
        self.incidents = self._counter("incidents_total")
        self.incident_seconds = self._histogram("incident_duration_seconds")
        self.detection_seconds = self._histogram("incident_detection_seconds")
        self.container_restarts = self._counter("container_restarts_total")
        self.oom_kills = self._counter("container_oom_kills_total")
        self.resumes = self._counter("training_resumes_total")
        self.resume_failures = self._counter("training_resume_failures_total")
        self.notifications = self._counter("notifications_total")
        self.notification_failures = self._counter("notification_failures_total")
        self.log_messages = self._counter("log_messages_total")
        self.started_at = self._gauge("start_time_seconds")
        self.reload_successful = self._gauge("config_last_reload_successful")
        self.reload_success_at = self._gauge("config_last_reload_success_timestamp_seconds")

    def info(self, name: str, values: Mapping[str, str]) -> None:
        """An info metric and its one sample."""
        metric = BY_NAME[name]
        bare = PREFIX + name.removesuffix("_info")
        Info(bare, metric.help, registry=self._registry).info(dict(values))

    def of_probe(self, target: str, probe: ProbeName) -> OfProbe:
        """Kept, as each round asks for some twenty: the library finds them by the texts of their labels."""
        key = (target, probe)
        if key not in self._of_probes:
            self._of_probes[key] = OfProbe(
                attempts=self.probe_attempts.labels(*key),
                seconds=self.probe_seconds.labels(*key),
                success=self.probe_success.labels(*key),
                success_at=self.probe_success_at.labels(*key),
            )
        return self._of_probes[key]

    def forget(self, target: str) -> None:
        """Take away every series of a target."""
        self._of_probes = {key: one for key, one in self._of_probes.items() if key[0] != target}
        for metric in self._of_a_target:
            metric.remove_by_labels({"target": target})

    def _counter(self, name: str) -> Counter:
        metric = BY_NAME[name]
        made = Counter(PREFIX + name, metric.help, metric.labels, registry=self._registry)
        return self._kept(metric, made)

    def _gauge(self, name: str) -> Gauge:
        metric = BY_NAME[name]
        made = Gauge(PREFIX + name, metric.help, metric.labels, registry=self._registry)
        return self._kept(metric, made)

    def _histogram(self, name: str) -> Histogram:
        metric = BY_NAME[name]
        made = Histogram(
            PREFIX + name,
            metric.help,
            metric.labels,
            registry=self._registry,
            buckets=metric.buckets,
        )
        return self._kept(metric, made)

    def _kept(self, metric: Metric, made: _M) -> _M:
        if "target" in metric.labels:
            self._of_a_target.append(made)
        return made
