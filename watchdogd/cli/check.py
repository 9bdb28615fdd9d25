"""``watchdogd check``: one round of all probes now, without an agent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from watchdogd.cli import output

if TYPE_CHECKING:
    from watchdogd.app import CheckResult

SCHEMA = "watchdogd.check/1"


@click.command()
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON (watchdogd.check/1).")
@output.common
def check(target: str | None, as_json: bool) -> int:
    """Look at TARGET (or all) once and repair nothing.

    A local port that somebody else than our own agent holds is port_conflict: down.

    Exit 0 up, 1 degraded, 2 down, 3 unknown or offline; first of all 78 for a bad configuration and
    77 for a refused login or host key. Of several targets the worst counts: 77, 2, 3, 1, 0.
    """
    from watchdogd.loading import load

    settings = load(output.config_option(), os.environ)
    names = output.pick(target, list(settings.targets))

    from watchdogd.app import check_targets
    from watchdogd.app.results import exit_code

    results = check_targets(settings, names)
    if as_json:
        targets = [_plain(name, results[name]) for name in names]
        output.emit({"schema": SCHEMA, "targets": targets})
    else:
        for name in names:
            _print(name, results[name])
    return exit_code(results)


def _plain(name: str, result: CheckResult) -> dict[str, object]:
    from watchdogd.control.ladder import ladder

    verdict = result.verdict
    now = max((seen.ended for seen in result.observations), default=0.0)
    return {
        "name": name,
        "state": str(result.state),
        "cause": None if verdict.cause is None else str(verdict.cause),
        "detail": verdict.detail,
        "mend": verdict.mend,
        "usable": verdict.usable,
        "layers": ladder(verdict, result.observations, now=now),
    }


def _print(name: str, result: CheckResult) -> None:
    from watchdogd.control.ladder import ladder

    verdict = result.verdict
    output.head(name, str(result.state), verdict.cause)
    layers = ladder(verdict, result.observations, now=0.0)
    output.ladder([{**layer, "age": None} for layer in layers], verdict.detail)
    output.mend(verdict.mend)
