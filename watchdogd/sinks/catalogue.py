"""Which metrics there are: names, types, labels, help texts. The names are interface.

In the flow: ``series.py`` says what is in them, ``metrics.py`` renders. A metric stands here only if
something feeds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "watchdogd_"


class Type(StrEnum):
    """What a scraper is told."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """One family, named without prefix; counters as exported, with ``_total``."""

    name: str
    type: Type
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


ROUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0)
PROBES = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REMEDIES = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
GAPS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0)
OUTAGES = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

TARGET = ("target",)

METRICS: tuple[Metric, ...] = (
    Metric(
        "build_info", Type.INFO, ("version", "python"), "Version of the agent and of its Python."
    ),
    Metric("start_time_seconds", Type.GAUGE, (), "Unix time at which the agent started."),
    Metric(
        "loop_last_round_timestamp_seconds",
        Type.GAUGE,
        (),
        "Unix time of the decision loop's last completed round; the start time before the first.",
    ),
    Metric(
        "loop_round_duration_seconds",
        Type.HISTOGRAM,
        (),
        "Time that a round of the decision loop took, waiting for events excluded.",
        ROUNDS,
    ),
    Metric(
        "config_last_reload_successful",
        Type.GAUGE,
        (),
        "1 if the configuration in force is the one last found, 0 if a newer one was rejected.",
    ),
    Metric(
        "config_last_reload_success_timestamp_seconds",
        Type.GAUGE,
        (),
        "Unix time at which the configuration in force was loaded.",
    ),
    Metric(
        "target_up",
        Type.GAUGE,
        TARGET,
        "1 if a request through the forward got the right runtime's answer when last measured.",
    ),
    Metric(
        "target_needs_hand",
        Type.GAUGE,
        TARGET,
        "1 while only a person can help; `watchdogd status TARGET` says with what.",
    ),
    Metric("target_state", Type.GAUGE, (*TARGET, "state"), "1 for the target's present state."),
    Metric(
        "target_state_seconds_total",
        Type.COUNTER,
        (*TARGET, "state"),
        "Seconds spent in each state, or asleep: the source of every availability figure.",
    ),
    Metric(
        "target_cause", Type.GAUGE, (*TARGET, "cause"), "1 for the cause of the present trouble."
    ),
    Metric(
        "target_last_up_timestamp_seconds",
        Type.GAUGE,
        TARGET,
        "Unix time at which the target was last up; the start time before that.",
    ),
    Metric(
        "tunnel_up",
        Type.GAUGE,
        TARGET,
        "1 while the SSH link speaks and the forward's local port is ours.",
    ),
    Metric(
        "tunnel_connected_timestamp_seconds",
        Type.GAUGE,
        TARGET,
        "Unix time at which the newest SSH link came up; the start time before the first.",
    ),
    Metric(
        "tunnel_round_trip_seconds",
        Type.GAUGE,
        TARGET,
        "Round trip of the last answered keepalive; 0 before the first and without a link.",
    ),
    Metric(
        "tunnel_open_connections",
        Type.GAUGE,
        TARGET,
        "Client connections that the forward carries.",
    ),
    Metric("tunnel_dials_total", Type.COUNTER, TARGET, "Dials that ended, with or without a link."),
    Metric(
        "tunnel_dial_failures_total",
        Type.COUNTER,
        (*TARGET, "cause"),
        "Dials that ended without a link.",
    ),
    Metric(
        "tunnel_reconnects_total",
        Type.COUNTER,
        (*TARGET, "cause"),
        "Links re-established after a loss, by what the loss was.",
    ),
    Metric(
        "tunnel_reconnect_duration_seconds",
        Type.HISTOGRAM,
        TARGET,
        "From the loss of the link to forwarding again.",
        GAPS,
    ),
    Metric(
        "tunnel_sent_bytes_total", Type.COUNTER, TARGET, "Bytes from local clients to the runtime."
    ),
    Metric(
        "tunnel_received_bytes_total",
        Type.COUNTER,
        TARGET,
        "Bytes from the runtime to local clients.",
    ),
    Metric(
        "probe_duration_seconds",
        Type.HISTOGRAM,
        (*TARGET, "probe"),
        "Time that a probe took, failures and timeouts included.",
        PROBES,
    ),
    Metric(
        "probe_attempts_total",
        Type.COUNTER,
        (*TARGET, "probe"),
        "Probes that ran; one that could not even be tried is not counted.",
    ),
    Metric(
        "probe_failures_total",
        Type.COUNTER,
        (*TARGET, "probe", "cause"),
        "Probes that found a fault. One that found nothing out is no failure.",
    ),
    Metric(
        "probe_success",
        Type.GAUGE,
        (*TARGET, "probe"),
        "1 if the probe's last conclusive run found all well, 0 if a fault or never run.",
    ),
    Metric(
        "probe_last_success_timestamp_seconds",
        Type.GAUGE,
        (*TARGET, "probe"),
        "Unix time of the probe's last success; the start time before the first.",
    ),
    Metric("remedy_attempts_total", Type.COUNTER, (*TARGET, "remedy"), "Remedies that were begun."),
    Metric(
        "remedy_failures_total",
        Type.COUNTER,
        (*TARGET, "remedy"),
        "Remedies that failed, or whose effect is not known.",
    ),
    Metric(
        "remedy_refused_total",
        Type.COUNTER,
        (*TARGET, "remedy", "reason"),
        "Remedies passed over, by reason; told again every minute while it lasts.",
    ),
    Metric(
        "remedy_duration_seconds",
        Type.HISTOGRAM,
        (*TARGET, "remedy"),
        "Time that a remedy ran, its own proof included.",
        REMEDIES,
    ),
    Metric(
        "remedy_last_timestamp_seconds",
        Type.GAUGE,
        (*TARGET, "remedy"),
        "Unix time at which the remedy was last begun; the start time before that.",
    ),
    Metric(
        "remedy_budget_remaining",
        Type.GAUGE,
        (*TARGET, "remedy"),
        "How often the remedy may still run now; only time gives budget back.",
    ),
    Metric(
        "shadow_right_total",
        Type.COUNTER,
        (*TARGET, "remedy"),
        "Remedies held back by observe, ask or a veto alone that would have been right.",
    ),
    Metric(
        "shadow_false_alarms_total",
        Type.COUNTER,
        (*TARGET, "remedy"),
        "The same where health came back by itself, in the time given to the remedy for its proof.",
    ),
    Metric(
        "incidents_total", Type.COUNTER, (*TARGET, "cause"), "Incidents, by the cause at opening."
    ),
    Metric("incident_open", Type.GAUGE, TARGET, "1 while an incident is open."),
    Metric(
        "incident_duration_seconds",
        Type.HISTOGRAM,
        TARGET,
        "From the first failing round to usable again.",
        OUTAGES,
    ),
    Metric(
        "incident_detection_seconds",
        Type.HISTOGRAM,
        TARGET,
        "From the first failing round to the confirmed incident.",
        OUTAGES,
    ),
    Metric("container_running", Type.GAUGE, TARGET, "1 if the container was last seen running."),
    Metric(
        "container_start_time_seconds",
        Type.GAUGE,
        TARGET,
        "Unix time at which the container was started, as its engine says; 0 if not known.",
    ),
    Metric(
        "container_restarts_total",
        Type.COUNTER,
        TARGET,
        "Times the container was found started anew, whoever did it.",
    ),
    Metric(
        "container_oom_kills_total",
        Type.COUNTER,
        TARGET,
        "Times the container was found killed for memory.",
    ),
    Metric("session_up", Type.GAUGE, TARGET, "1 if the tmux session was last seen there."),
    Metric("kernels", Type.GAUGE, TARGET, "Kernels of the runtime when it could last be asked."),
    Metric("kernels_busy", Type.GAUGE, TARGET, "Those of them that said that they were busy."),
    Metric(
        "training_active",
        Type.GAUGE,
        TARGET,
        "1 if a configured sign of a training run moves: progress file, checkpoint or log.",
    ),
    Metric("training_step", Type.GAUGE, TARGET, "Step in the progress file; 0 if there is none."),
    Metric(
        "training_progress_ratio",
        Type.GAUGE,
        TARGET,
        "Step over total in the progress file; 0 if one of them is not told.",
    ),
    Metric(
        "training_last_progress_timestamp_seconds",
        Type.GAUGE,
        TARGET,
        "Unix time of the last move of progress file or checkpoint; the start time before the first.",
    ),
    Metric(
        "training_resumes_total",
        Type.COUNTER,
        TARGET,
        "Times resume_command was run after a verified repair.",
    ),
    Metric(
        "training_resume_failures_total",
        Type.COUNTER,
        TARGET,
        "Resumes that failed: the command did, or did not end in time; no progress followed, or the training was "
        "lost at the same step again.",
    ),
    Metric(
        "gpu_utilization_ratio",
        Type.GAUGE,
        (*TARGET, "gpu"),
        "Use of a GPU of the server, as nvidia-smi tells; there once it was read.",
    ),
    Metric("gpu_memory_used_bytes", Type.GAUGE, (*TARGET, "gpu"), "Memory in use on a GPU."),
    Metric("gpu_memory_total_bytes", Type.GAUGE, (*TARGET, "gpu"), "Memory of a GPU."),
    Metric(
        "suspended_seconds_total",
        Type.COUNTER,
        (),
        "Seconds that this machine slept, or the agent stood still.",
    ),
    Metric("resumes_total", Type.COUNTER, (), "Times this machine woke up."),
    Metric("online", Type.GAUGE, (), "1 if this machine had a network when last looked."),
    Metric("clock_steps_total", Type.COUNTER, (), "Times the wall clock was set by over a minute."),
    Metric(
        "notifications_total",
        Type.COUNTER,
        ("channel",),
        "Messages that were sent, taken or not, by the scheme of the address; and pings of the heartbeat.",
    ),
    Metric(
        "notification_failures_total",
        Type.COUNTER,
        ("channel",),
        "Those that were not taken; they are tried again.",
    ),
    Metric("log_messages_total", Type.COUNTER, ("level",), "Log records, by level."),
)
