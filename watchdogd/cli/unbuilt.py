"""Words of the documentation whose feature is not there yet, each with what serves meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

import click

VERBS: Mapping[str, str] = {
    "init": "write the file by hand (README, `watchdogd config path`), then `watchdogd config check`",
    "doctor": "`watchdogd config check`, then `watchdogd check`",
    "wait": "repeat `watchdogd check TARGET` until it exits with 0",
    "history": "`watchdogd status TARGET --why`, and the log: `watchdogd service logs`",
    "report": "`watchdogd simulate` on the recorded event log, or the Grafana dashboard",
    "drill": "`watchdogd demo`, which breaks and heals a private runtime",
    "dashboards": "the files in config/grafana and config/prometheus of the checkout",
    "metrics": "`curl http://127.0.0.1:9788/metrics` while the agent runs",
    "bugreport": "`watchdogd status --json` and `watchdogd config show`",
    "completion": "`watchdogd --help` lists the verbs",
}
CONFIG_VERBS: Mapping[str, str] = {
    "schema": "`watchdogd config show` prints every key with what is in force",
}


def unwatched(_: click.Context, __: click.Parameter, wanted: bool) -> None:
    """For ``status --watch``."""
    if wanted:
        raise click.UsageError("--watch is not built yet; instead: watch watchdogd status")


def told(name: str, known: Mapping[str, str], *, parent: str = "watchdogd") -> str:
    """The sentence for a verb that is not built yet, or empty."""
    if name == "help":
        return f"there is no such verb; type: {parent} --help"
    return f"{name!r} is not built yet; instead: {known[name]}" if name in known else ""
