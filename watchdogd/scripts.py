"""Running one of our scripts on the server, and cutting its answer out of what the login shell printed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from watchdogd.ports import Deadline, Link


class Garbled(Exception):
    """The server's shell answered something else than was asked of it."""

    def __init__(self) -> None:
        super().__init__("the server's shell answered something else than was asked of it")


def ask(
    link: Link, scripts: Sequence[str], arguments: Sequence[str], deadline: Deadline, *, limit: int
) -> list[str]:
    """The lines that ``data/SCRIPT``, several in one shell, prints between its two marks.

    Raises what ``Link.run`` raises, and ``Garbled``.
    """
    mark = f"watchdogd-{secrets.token_hex(8)}"
    argv = ("sh", "-s", "--", mark, *arguments)
    done = link.run(argv, deadline=deadline, stdin=text_of(*scripts), limit=limit)
    lines = framed(done.stdout.decode("utf-8", "replace"), mark)
    if lines is None:
        raise Garbled
    return lines


@cache
def text_of(*scripts: str) -> bytes:
    """The texts of ``data/SCRIPT``, one after another."""
    folder = files("watchdogd").joinpath("data")
    return b"\n".join(folder.joinpath(script).read_bytes() for script in scripts)


def framed(printed: str, mark: str) -> list[str] | None:
    """The lines between the two marks; ``None`` if one is missing."""
    lines = printed.split("\n")
    if lines.count(mark) != 2:
        return None
    first = lines.index(mark)
    return lines[first + 1 : lines.index(mark, first + 1)]
