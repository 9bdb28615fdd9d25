"""Log lines for people: the time here, the target, a sentence; what only programs need is left out."""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

from watchdogd.sinks.repeats import Repeats

_TOLD_SECONDS = 10.0
"""What one happening makes known: its event, the state and the incident share a detail."""
_MARKS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_SAID = frozenset(
    {"timestamp", "level", "event", "target", "detail", "mend", "repeated", "exception"}
)


class Console:
    """Renders a redacted record as text. Called by one thread at a time (the handler's lock)."""

    def __init__(self, *, colors: bool, fields: bool) -> None:
        """``fields``: also write what a program would read, as ``name=value`` (level ``debug``)."""
        self._colors = colors
        self._fields = fields
        self._told = Repeats(every=_TOLD_SECONDS)

    def __call__(self, logger: Any, name: str, record: MutableMapping[str, Any]) -> str:
        """``timestamp`` is Unix seconds; every other value may come from a server."""
        shown: dict[str, Any] = {name: _tame(name, value) for name, value in record.items()}
        at, level = float(shown["timestamp"]), str(shown.get("level", ""))
        words = [f"{datetime.fromtimestamp(at, UTC).astimezone():%H:%M:%S}"]
        if level in _MARKS:
            word = level.upper()
            words.append(f"{_MARKS[level]}{word}{_PLAIN}" if self._colors else word)
        speaker = _speaker(shown)
        sentence, below = self._sentence(shown, at)
        words.append(f"{speaker}: {sentence}" if speaker else sentence)
        if self._fields:
            words += [f"{name}={value!r}" for name, value in shown.items() if name not in _SAID]
        return "\n".join([" ".join(words), *below])

    def _sentence(self, shown: dict[str, Any], at: float) -> tuple[str, list[str]]:
        """The line's own words, and the lines below it. Detail and mend are said once."""
        text, detail, mend = (str(shown.get(name, "")) for name in ("event", "detail", "mend"))
        below: list[str] = []
        told = detail or mend
        if told and self._told.pass_on((shown.get("target"), detail, mend), at) is not None:
            text = text if detail in text else f"{text}: {detail}"
            below += [f"         to mend it: {mend}"] if mend else []
        if shown.get("repeated"):
            text += f" ({shown['repeated']} times more since this was last written)"
        if shown.get("exception"):
            below.append(str(shown["exception"]))
        return text, below


def _speaker(shown: dict[str, Any]) -> str:
    """The target; for what a library says, the library."""
    library = str(shown.get("logger", "")).partition(".")[0]
    return str(shown.get("target") or ("" if library == "watchdogd" else library))


def _tame(name: str, value: object) -> object:
    """A text for a terminal: what a server sent must neither steer it nor forge a line."""
    if not isinstance(value, str):
        return value
    kept = "\n\t" if name == "exception" else ""
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in value)
