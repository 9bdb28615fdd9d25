"""``watchdogd demo``: the agent at work on one machine, without root, Docker or a GPU."""

from __future__ import annotations

import click

from watchdogd.loading.values import Refused


class Duration(click.ParamType[float]):
    """``90s``, ``10m``, ``2h`` -> seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; fails with what is allowed."""
        from watchdogd.loading import duration

        try:
            return value if isinstance(value, float) else duration(value)
        except Refused:
            self.fail(f"{value!r} is no duration: 90s, 10m, 2h", param, ctx)


@click.command()
@click.option(
    "--for",
    "more_seconds",
    type=Duration(),
    default=0.0,
    help="Go on with random faults for that long.",
)
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
def demo(more_seconds: float, keep: bool) -> None:
    """Break things on purpose and watch them heal.

    Starts a private SSH server and a Jupyter runtime on loopback, runs the real agent on them, and
    makes one fault after another. Exits 0 only if each was found, named and healed as it should be.
    Takes two to four minutes; needs no root, no Docker, no GPU.
    """
    from watchdogd.demo.performance import perform

    raise SystemExit(perform(click.echo, more_seconds=more_seconds, keep=keep))
