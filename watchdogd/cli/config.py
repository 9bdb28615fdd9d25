"""``watchdogd config``: check, show or find the configuration. Contacts nobody."""

from __future__ import annotations

import os

import click

from watchdogd.cli import output
from watchdogd.cli.subverbs import SubVerbs
from watchdogd.cli.unbuilt import CONFIG_VERBS
from watchdogd.errors import ConfigError
from watchdogd.loading import as_toml, cautions, config_files, config_path, load
from watchdogd.settings import Settings

SCHEMA = "watchdogd.config/1"


class _Verbs(SubVerbs):
    unbuilt = CONFIG_VERBS


@click.group(cls=_Verbs, invoke_without_command=True, subcommand_metavar="VERB ...")
@output.common
@click.pass_context
def config(ctx: click.Context) -> int | None:
    """Check, show or find the configuration."""
    return output.without_verb(ctx)


@config.command()
@click.option("--json", "as_json", is_flag=True, help="The result as JSON (watchdogd.config/1).")
@output.common
def check(as_json: bool) -> int:
    """Report every problem at once.

    Warns of promises that the settings cannot keep, and of settings that do not fit each other.
    """
    try:
        settings = load(output.config_option(), os.environ)
        engines = _engines(settings)
    except ConfigError as error:
        if as_json:
            problems = [
                {"file": each.file, "key": each.key, "found": each.found, "allowed": each.allowed}
                for each in error.problems
            ]
            output.emit({"schema": SCHEMA, "ok": False, "problems": problems, "warnings": []})
            return output.CONFIG
        raise
    warnings = cautions(settings)
    if as_json:
        answer = {"ok": True, "problems": [], "warnings": list(warnings), "engines": engines}
        output.emit({"schema": SCHEMA, **answer, "files": list(settings.files)})
        return output.FINE
    for line in warnings:
        output.message(f"warning: {line}")
    for name, engine in engines.items():
        if engine != "sshtunnel":
            output.say(f"{name}: engine {engine}")
    count = len(settings.targets)
    output.say(f"fine: {count} target{'s' if count != 1 else ''} ({', '.join(settings.targets)})")
    return output.FINE


def _engines(settings: Settings) -> dict[str, str]:
    """What carries each target's connection, and why. Raises ``ConfigError``, also for what ssh
    itself does not accept."""
    from watchdogd.adapters.clock import SystemClock
    from watchdogd.adapters.engine_choice import plans, why

    found = plans(settings, settings.targets, SystemClock())
    return {name: why(plan) for name, plan in found.items()}


@config.command()
@output.common
def show() -> int:
    """Print what is in force, as TOML.

    The whole configuration, defaults included, secrets masked.
    """
    click.echo(as_toml(load(output.config_option(), os.environ)), nl=False)
    return output.FINE


@config.command()
@output.common
def path() -> int:
    """Print the files that are read.

    The configuration, and the files of conf.d that are merged with it, one a line.
    """
    main = config_path(output.config_option(), os.environ)
    for file in config_files(main):
        click.echo(str(file))
    if not main.exists():
        output.message(f"{main} is not there yet")
    return output.FINE
