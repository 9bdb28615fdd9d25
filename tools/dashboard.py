"""Writes ``config/grafana/dashboards/overview.json``: run it after a change here.

    .venv/bin/python tools/dashboard.py

A test compares the file with what this makes. The queries are data (``PANELS``); the Foundation SDK turns
them into Grafana's classic model. Every query selects by job, instance and target, so that one file serves
one laptop or a hundred agents. Only raw metrics are used, but for the objective: it works without the rules.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import DataSourceRef, StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    GridPos,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)

FILE = (
    Path(__file__).resolve().parent.parent / "config" / "grafana" / "dashboards" / "overview.json"
)
UID = "watchdogd-overview"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HERE = 'job=~"$job", instance=~"$instance"'
ONE = f'{HERE}, target=~"$target"'
RATE = "[$__rate_interval]"

STATES = {
    "up": "green",
    "degraded": "yellow",
    "healing": "orange",
    "down": "red",
    "paused": "blue",
    "offline": "purple",
    "unknown": "gray",
}
"""In the order of their numbers in the timeline, from 1. The number is made in the panel, never exported."""
NUMBERED = "sum without (state) (\n  " + "\n  or ".join(
    f'watchdogd_target_state{{{ONE}, state="{state}"}} * {number}'
    for number, state in enumerate(STATES, 1)
) + "\n)"  # fmt: skip
"""Exactly one of them is 1; ``> 0`` would be wrong for a series that is 0 in the sum: all are there."""
SECONDS = "watchdogd_target_state_seconds_total"
UNUSABLE = 'state=~"down|healing"'
COUNTED = 'state=~"up|degraded|down|healing"'


def usable(window: str) -> str:
    """The share of the time that counts in which a target could be used."""
    return (
        f"1 - sum without (state) (increase({SECONDS}{{{ONE}, {UNUSABLE}}}[{window}]))\n"
        f"  / (sum without (state) (increase({SECONDS}{{{ONE}, {COUNTED}}}[{window}])) > 0)"
    )


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: what it shows, and where."""

    title: str
    description: str
    kind: str
    """``stat``, ``timeline``, ``series`` or ``bars``."""
    queries: tuple[tuple[str, str], ...]
    """PromQL and legend each."""
    unit: str
    width: int = 8
    height: int = 8
    mappings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Value -> word and colour."""
    steps: tuple[tuple[float | None, str], ...] = ()
    """Thresholds: from this value on that colour; the first has none."""
    stacked: bool = False


ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel(
            title="State",
            description="As the agent sees it now. offline: this machine has no network, so no verdict.",
            kind="stat",
            queries=((NUMBERED, "{{target}}"),),
            unit="none",
            width=6,
            height=5,
            mappings={str(n): (word, color) for n, (word, color) in enumerate(STATES.items(), 1)},
        ),
        Panel(
            title="Needs a person",
            description="yes: the agent may not, or cannot, do more. `watchdogd status TARGET` says what is "
            "wrong and what mends it.",
            kind="stat",
            queries=((f"watchdogd_target_needs_hand{{{ONE}}}", "{{target}}"),),
            unit="none",
            width=6,
            height=5,
            mappings={"0": ("no", "green"), "1": ("yes", "red")},
        ),
        Panel(
            title="Present cause",
            description="The lowest layer that fails. Empty while all is well.",
            kind="stat",
            queries=((f"watchdogd_target_cause{{{ONE}}} == 1", "{{target}}: {{cause}}"),),
            unit="none",
            width=6,
            height=5,
            mappings={"1": ("now", "red")},
        ),
        Panel(
            title="Tunnel age",
            description="Since when the present SSH link is up.",
            kind="stat",
            queries=(
                (
                    f"(time() - watchdogd_tunnel_connected_timestamp_seconds{{{ONE}}})"
                    f" * on (job, instance, target) (watchdogd_tunnel_up{{{ONE}}} == 1)",
                    "{{target}}",
                ),
            ),
            unit="s",
            width=6,
            height=5,
        ),
    ),
    "Availability": (
        Panel(
            title="State over time",
            description="A gap is a time without a scrape, such as a sleeping laptop: nobody knows, and it is "
            "never shown as green.",
            kind="timeline",
            queries=((NUMBERED, "{{target}}"),),
            unit="none",
            width=24,
            height=7,
            mappings={str(n): (word, color) for n, (word, color) in enumerate(STATES.items(), 1)},
        ),
        Panel(
            title="Usable",
            description="Of the time that was neither asleep, paused, offline nor unknown: the share in which a "
            "request got the right runtime's answer.",
            kind="stat",
            queries=(
                (usable("24h"), "{{target}} 24 h"),
                (usable("7d"), "{{target}} 7 d"),
                (usable("30d"), "{{target}} 30 d"),
            ),
            unit="percentunit",
            width=10,
            height=6,
            steps=((None, "red"), (0.97, "yellow"), (0.99, "green")),
        ),
        Panel(
            title="Observed, 24 h",
            description="The share of the awake, online, unpaused time that has a verdict. An agent that sees "
            "nothing must not shine.",
            kind="stat",
            queries=(
                (
                    f"sum without (state) (increase({SECONDS}{{{ONE}, {COUNTED}}}[24h]))\n"
                    f'  / (sum without (state) (increase({SECONDS}{{{ONE}, state!~"asleep|paused|offline"}}'
                    "[24h])) > 0)",
                    "{{target}}",
                ),
            ),
            unit="percentunit",
            width=7,
            height=6,
            steps=((None, "red"), (0.9, "yellow"), (0.98, "green")),
        ),
        Panel(
            title="Burn of the budget",
            description="1: what an objective of 99 % allows. From the recording rules, so empty until they are "
            "loaded and had a time to count.",
            kind="series",
            queries=(
                (f"target:watchdogd_unusable:ratio_rate1h{{{ONE}}} / 0.01", "{{target}} 1 h"),
                (f"target:watchdogd_unusable:ratio_rate6h{{{ONE}}} / 0.01", "{{target}} 6 h"),
            ),
            unit="none",
            width=7,
            height=6,
        ),
    ),
    "Tunnel": (
        Panel(
            title="Reconnections",
            description="Links that were established again after a loss, by what the loss was.",
            kind="series",
            queries=(
                (
                    f"increase(watchdogd_tunnel_reconnects_total{{{ONE}}}{RATE}) > 0",
                    "{{target}} {{cause}}",
                ),
            ),
            unit="short",
            stacked=True,
        ),
        Panel(
            title="From lost to forwarding again",
            description="Median and 95th percentile of the last hour.",
            kind="series",
            queries=tuple(
                (
                    f"histogram_quantile({q}, sum by (job, instance, target, le) "
                    f"(increase(watchdogd_tunnel_reconnect_duration_seconds_bucket{{{ONE}}}[1h])))",
                    f"{{{{target}}}} p{int(q * 100)}",
                )
                for q in (0.5, 0.95)
            ),
            unit="s",
        ),
        Panel(
            title="Failed dials",
            description="Attempts that ended without a link, by cause.",
            kind="series",
            queries=(
                (
                    f"increase(watchdogd_tunnel_dial_failures_total{{{ONE}}}{RATE}) > 0",
                    "{{target}} {{cause}}",
                ),
            ),
            unit="short",
            stacked=True,
        ),
        Panel(
            title="Round trip",
            description="Of the last answered keepalive.",
            kind="series",
            queries=((f"watchdogd_tunnel_round_trip_seconds{{{ONE}}}", "{{target}}"),),
            unit="s",
        ),
        Panel(
            title="Traffic",
            description="Bytes through the forward: up is to the runtime.",
            kind="series",
            queries=(
                (f"rate(watchdogd_tunnel_sent_bytes_total{{{ONE}}}{RATE})", "{{target}} up"),
                (f"rate(watchdogd_tunnel_received_bytes_total{{{ONE}}}{RATE})", "{{target}} down"),
            ),
            unit="Bps",
        ),
        Panel(
            title="Open connections",
            description="Of local clients, and dials per second behind them.",
            kind="series",
            queries=(
                (f"watchdogd_tunnel_open_connections{{{ONE}}}", "{{target}} clients"),
                (f"rate(watchdogd_tunnel_dials_total{{{ONE}}}{RATE})", "{{target}} dials/s"),
            ),
            unit="short",
        ),
    ),
    "Repairs": (
        Panel(
            title="Incidents",
            description="By the cause at their opening. What breaks again within a minute of health belongs to "
            "the same one.",
            kind="series",
            queries=(
                (f"increase(watchdogd_incidents_total{{{ONE}}}{RATE}) > 0", "{{target}} {{cause}}"),
                (f"watchdogd_incident_open{{{ONE}}} == 1", "{{target}} open"),
            ),
            unit="short",
            stacked=True,
        ),
        Panel(
            title="To detect, and to be usable again",
            description="Median of the last day, from the first failing look.",
            kind="series",
            queries=tuple(
                (
                    "histogram_quantile(0.5, sum by (job, instance, target, le) "
                    f"(increase(watchdogd_incident_{what}_seconds_bucket{{{ONE}}}[1d])))",
                    f"{{{{target}}}} {legend}",
                )
                for what, legend in (("detection", "detected"), ("duration", "usable again"))
            ),
            unit="s",
        ),
        Panel(
            title="Remedies",
            description="Begun, and those that failed or whose effect is not known.",
            kind="series",
            queries=(
                (
                    f"increase(watchdogd_remedy_attempts_total{{{ONE}}}{RATE}) > 0",
                    "{{target}} {{remedy}}",
                ),
                (
                    f"increase(watchdogd_remedy_failures_total{{{ONE}}}{RATE}) > 0",
                    "{{target}} {{remedy}} failed",
                ),
            ),
            unit="short",
            stacked=True,
        ),
        Panel(
            title="Held back",
            description="Remedies passed over, by reason; told again each minute while it lasts. To wait is "
            "often right.",
            kind="series",
            queries=(
                (
                    "sum by (job, instance, target, reason) "
                    f"(increase(watchdogd_remedy_refused_total{{{ONE}}}{RATE})) > 0",
                    "{{target}} {{reason}}",
                ),
            ),
            unit="short",
            stacked=True,
        ),
        Panel(
            title="Budget left",
            description="How often a remedy may still run now. Only age gives budget back.",
            kind="bars",
            queries=((f"watchdogd_remedy_budget_remaining{{{ONE}}}", "{{target}} {{remedy}}"),),
            unit="short",
        ),
        Panel(
            title="Time that a remedy takes",
            description="95th percentile of the last day, its own proof included.",
            kind="series",
            queries=(
                (
                    "histogram_quantile(0.95, sum by (job, instance, target, remedy, le) "
                    f"(increase(watchdogd_remedy_duration_seconds_bucket{{{ONE}}}[1d])))",
                    "{{target}} {{remedy}}",
                ),
            ),
            unit="s",
        ),
    ),
    "Probes": (
        Panel(
            title="Time that a probe takes",
            description="95th percentile, failures and timeouts included.",
            kind="series",
            queries=(
                (
                    "histogram_quantile(0.95, sum by (job, instance, target, probe, le) "
                    f"(rate(watchdogd_probe_duration_seconds_bucket{{{ONE}}}{RATE})))",
                    "{{target}} {{probe}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Faults found",
            description="Probes that found a fault, by cause.",
            kind="series",
            queries=(
                (
                    "sum by (job, instance, target, probe, cause) "
                    f"(increase(watchdogd_probe_failures_total{{{ONE}}}{RATE})) > 0",
                    "{{target}} {{probe}}: {{cause}}",
                ),
            ),
            unit="short",
            stacked=True,
        ),
        Panel(
            title="Probes that ran",
            description="Per second; a target that is looked at ever more rarely is a blind spot.",
            kind="series",
            queries=(
                (
                    f"rate(watchdogd_probe_attempts_total{{{ONE}}}{RATE})",
                    "{{target}} {{probe}}",
                ),
            ),
            unit="cps",
        ),
        Panel(
            title="Last success of a probe",
            description="How long ago.",
            kind="bars",
            queries=(
                (
                    f"time() - watchdogd_probe_last_success_timestamp_seconds{{{ONE}}}",
                    "{{target}} {{probe}}",
                ),
            ),
            unit="s",
            width=12,
        ),
        Panel(
            title="Container and session",
            description="Starts that were found, deaths for memory, and how long the present container runs.",
            kind="series",
            queries=(
                (f"watchdogd_container_running{{{ONE}}}", "{{target}} running"),
                (f"watchdogd_session_up{{{ONE}}}", "{{target}} session"),
                (
                    f"increase(watchdogd_container_restarts_total{{{ONE}}}{RATE}) > 0",
                    "{{target}} started",
                ),
                (
                    f"increase(watchdogd_container_oom_kills_total{{{ONE}}}{RATE}) > 0",
                    "{{target}} killed for memory",
                ),
            ),
            unit="short",
            width=12,
        ),
        Panel(
            title="Kernels",
            description="Of the runtime when it could last be asked. A busy one defers a restart.",
            kind="series",
            queries=(
                (f"watchdogd_kernels{{{ONE}}}", "{{target}}"),
                (f"watchdogd_kernels_busy{{{ONE}}}", "{{target}} busy"),
            ),
            unit="short",
            width=12,
        ),
    ),
    "The agent itself": (
        Panel(
            title="Decision loop",
            description="Age of its last round, and the 95th percentile of the time that one takes.",
            kind="series",
            queries=(
                (f"time() - watchdogd_loop_last_round_timestamp_seconds{{{HERE}}}", "age"),
                (
                    "histogram_quantile(0.95, sum by (job, instance, le) "
                    f"(rate(watchdogd_loop_round_duration_seconds_bucket{{{HERE}}}{RATE})))",
                    "p95",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Configuration",
            description="refused: the files were changed and the former configuration is in force.",
            kind="stat",
            queries=((f"watchdogd_config_last_reload_successful{{{HERE}}}", "{{instance}}"),),
            unit="none",
            width=4,
            mappings={"0": ("refused", "red"), "1": ("in force", "green")},
        ),
        Panel(
            title="Network of this machine",
            description="offline: nothing is judged and nothing is touched.",
            kind="stat",
            queries=((f"watchdogd_online{{{HERE}}}", "{{instance}}"),),
            unit="none",
            width=4,
            mappings={"0": ("offline", "purple"), "1": ("online", "green")},
        ),
        Panel(
            title="Log lines",
            description="By level.",
            kind="series",
            queries=((f"rate(watchdogd_log_messages_total{{{HERE}}}{RATE})", "{{level}}"),),
            unit="cps",
            stacked=True,
        ),
        Panel(
            title="Messages",
            description="Sent by channel, and those that were not taken. Empty without `[notify]`.",
            kind="series",
            queries=(
                (f"increase(watchdogd_notifications_total{{{HERE}}}{RATE})", "{{channel}}"),
                (
                    f"increase(watchdogd_notification_failures_total{{{HERE}}}{RATE}) > 0",
                    "{{channel}} not taken",
                ),
            ),
            unit="short",
        ),
        Panel(
            title="Sleep and clock",
            description="Seconds that this machine slept, wakes, and steps of the wall clock.",
            kind="series",
            queries=(
                (f"increase(watchdogd_suspended_seconds_total{{{HERE}}}{RATE})", "slept (s)"),
                (f"increase(watchdogd_resumes_total{{{HERE}}}{RATE})", "wakes"),
                (f"increase(watchdogd_clock_steps_total{{{HERE}}}{RATE})", "clock steps"),
            ),
            unit="short",
        ),
        Panel(
            title="Version",
            description="What runs, and since when.",
            kind="stat",
            queries=(
                (f"watchdogd_build_info{{{HERE}}}", "{{instance}}: {{version}}"),
                (f"time() - watchdogd_start_time_seconds{{{HERE}}}", "{{instance}}: age (s)"),
            ),
            unit="none",
        ),
    ),
}
REPAIRED = f"1000 * (watchdogd_remedy_last_timestamp_seconds{{{ONE}}} > time() - 75)"
"""A mark for each remedy. The bound keeps those of the start time out, and gives one point a remedy at a
step of 60 s and a scrape of 15 s."""
VARIABLES = {
    "job": "label_values(watchdogd_build_info, job)",
    "instance": 'label_values(watchdogd_build_info{job=~"$job"}, instance)',
    "target": f"label_values(watchdogd_target_up{{{HERE}}}, target)",
}


def built(panel: Panel, number: int) -> Any:
    """The SDK's builder of one panel."""
    makers: dict[str, Any] = {
        "stat": stat.Panel,
        "timeline": statetimeline.Panel,
        "series": timeseries.Panel,
        "bars": bargauge.Panel,
    }
    made = (
        makers[panel.kind]()
        .title(panel.title)
        .description(panel.description)
        .id(number)
        .unit(panel.unit)
        .datasource(SOURCE)
        .grid_pos(GridPos(h=panel.height, w=panel.width, x=0, y=0))
    )
    for letter, (query, legend) in zip("ABCDEFGH", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter)
        made = made.with_target(
            target.instant() if panel.kind in ("stat", "bars") else target.range()
        )
    if panel.mappings:
        options = {
            value: ValueMappingResult(text=word, color=color, index=index)
            for index, (value, (word, color)) in enumerate(panel.mappings.items())
        }
        made = made.mappings([ValueMap(options=options)])
    if panel.steps:
        steps = [Threshold(value=value, color=color) for value, color in panel.steps]
        made = made.thresholds(
            dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
        )
    if panel.stacked:
        made = made.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).draw_style("bars")
        made = made.fill_opacity(60)
    return made


def overview() -> Any:
    """The whole dashboard, in the SDK's model."""
    made = (
        dashboard.Dashboard("watchdogd: overview")
        .uid(UID)
        .description(
            "What the agents keep usable: states, outages, repairs, and the agents themselves."
        )
        .tags(["watchdogd"])
        .readonly()
        .refresh("30s")
        .time("now-24h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )
    for name, query in VARIABLES.items():
        made = made.with_variable(
            dashboard.QueryVariable(name)
            .query(query)
            .datasource(SOURCE)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
        )
    made = made.annotation(
        dashboard.AnnotationQuery()
        .name("remedies")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("orange")
        .expr(REPAIRED)
        .step("60s")
        .use_value_for_time(True)
        .title_format("{{target}}: {{remedy}}")
    )
    number = 0
    for title, panels in ROWS.items():
        number += 1
        made = made.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            made = made.with_panel(built(panel, number))
    return made.build()


def text() -> str:
    """The file's text."""
    return json.dumps(overview(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
