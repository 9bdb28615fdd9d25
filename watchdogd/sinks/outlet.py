"""Writes to a stream without waiting for whoever reads it: a pager that stands still, a terminal on
hold or a stalled journal must not stop the loop that logs.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TextIO

PATIENCE = 0.5
"""Seconds that one line waits for its reader. Once a line was lost the next ones do not wait."""
_PART = 1024
"""Characters, at most 4096 bytes: a pipe that can be written to takes so many without waiting."""


class Outlet:
    """What ``logging.StreamHandler`` takes for its stream. One thread at a time (its lock sees to it)."""

    def __init__(self, stream: TextIO, notice: Callable[[int], str]) -> None:
        """``notice``: the line that tells how many were lost, written as soon as somebody reads."""
        self._stream = stream
        self._notice = notice
        self._lost = 0
        self._poll = _poll(stream)

    def write(self, text: str) -> None:
        """All of the text, or as much as its reader takes. Raises what the stream does."""
        if self._lost and self._takes(0.0):
            lost, self._lost = self._lost, 0
            self._put(self._notice(lost), 0.0)
        self._put(text, 0.0 if self._lost else PATIENCE)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _put(self, text: str, patience: float) -> None:
        for begin in range(0, len(text), _PART):
            if not self._takes(patience):
                self._lost += 1
                return
            self._stream.write(text[begin : begin + _PART])
            self._stream.flush()

    def _takes(self, seconds: float) -> bool:
        return self._poll is None or bool(self._poll.poll(seconds * 1000.0))


def _poll(stream: TextIO) -> select.poll | None:
    """Asks whether writing would wait; ``None`` for what is no file of the system's."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return poll
