"""Writes ``docs/reference/metrics.md`` from the catalogue of the metrics: run it after a change there.

    .venv/bin/python tools/metrics_page.py

A test compares the page with what this makes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from watchdogd.sinks.catalogue import METRICS, PREFIX, Metric

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "metrics.md"
HEAD = f"""\
# Metrics

On `http://127.0.0.1:9788/metrics` (`agent.listen`), in Prometheus text format or OpenMetrics. All names begin with `{PREFIX}`.
Labels come from closed lists and never hold a host, a port, an address or a message. Every series exists from the
start on: counters and gauges with 0, timestamps with the start time.

| metric | type | labels | what it says |
|---|---|---|---|
"""


def row(metric: Metric) -> str:
    """One line of the table."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |\n"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(row(metric) for metric in METRICS)


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
