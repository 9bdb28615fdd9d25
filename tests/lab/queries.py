"""Every query of the rules and the dashboard, and what it names: read from the files, by text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "config" / "prometheus" / "rules"
DASHBOARD = ROOT / "config" / "grafana" / "dashboards" / "overview.json"
SELECTOR = re.compile(r"\b(watchdogd_\w+)(?:\{([^}]*)\})?")
RECORDED = re.compile(r"\b(target:watchdogd_\w+:\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
FULL = {"job": ".+", "instance": ".+", "target": ".+", "__rate_interval": "30s"}
"""What Grafana puts in for its variables when everything is chosen."""


@dataclass(frozen=True)
class Query:
    """One expression and where it stands."""

    place: str
    expr: str

    def filled(self) -> str:
        """As Prometheus gets it."""
        return re.sub(r"\$(\w+)", lambda found: FULL[found[1]], self.expr)

    def selectors(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Each metric that it selects, with its matchers' labels and values."""
        for name, matchers in SELECTOR.findall(RECORDED.sub("", self.expr)):
            yield name, {label: value for label, _, value in MATCHER.findall(matchers)}

    def recorded(self) -> set[str]:
        """The recording rules that it reads."""
        return {name for name, _ in RECORDED.findall(self.expr)}

    def groupings(self) -> set[str]:
        """The labels that it groups or joins by."""
        lists = GROUPING.findall(self.expr)
        return {label.strip() for each in lists for label in each.split(",") if label.strip()}


def rules() -> tuple[tuple[str, str, str], ...]:
    """Kind (``record`` or ``alert``), name and expression of each rule."""
    found = []
    for file in sorted(RULES.glob("*.yaml")):
        for block in re.split(r"(?m)^      - ", file.read_text())[1:]:
            kind, name = re.match(r"(record|alert): (\S+)", block).groups()  # type: ignore[union-attr]
            expr = re.search(
                r"(?ms)^        expr: (?:\|2\n)?(.*?)(?=^        \w+:|^  - |\Z)", block
            )
            assert expr is not None, block
            found.append((kind, name, expr[1].strip()))
    return tuple(found)


def dashboard() -> dict[str, Any]:
    """The dashboard's model."""
    model: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return model


def panels() -> Iterator[dict[str, Any]]:
    """Its panels, without the rows."""
    for panel in dashboard()["panels"]:
        if panel["type"] != "row":
            yield panel


def panel_queries() -> Iterator[Query]:
    """All that panels ask."""
    for panel in panels():
        for target in panel["targets"]:
            yield Query(f"panel {panel['title']} {target['refId']}", target["expr"])


def all_queries() -> tuple[Query, ...]:
    """Of rules, panels, annotations and variables."""
    model = dashboard()
    asked = [Query(f"{kind} {name}", expr) for kind, name, expr in rules()]
    asked += panel_queries()
    asked += [
        Query(f"annotation {one['name']}", one["expr"]) for one in model["annotations"]["list"]
    ]
    for variable in model["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
            assert found is not None, variable
            asked.append(Query(f"variable {variable['name']}", found[1]))
    return tuple(asked)
