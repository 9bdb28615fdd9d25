"""A verb that has verbs of its own: an unknown one gets the nearest names."""

from __future__ import annotations

import click

from watchdogd.cli import output


class SubVerbs(click.Group):
    """For ``click.group(cls=...)``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(output.unknown("verb", args[0], self.commands), ctx)
        return super().resolve_command(ctx, args)
