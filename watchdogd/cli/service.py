"""``watchdogd service``: the agent in the background, under systemd or launchd."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from watchdogd.adapters.clock import SystemClock
from watchdogd.cli import output
from watchdogd.cli.subverbs import SubVerbs
from watchdogd.loading import config_path, load
from watchdogd.service import ServiceTrouble, Steering, own_program

SCHEMA = "watchdogd.service/1"
NOT_RUNNING = output.NO_AGENT


@click.group(cls=SubVerbs, invoke_without_command=True, subcommand_metavar="VERB ...")
@output.common
@click.pass_context
def service(ctx: click.Context) -> int | None:
    """Run the agent in the background: as a systemd user unit, or a launchd agent on macOS."""
    return output.without_verb(ctx)


def _told(command: Callable[..., int]) -> Callable[..., int]:
    """A trouble of the service manager as a message with its mend, and exit code 75."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> int:
        try:
            return command(*args, **kwargs)
        except ServiceTrouble as error:
            raise output.ExitWith(str(error), output.TEMPORARY, error.mend) from error

    return wrapped


def _steering() -> Steering:
    if sys.platform == "darwin":
        from watchdogd.service.launchd import Launchd

        return Launchd(os.environ, SystemClock().wait)
    from watchdogd.service.systemd import Systemd

    return Systemd(os.environ)


def _config() -> str | None:
    """The configuration to be named in the service: only one that was named here. A service does not
    see this shell's variables."""
    named = output.config_option() or os.environ.get("WATCHDOGD_CONFIG")
    return str(config_path(named, os.environ)) if named else None


@service.command()
@click.option("--no-start", is_flag=True, help="Only install it; it starts at the next login.")
@output.common
@_told
def install(no_start: bool) -> int:
    """Install the service, start it now and at each login. Safe to repeat. One that runs is restarted
    only if its file changed: after an update of the program, stop and start it."""
    load(output.config_option(), os.environ)  # what is refused would end with 78 at each start
    done = _steering().install(own_program(), _config(), start=not no_start)
    if done.kept is not None:
        output.say(f"{done.file} is replaced; the former one is {done.kept.name} beside it")
    else:
        output.say(f"{done.file} is {'written' if done.changed else 'as it should be'}")
    if not no_start:
        output.say("the agent runs; how it goes: watchdogd service status")
    for note in done.notes:
        output.message(f"note: {note}")
    return output.FINE


@service.command()
@output.common
@_told
def uninstall() -> int:
    """Stop the service and take it away. Configuration and state stay."""
    there = _steering().uninstall()
    output.say("the service is gone" if there else "the service was not installed")
    return output.FINE


@service.command()
@output.common
@_told
def start() -> int:
    """Start the installed service."""
    _steering().start()
    output.say("the agent runs")
    return output.FINE


@service.command()
@output.common
@_told
def stop() -> int:
    """Stop the service until the next login or start. What runs on the servers is left alone."""
    _steering().stop()
    output.say("the agent is stopped")
    return output.FINE


@service.command()
@click.option("--json", "as_json", is_flag=True, help=f"For programs ({SCHEMA}).")
@output.common
@_told
def status(as_json: bool) -> int:
    """How the service is, and what the agent told last. Exit 0 if it runs, else 3."""
    found = _steering().state()
    code = output.FINE if found.running else NOT_RUNNING
    if as_json:
        output.emit(
            {
                "schema": SCHEMA,
                "installed": found.installed,
                "running": found.running,
                "state": found.word,
                "detail": found.detail,
                "pid": found.pid,
                "restarts": found.restarts,
                "starts_at_login": found.starts_at_login,
            }
        )
        return code
    if not found.installed and not found.running:
        output.say("not installed")
        output.mend("watchdogd service install")
        return code
    pid = f", pid {found.pid}" if found.pid else ""
    count = found.restarts if found.running else 0
    restarts = f", {count} restart{'s' if count != 1 else ''}" if count else ""
    output.say(f"{found.word}{pid}{restarts}")
    for part in found.detail.split("; ") if found.detail else ():
        output.wrapped(part, 2)
    if not found.running:
        output.mend("watchdogd service logs" if found.detail else "watchdogd service start")
    if found.starts_at_login is False:
        output.message("note: it does not start at login; watchdogd service install mends that")
    return code


@service.command()
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come.")
@click.option("--lines", "-n", default=50, show_default=True, type=click.IntRange(min=0),
              help="How many of the last lines.")  # fmt: skip
@output.common
@_told
def logs(follow: bool, lines: int) -> int:
    """The log of the service."""
    argv = _steering().logs(lines=lines, follow=follow)
    sys.stdout.flush()
    try:
        return subprocess.run(argv, check=False).returncode
    except FileNotFoundError:
        raise ServiceTrouble(f"there is no {argv[0]} on this machine") from None


@service.command("print")
@click.option("--platform", type=click.Choice(["systemd", "launchd"]),
              help="Whose file; that of this machine unless told.")  # fmt: skip
@click.option(
    "--program", metavar="PATH", help="The program it starts, if not ~/.local/bin/watchdogd."
)
@output.common
def print_file(platform: str | None, program: str | None) -> int:
    """Print the file without installing it."""
    if platform == "launchd" or (platform is None and sys.platform == "darwin"):
        from watchdogd.service.plist import plist_text

        home = os.environ.get("HOME") or str(Path.home())
        text = plist_text(program or f"{home}/.local/bin/watchdogd", home, _config())
    else:
        from watchdogd.service.unit import unit_text

        text = unit_text(program, _config())
    click.echo(text, nl=False)
    return output.FINE
