"""Which label sets can occur, and what the View says in numbers: data, no library.

In the flow: ``metrics.py`` renders this. Each label value comes from a closed list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from watchdogd.core.budget import limits, remaining
from watchdogd.core.hand import needs_hand
from watchdogd.core.ladders import remedies_of
from watchdogd.core.life import moving
from watchdogd.core.model import (
    Env,
    Policy,
    TargetState,
)
from watchdogd.core.words import (
    HARM,
    LIVE_STATES,
    Cause,
    ContainerStatus,
    Harm,
    Kind,
    Outcome,
    ProbeName,
    Refusal,
    Remedy,
    State,
)

LEVELS = ("debug", "info", "warning", "error", "critical")
DIAL_CAUSES = (
    Cause.OFFLINE,
    Cause.DNS,
    Cause.HOST_UNREACHABLE,
    Cause.SSHD_DOWN,
    Cause.SSHD_REJECTS,
    Cause.HOST_KEY,
    Cause.AUTH,
    Cause.LINK_LOST,
    Cause.REMOTE_WEDGED,
    Cause.AGENT,
    Cause.BUG,
)
"""What a dial can end with."""
BASIC_REFUSALS = (Refusal.NO_SIGHT, Refusal.COOLDOWN)
REFUSALS: dict[Harm, tuple[Refusal, ...]] = {
    Harm.HARMLESS: (*BASIC_REFUSALS, Refusal.BUDGET, Refusal.OBSERVE),
    Harm.RESTORING: (
        *BASIC_REFUSALS,
        Refusal.BUDGET,
        Refusal.OBSERVE,
        Refusal.HALTED,
        Refusal.GRACE,
        Refusal.VETO,
        Refusal.OPERATOR,
        Refusal.FAILED_START,
    ),
    Harm.DESTRUCTIVE: (
        *BASIC_REFUSALS,
        Refusal.BUDGET,
        Refusal.OBSERVE,
        Refusal.HALTED,
        Refusal.GRACE,
        Refusal.VETO,
        Refusal.UNARMED,
        Refusal.ASK,
        Refusal.PAUSED,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelFacts:
    """What the links and the forward say of themselves without being asked over the network."""

    round_trip: float | None = None
    open_connections: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


def refusals_of(remedy: Remedy) -> tuple[Refusal, ...]:
    """The reasons for which it can be passed over."""
    if remedy is Remedy.RECONNECT:
        return (*BASIC_REFUSALS, Refusal.HALTED)
    return REFUSALS[HARM[remedy]]


def shadowed(remedy: Remedy) -> bool:
    """Can mode, a person's missing word or a veto be what alone holds it back?"""
    return remedy not in (Remedy.RECONNECT, Remedy.REOPEN_FORWARD)


def causes_of(declared: Mapping[ProbeName, Collection[Cause]]) -> tuple[Cause, ...]:
    """All causes that a target can show, given what its probes and dials can find."""
    found = {cause for causes in declared.values() for cause in causes}
    return tuple(cause for cause in Cause if cause in found or cause in DIAL_CAUSES)


Sample = tuple[str, tuple[str, ...], float]
"""Name without prefix, label values in the metric's order, value."""


def of_target(
    name: str,
    state: TargetState,
    policy: Policy,
    causes: tuple[Cause, ...],
    tunnel: TunnelFacts,
    env: Env,
    started_wall: float,
) -> Iterator[Sample]:
    """Every gauge and running total that the View holds of one target. ``started_wall``: what a time
    that was not seen yet stands at."""
    one = (name,)
    cause = state.verdict.cause
    yield "target_up", one, float(bool(state.verdict.usable))
    yield "target_needs_hand", one, float(needs_hand(state))
    for shown in LIVE_STATES:
        yield "target_state", (name, shown), float(shown is state.shown)
    for booked in State:
        yield "target_state_seconds_total", (name, booked), state.account.seconds.get(booked, 0.0)
    for known in dict.fromkeys((*causes, *((cause,) if cause else ()))):
        yield "target_cause", (name, known), float(known is cause)
    yield "target_last_up_timestamp_seconds", one, state.last_up_wall
    yield "incident_open", one, float(state.incident is not None)
    link = state.dialing
    speaks = link.up is not None and not link.silent and link.port_bound
    yield "tunnel_up", one, float(speaks)
    yield "tunnel_round_trip_seconds", one, tunnel.round_trip or 0.0
    yield "tunnel_open_connections", one, float(tunnel.open_connections)
    yield "tunnel_sent_bytes_total", one, float(tunnel.sent_bytes)
    yield "tunnel_received_bytes_total", one, float(tunnel.received_bytes)
    for remedy in remedies_of(policy.kind):
        if limits(remedy, policy):
            left = remaining(remedy, state, policy, env)
            yield "remedy_budget_remaining", (name, remedy), float(left or 0)
    yield from _of_runtime(name, state, policy)
    yield from _of_work(name, state, policy, env, started_wall)


def _of_runtime(name: str, state: TargetState, policy: Policy) -> Iterator[Sample]:
    if policy.kind is Kind.CONTAINER:
        seen = state.sight.container
        running = seen is not None and seen.status is ContainerStatus.RUNNING
        yield "container_running", (name,), float(running)
        yield "container_start_time_seconds", (name,), unix_time(seen.started if seen else "")
    if policy.has_session:
        session = state.sight.session
        yield "session_up", (name,), float(session is not None and bool(session.exists))


def _of_work(
    name: str, state: TargetState, policy: Policy, env: Env, started_wall: float
) -> Iterator[Sample]:
    kernels = state.sight.kernels
    yield "kernels", (name,), float(len(kernels.kernels) if kernels else 0)
    yield "kernels_busy", (name,), float(len(kernels.busy) if kernels else 0)
    if policy.watches_training:
        yield from _of_training(name, state, policy, env, started_wall)
    for device in state.sight.gpu.devices if state.sight.gpu else ():
        one = (name, str(device.index))
        yield "gpu_utilization_ratio", one, device.utilization or 0.0
        yield "gpu_memory_used_bytes", one, float(device.memory_used or 0)
        yield "gpu_memory_total_bytes", one, float(device.memory_total or 0)


def _of_training(
    name: str, state: TargetState, policy: Policy, env: Env, started_wall: float
) -> Iterator[Sample]:
    seen, beacons = state.sight.training, (state.life.progress, state.life.checkpoint)
    step = seen.step if seen and seen.step is not None else 0.0
    total = seen.total if seen and seen.total else 0.0
    moved = [env.wall - (env.run - one.advanced) for one in beacons if one is not None]
    yield "training_active", (name,), float(moving(state, policy, env.run))
    yield "training_step", (name,), step
    yield "training_progress_ratio", (name,), min(1.0, max(0.0, step / total)) if total else 0.0
    yield "training_last_progress_timestamp_seconds", (name,), max(moved, default=started_wall)


def online(states: Mapping[str, TargetState]) -> bool:
    """Did any target's newest look at the network find one?"""
    return any(
        seen.probe is ProbeName.NETWORK and seen.outcome is Outcome.OK
        for state in states.values()
        for seen in state.observations
    )


def unix_time(stamp: str) -> float:
    """An engine's RFC 3339 time as Unix seconds; 0 if it is none (never started: year 1)."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return 0.0
    return moment.timestamp() if moment.tzinfo and moment.year > 1970 else 0.0
