"""A recorded log's bytes -> its lines with their numbers. A half line at the end is what a crash leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from watchdogd.eventlog.codec import Unfit
from watchdogd.eventlog.lines import SCHEMA, Line, Opened, read


class Numbered(NamedTuple):
    """A line and where it stands, counted from 1."""

    number: int
    line: Line


class Unreadable(ValueError):
    """The log is not one, or not one that this version understands; the sentence names the line."""


def numbered(raw: Iterable[bytes], half: Callable[[int], None]) -> Iterator[Numbered]:
    """The lines in order. ``half`` is told the number of a last line that was not written to its end;
    it is left out. Raises ``Unreadable``, and what ``raw`` raises."""
    number = 0
    for number, text in enumerate(raw, start=1):
        try:
            line = read(text)
        except Unfit as error:
            if not text.endswith(b"\n") and number > 1:
                half(number)
                return
            raise Unreadable(f"line {number}: {error}") from error
        if number == 1 and not isinstance(line, Opened):
            raise Unreadable(f"line 1: no recorded log begins like this ({SCHEMA})")
        yield Numbered(number, line)
    if number == 0:
        raise Unreadable("it is empty")
