"""``watchdogd check``: one round of all probes now, without an agent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watchdogd.cli import output

if TYPE_CHECKING:
    from watchdogd.app import CheckResult
    from watchdogd.settings import Settings, TargetSettings

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
    mends = {name: _mend(settings.targets[name], results[name], settings) for name in names}
    if as_json:
        targets = [_plain(name, results[name], mends[name]) for name in names]
        output.emit({"schema": SCHEMA, "targets": targets})
    else:
        for name in names:
            _print(name, results[name], mends[name])
    return exit_code(results)


def _mend(target: TargetSettings, result: CheckResult, settings: Settings) -> str:
    """What the verdict says; where the agent has a remedy, the verb that starts or asks it."""
    from watchdogd.adapters.instance import running_agent
    from watchdogd.core.ladders import rungs_of

    verdict = result.verdict
    if verdict.mend or verdict.cause is None:
        return verdict.mend
    remedies = rungs_of(verdict.cause, target.runtime.kind)
    if not remedies or verdict.usable:
        return ""
    program = output.program()
    if running_agent(Path(settings.agent.state_dir)) is not None:
        return f"{program} status {target.name} --why  # the running agent sees to it"
    return f"{program} run  # the agent has a remedy: {remedies[0]}"


def _plain(name: str, result: CheckResult, mend: str) -> dict[str, object]:
    from watchdogd.control.ladder import ladder

    verdict = result.verdict
    now = max((seen.ended for seen in result.observations), default=0.0)
    return {
        "name": name,
        "state": str(result.state),
        "cause": None if verdict.cause is None else str(verdict.cause),
        "detail": verdict.detail,
        "mend": mend,
        "usable": verdict.usable,
        "layers": ladder(verdict, result.observations, now=now),
    }


def _print(name: str, result: CheckResult, mend: str) -> None:
    from watchdogd.control.ladder import ladder

    verdict = result.verdict
    output.head(name, str(result.state), verdict.cause)
    layers = ladder(verdict, result.observations, now=0.0)
    output.ladder([{**layer, "age": None} for layer in layers], verdict.detail)
    output.mend(mend)
