"""The dashboard and the rules against the registry, and the dashboard against the rules of good ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import pytest

from tests.lab.queries import DASHBOARD, ROOT, Query, all_queries, panel_queries, panels, rules
from tools import dashboard as generator
from watchdogd.core.words import LIVE_STATES, Cause, ProbeName, Refusal, Remedy, State
from watchdogd.sinks.catalogue import METRICS, PREFIX, Metric, Type

VALUES: dict[str, set[str]] = {
    "state": {*State},
    "cause": {*Cause},
    "probe": {*ProbeName},
    "remedy": {*Remedy},
    "reason": {*Refusal},
    "severity": {"critical", "warning", "none"},
}
GUIDE = ROOT / "docs" / "how-to" / "watch-with-prometheus-and-grafana.md"
SCRAPER = {"job", "instance", "le"}


def exported(metrics: Iterable[Metric]) -> dict[str, set[str]]:
    """Series name -> labels."""
    found: dict[str, set[str]] = {}
    for metric in metrics:
        labels = {*metric.labels} | SCRAPER - {"le"}
        if metric.type is Type.HISTOGRAM:
            found[f"{PREFIX}{metric.name}_bucket"] = labels | {"le"}
            found |= {f"{PREFIX}{metric.name}_{end}": labels for end in ("sum", "count")}
        else:
            found[PREFIX + metric.name] = labels
    return found


def disagreements(queries: Iterable[Query], metrics: Iterable[Metric]) -> list[str]:
    """What a query names and the registry does not have."""
    known, told = exported(metrics), []
    recorded = {name for kind, name, _ in rules() if kind == "record"}
    for query in queries:
        told += [f"{query.place}: no rule {name}" for name in query.recorded() - recorded]
        grouped: set[str] = set()
        for name, matchers in query.selectors():
            if name not in known:
                told.append(f"{query.place}: no metric {name}")
                continue
            grouped |= known[name]
            for label, value in matchers.items():
                if label not in known[name]:
                    told.append(f"{query.place}: {name} has no label {label}")
                elif label in VALUES and not set(value.split("|")) <= VALUES[label]:
                    told.append(f"{query.place}: {label} is never {value}")
        if not query.recorded():
            told += [f"{query.place}: by {label}?" for label in query.groupings() - grouped]
    return told


def unused(queries: Iterable[Query], metrics: Iterable[Metric], guide: str) -> list[str]:
    """The metrics that no query shows and the guide does not name as not shown."""
    shown = {name for query in queries for name, _ in query.selectors()}
    left = guide.partition("## Not on the dashboard")[2]
    return [
        metric.name
        for metric in metrics
        if not any(name in shown for name in exported([metric])) and f"`{metric.name}`" not in left
    ]


def test_every_query_names_what_is_exported() -> None:
    assert disagreements(all_queries(), METRICS) == []


def test_every_metric_is_shown_or_named_as_not_shown() -> None:
    assert unused(all_queries(), METRICS, GUIDE.read_text()) == []


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_renamed_metric_is_noticed(metric: Metric) -> None:
    renamed = [
        Metric(f"other_{one.name}", one.type, one.labels, one.help) if one is metric else one
        for one in METRICS
    ]
    guide = GUIDE.read_text()
    assert disagreements(all_queries(), renamed) or unused(all_queries(), renamed, guide)


def test_the_guide_names_every_alert_and_no_other() -> None:
    told = set(re.findall(r"`(Watchdogd\w+)`", GUIDE.read_text()))
    assert told == {name for kind, name, _ in rules() if kind == "alert"}


# ---------------------------------------------------------------- the dashboard itself


def test_the_committed_dashboard_is_what_the_generator_makes() -> None:
    assert DASHBOARD.read_text() == generator.text()


def test_it_has_the_shape_that_the_sdk_knows() -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    model = json.loads(DASHBOARD.read_text())
    again = json.dumps(Dashboard.from_json(model), cls=JSONEncoder, sort_keys=True)
    assert json.loads(again) == model


def test_each_panel_tells_what_it_shows_in_which_unit_from_the_chosen_source() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_each_query_selects_by_job_and_instance_and_target() -> None:
    by_name = {PREFIX + metric.name: metric for metric in METRICS}
    for query in panel_queries():
        for name, matchers in query.selectors():
            assert {"job", "instance"} <= matchers.keys(), query
            metric = by_name.get(name)
            if metric is None or "target" in metric.labels:
                assert "target" in matchers or "loop_round" in name, query


def test_a_counter_is_never_shown_bare() -> None:
    for query in panel_queries():
        bare = re.sub(r"(?:rate|increase)\([^()]*\)", "", query.expr)
        assert not re.search(r"watchdogd_\w+_(?:total|bucket)\b", bare), query


def test_panels_have_their_own_ids_and_places() -> None:
    model = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in model["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_state_has_a_word_and_a_colour() -> None:
    assert set(generator.STATES) == {*LIVE_STATES}
    shown = [panel for panel in panels() if panel["title"] in ("State", "State over time")]
    for panel in shown:
        (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
        words = {option["text"] for option in mapping["options"].values()}
        assert words == {*LIVE_STATES}
        assert all(option["color"] for option in mapping["options"].values())
    assert len(shown) == 2


def test_it_is_read_only_and_its_variables_follow_the_time() -> None:
    model = json.loads(DASHBOARD.read_text())
    assert model["editable"] is False
    names = [variable["name"] for variable in model["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "target"]
    for variable in model["templating"]["list"][1:]:
        assert (variable["refresh"], variable["allValue"]) == (2, ".+")
        assert variable["multi"]
        assert variable["includeAll"]
