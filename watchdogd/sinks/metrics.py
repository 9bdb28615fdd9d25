"""Facts and the View as Prometheus metrics.

In the flow: counters and histograms are fed by facts (``told``); what a target *is* right now is
rendered from the View at the scrape, so that a scrape sees exactly one state. A scrape does no I/O.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from watchdogd.core.commands import (
    Fact,
    HookEnded,
    IncidentClosed,
    IncidentOpened,
    Reconnected,
    RemedyEnded,
    RemedyIntended,
    RemedyRefused,
    ResumeEnded,
    ShadowScored,
)
from watchdogd.core.events import DialFailed, Event, LinkUp, Observed
from watchdogd.core.ladders import remedies_of
from watchdogd.core.model import (
    Env,
    Observation,
    Policy,
    TargetState,
    View,
)
from watchdogd.core.sight import Sight
from watchdogd.core.words import (
    Cause,
    ContainerStatus,
    Kind,
    Outcome,
    ProbeName,
    Result,
)
from watchdogd.sinks import series
from watchdogd.sinks.catalogue import PREFIX, Metric, Type
from watchdogd.sinks.tallies import BY_NAME, Tallies

FAILED = (Result.FAILED, Result.UNKNOWN)


class MetricsSink:
    """Implements ``ports.Sink``; ``render`` answers a scrape. One registry of its own an instance."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        probes: Mapping[ProbeName, Collection[Cause]],
        started_wall: float,
        version: str,
    ) -> None:
        """``probes``: what each probe that this agent runs can find.

        Every label set that can occur exists from now on.
        """
        self._policies = dict(policies)
        self._probes = {name: {*causes, Cause.BUG} for name, causes in probes.items()}
        self._causes = series.causes_of(self._probes)
        self._started: dict[str, tuple[str, str]] = {}
        self._killed: dict[str, tuple[str, str]] = {}
        self._registry = CollectorRegistry()
        self._made = Tallies(self._registry)
        self._made.info("build_info", {"version": version, "python": platform.python_version()})
        self._made.started_at.set(started_wall)
        self.reloaded(started_wall, successful=True)
        for level in series.LEVELS:
            self._made.log_messages.labels(level)
        for target, policy in policies.items():
            self._prepare(target, policy, started_wall)

    def _prepare(self, target: str, policy: Policy, now: float) -> None:
        made = self._made
        for plain in (made.dials, made.reconnect_seconds, made.incident_seconds):
            plain.labels(target)
        made.detection_seconds.labels(target)
        made.connected_at.labels(target).set(now)
        for cause in series.DIAL_CAUSES:
            made.dial_failures.labels(target, cause)
            made.reconnects.labels(target, cause)
        for cause in self._causes:
            made.incidents.labels(target, cause)
        if policy.kind is Kind.CONTAINER:
            made.container_restarts.labels(target)
            made.oom_kills.labels(target)
        if policy.resumes:
            made.resumes.labels(target)
            made.resume_failures.labels(target)
        self._prepare_probes(target, policy, now)
        for remedy in remedies_of(policy.kind):
            made.remedy_attempts.labels(target, remedy)
            made.remedy_failures.labels(target, remedy)
            made.remedy_seconds.labels(target, remedy)
            made.remedy_at.labels(target, remedy).set(now)
            for reason in series.refusals_of(remedy):
                made.remedy_refused.labels(target, remedy, reason)
            for hindsight in made.shadow.values() if series.shadowed(remedy) else ():
                hindsight.labels(target, remedy)

    def _prepare_probes(self, target: str, policy: Policy, now: float) -> None:
        made = self._made
        for probe, causes in self._probes.items():
            if not policy.measures(probe):
                continue
            made.of_probe(target, probe).success_at.set(now)
            for cause in causes:
                made.probe_failures.labels(target, probe, cause)

    def regroup(self, policies: Mapping[str, Policy], now: float) -> None:
        """These are the targets from ``now`` (wall clock) on. The series of one that is gone go with
        it; those of one whose kind changed begin again from 0. For the thread that calls ``told``."""
        for target, policy in self._policies.items():
            if target not in policies or _shape(policies[target]) != _shape(policy):
                self._made.forget(target)
                self._started.pop(target, None)
                self._killed.pop(target, None)
        before, self._policies = self._policies, dict(policies)
        for target, policy in policies.items():
            if target not in before or _shape(before[target]) != _shape(policy):
                self._prepare(target, policy, now)

    def reloaded(self, now: float, *, successful: bool) -> None:
        """The configuration was read again at ``now`` (wall clock): taken up, or refused."""
        self._made.reload_successful.set(float(successful))
        if successful:
            self._made.reload_success_at.set(now)

    def show(
        self,
        view: Callable[[], View],
        pulse: Callable[[], Mapping[str, float]],
        tunnel: Callable[[str], series.TunnelFacts],
        env: Callable[[], Env],
    ) -> None:
        """Render these too from now on; call once. None of them may raise or do I/O.

        ``pulse`` gives the plain totals of the loop by metric name.
        """
        self._registry.register(
            _ViewCollector(lambda: self._policies, self._causes, view, pulse, tunnel, env)
        )

    def render(self, accept: str) -> tuple[bytes, str]:
        """A scrape: body and content type, OpenMetrics if the ``Accept`` header asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def round_took(self, seconds: float) -> None:
        """A round of the decision loop was completed."""
        self._made.round_seconds.observe(seconds)

    def channels(self, names: Iterable[str]) -> None:
        """Messages may go through these from now on."""
        for name in names:
            self._made.notifications.labels(name)
            self._made.notification_failures.labels(name)

    def notified(self, channel: str, taken: bool) -> None:
        """A message was sent through this channel, or a ping."""
        self._made.notifications.labels(channel).inc()
        if not taken:
            self._made.notification_failures.labels(channel).inc()

    def log_handler(self) -> logging.Handler:
        """A handler that counts records by level; for the root logger."""
        return _LevelCounter(self._made.log_messages)

    # ------------------------------------------------------------ the sink

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        """Count what happened."""
        made = self._made
        match event:
            case LinkUp():
                made.dials.labels(target).inc()
                made.connected_at.labels(target).set(env.wall)
            case DialFailed(cause=cause):
                made.dials.labels(target).inc()
                made.dial_failures.labels(target, cause).inc()
            case Observed():
                self._observed(target, event, env)
            case _:
                pass
        for fact in facts:
            self._count(target, fact, env)

    def _count(self, target: str, fact: Fact, env: Env) -> None:
        made = self._made
        match fact:
            case Reconnected(cause=cause, seconds=seconds):
                made.reconnects.labels(target, cause).inc()
                made.reconnect_seconds.labels(target).observe(seconds)
            case RemedyIntended(intent=intent):
                made.remedy_attempts.labels(target, intent.remedy).inc()
                made.remedy_at.labels(target, intent.remedy).set(env.wall)
            case RemedyEnded(intent=intent, result=result, seconds=seconds):
                made.remedy_seconds.labels(target, intent.remedy).observe(seconds)
                if result in FAILED:
                    made.remedy_failures.labels(target, intent.remedy).inc()
            case RemedyRefused(remedy=remedy, reason=reason):
                made.remedy_refused.labels(target, remedy, reason).inc()
            case ShadowScored(remedy=remedy, outcome=outcome) if outcome in made.shadow:
                made.shadow[outcome].labels(target, remedy).inc()
            case HookEnded(result=result) if result is not Result.NOTHING:
                made.resumes.labels(target).inc()
            case ResumeEnded(moved=False):
                made.resume_failures.labels(target).inc()
            case IncidentOpened(incident=incident, detection_seconds=seconds):
                made.incidents.labels(target, incident.cause).inc()
                made.detection_seconds.labels(target).observe(seconds)
            case IncidentClosed(duration_seconds=seconds):
                made.incident_seconds.labels(target).observe(seconds)
            case _:
                pass

    def _observed(self, target: str, event: Observed, env: Env) -> None:
        if event.stalled:
            return  # its durations and failures are the sleep's, not the probes'
        by_probe: dict[ProbeName, list[Observation]] = {}
        for seen in event.observations:
            by_probe.setdefault(seen.probe, []).append(seen)
        for probe, found in by_probe.items():
            self._probed(target, probe, found, env)
        self._container(target, event.sight, event.observations)

    def _probed(
        self, target: str, probe: ProbeName, found: Iterable[Observation], env: Env
    ) -> None:
        policy = self._policies.get(target)
        if policy is None or not policy.measures(probe):
            return  # a round that was on its way when the configuration changed: these series are gone
        made, seen = self._made, tuple(found)
        seconds = max(one.ended for one in seen) - min(one.started for one in seen)
        outcomes = {one.outcome for one in seen}
        if outcomes == {Outcome.UNKNOWN} and seconds <= 0:
            return  # it was not even tried
        run = made.of_probe(target, probe)
        run.attempts.inc()
        run.seconds.observe(max(0.0, seconds))
        failed = next((one for one in seen if one.cause and one.outcome is Outcome.FAIL), None)
        if failed is not None and failed.cause is not None:
            made.probe_failures.labels(target, probe, failed.cause).inc()
            run.success.set(0)
        elif Outcome.OK in outcomes:
            run.success.set(1)
            run.success_at.set(env.wall)

    def _container(self, target: str, sight: Sight, seen: Iterable[Observation]) -> None:
        """A start that was not there before, and a death for memory, are counted once each."""
        container = sight.container
        if container is None or container.id is None:
            return
        generation = (container.id, container.started)
        running = container.status is ContainerStatus.RUNNING
        if running and self._started.setdefault(target, generation) != generation:
            self._started[target] = generation
            self._made.container_restarts.labels(target).inc()
        killed = any(one.cause is Cause.CONTAINER_OOM for one in seen)
        if killed and self._killed.get(target) != generation:
            self._killed[target] = generation
            self._made.oom_kills.labels(target).inc()


class _ViewCollector(Collector):
    """The View as families: one consistent picture a scrape."""

    def __init__(
        self,
        policies: Callable[[], Mapping[str, Policy]],
        causes: tuple[Cause, ...],
        view: Callable[[], View],
        pulse: Callable[[], Mapping[str, float]],
        tunnel: Callable[[str], series.TunnelFacts],
        env: Callable[[], Env],
    ) -> None:
        self._policies = policies
        self._causes = causes
        self._view = view
        self._pulse = pulse
        self._tunnel = tunnel
        self._env = env

    def collect(self) -> Iterable[Family]:
        """All families of the View, each once."""
        view, env = self._view(), self._env()
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for name, labels, value in self._samples(view, env):
            if name not in families:
                families[name] = _family(BY_NAME[name])
            families[name].add_metric(labels, value)
        return families.values()

    def _samples(self, view: View, env: Env) -> Iterable[series.Sample]:
        yield "loop_last_round_timestamp_seconds", (), view.last_round_wall
        yield "online", (), float(series.online(view.targets))
        for name, value in self._pulse().items():
            yield name, (), value
        policies = self._policies()
        for target, state in view.targets.items():
            policy = policies.get(target)
            if policy is None:
                continue  # a target that comes or goes at this very moment
            yield from series.of_target(
                target, state, policy, self._causes, self._tunnel(target), env, view.started_wall
            )


def _shape(policy: Policy) -> object:
    """What decides which series a target has."""
    return policy.kind, policy.view_session, policy.watches_training, policy.gpus, policy.resumes


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.type is Type.COUNTER else GaugeMetricFamily
    return kind(PREFIX + metric.name, metric.help, labels=metric.labels)


class _LevelCounter(logging.Handler):
    """Counts; formats and writes nothing."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        self._counter.labels(level if level in series.LEVELS else "info").inc()
