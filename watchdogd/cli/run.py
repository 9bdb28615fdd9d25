"""``watchdogd run``: the agent in the foreground."""

from __future__ import annotations

import os

import click

from watchdogd.cli import output


@click.command()
@click.option("--once", is_flag=True, help="One full round with harmless remedies only, then exit "
              "with the codes of `check`.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what it would do; repair nothing.")
@output.common
def run(once: bool, dry_run: bool) -> int:
    """Keep every target usable until a signal ends it (exit 0 then)."""
    from watchdogd.loading import load

    settings = load(output.config_option(), os.environ)

    from watchdogd.app import run_agent

    return run_agent(settings, once=once, dry_run=dry_run)
