"""``watchdogd url``: the only place where a token is shown."""

from __future__ import annotations

import click

from watchdogd.cli import output
from watchdogd.cli.agent import ask_agent


@click.command()
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON (watchdogd.url/1).")
@output.common
def url(target: str | None, as_json: bool) -> int:
    """Print the address for Colab's "Connect to a local runtime". It holds the token: whoever has it
    can run code in the runtime."""
    answer = ask_agent("url", target)
    if as_json:
        output.emit(answer)
    else:
        click.echo(str(answer["url"]))
    return output.FINE
