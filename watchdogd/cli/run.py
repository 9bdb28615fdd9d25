"""``watchdogd run``: the agent in the foreground."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from watchdogd.cli import output

if TYPE_CHECKING:
    from watchdogd.app import CheckResult


@click.command()
@click.option("--once", is_flag=True, help="One full round with harmless remedies only, then exit "
              "with the codes of `check`.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what it would do; repair nothing.")
@output.common
def run(once: bool, dry_run: bool) -> int:
    """Keep every target usable until a signal ends it (exit 0 then). With --once the verdict on
    each target is printed at the end. A changed configuration is taken up by itself, and on SIGHUP."""
    from watchdogd.loading import source

    configuration = source(output.config_option(), os.environ)
    settings = configuration.load()

    from watchdogd.app import run_agent

    # The SIGABRT of a service manager's watchdog then leaves every thread's stack in the log.
    with suppress(OSError, ValueError, AttributeError, RuntimeError):  # no stderr to write to
        faulthandler.enable()
    return run_agent(settings, source=configuration, once=once, dry_run=dry_run, tell=_tell)


def _tell(results: Mapping[str, CheckResult]) -> None:
    for name, result in results.items():
        output.head(name, str(result.state), result.verdict.cause)
        if result.verdict.detail:
            output.wrapped(result.verdict.detail, 2)
        output.mend(result.verdict.mend)
