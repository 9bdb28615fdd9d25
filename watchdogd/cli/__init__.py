"""The command line. A verb's module is imported when the verb is called, and a verb imports what it
drives (the agent, paramiko, docker) only then: ``--help``, ``--version`` and ``status`` stay quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from watchdogd.cli import output, unbuilt
from watchdogd.errors import WatchdogdError

VERBS: dict[str, tuple[str, str]] = {
    "run": ("watchdogd.cli.run:run", "The agent, in the foreground."),
    "check": ("watchdogd.cli.check:check", "One round of all probes now, without an agent."),
    "status": ("watchdogd.cli.status:status", "What the running agent knows."),
    "url": ("watchdogd.cli.url:url", "The address to paste into Colab, token included."),
    "simulate": ("watchdogd.cli.simulate:simulate", "Replay a recorded event log."),
    "pause": ("watchdogd.cli.order:pause", "Look at a target, and touch nothing."),
    "resume": ("watchdogd.cli.order:resume", "End a pause."),
    "approve": ("watchdogd.cli.order:approve", "Allow the remedy that waits for you."),
    "heal": ("watchdogd.cli.order:heal", "Have a remedy done now, whatever holds it back."),
    "reset": ("watchdogd.cli.order:reset", "Lift what halted a target."),
    "service": ("watchdogd.cli.service:service", "Run the agent in the background."),
    "config": ("watchdogd.cli.config:config", "Check, show or find the configuration."),
    "demo": ("watchdogd.cli.demo:demo", "Break and heal a private runtime on this machine."),
}
"""Verb -> where its command is, and its short help (so that listing them imports none)."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, _, attribute = VERBS[name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            meant = unbuilt.told(args[0], unbuilt.VERBS)
            raise click.UsageError(meant or output.unknown("verb", args[0], VERBS), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"watchdogd {version('watchdogd')}")
        ctx.exit()


_EPILOG = """\b
Exit codes: 0 fine; 1 failed or degraded; 2 (check) down; 3 no agent is running
(check: unknown or offline); 4 no such target; 64 usage; 75 temporary failure;
77 authentication or host key; 78 bad configuration (simulate: or log);
130 interrupted."""


@click.group(
    cls=_Verbs,
    epilog=_EPILOG,
    invoke_without_command=True,
    subcommand_metavar="VERB ...",
    context_settings={"max_content_width": output.WIDTH},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show the version and exit.",
)  # fmt: skip
@output.common
@click.pass_context
def group(ctx: click.Context) -> int | None:
    """Keeps an SSH forward and the Jupyter runtime behind it usable for weeks."""
    return output.without_verb(ctx)


def _drop_output() -> None:
    """Whoever read us is gone, or the disk is full: what is still buffered has nowhere to go."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def run(args: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Messages are on stderr, results on stdout."""
    try:
        result = group.main(args=list(args), prog_name="watchdogd", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        output.usage(error)
        return output.USAGE
    except (click.Abort, KeyboardInterrupt):
        return output.INTERRUPTED
    except click.ClickException as error:
        output.message(f"error: {error.format_message()}")
        return output.FAILED
    except WatchdogdError as error:
        return output.failure(error)
    except BrokenPipeError:
        _drop_output()
        return output.FAILED
    except OSError as error:
        _drop_output()
        output.message(f"error: {error}")
        return output.FAILED
    return result if isinstance(result, int) else output.FINE
