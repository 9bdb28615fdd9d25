"""A verb that has verbs of its own: an unknown one gets the nearest names."""

from __future__ import annotations

from collections.abc import Mapping

import click

from watchdogd.cli import output, unbuilt


class SubVerbs(click.Group):
    """For ``click.group(cls=...)``."""

    unbuilt: Mapping[str, str] = {}
    """Verbs of the documentation that are not there yet, and what serves meanwhile."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            meant = unbuilt.told(args[0], self.unbuilt, parent=ctx.command_path)
            raise click.UsageError(meant or output.unknown("verb", args[0], self.commands), ctx)
        return super().resolve_command(ctx, args)
