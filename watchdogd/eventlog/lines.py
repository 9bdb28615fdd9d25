"""The lines of a recorded event log. One JSON object each; ``type`` says which of these it is.

A file begins with ``Opened`` and needs no other file: before a target's first step in it stands
``Began`` with all that ``step`` needs. Each agent that goes on with a file opens it anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from watchdogd.core.commands import Command
from watchdogd.core.events import Event
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.eventlog.codec import Texts, Unfit, decode, encode, verbatim

SCHEMA = "watchdogd.events/1"
_WORDS = ("detail", "mend")
"""Fields with free text: nothing is decided by them."""
_COMMANDS = tuple[Command, ...]
_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An agent began to write to this file."""

    schema: str
    version: str
    """watchdogd's own."""
    wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """A target as it is before its next step: at the head of a file, when it is new or built anew,
    and after steps that are missing."""

    target: str
    policy: Policy
    state: TargetState


@dataclass(frozen=True, slots=True, kw_only=True)
class Retuned:
    """From its next step on the target is decided by this policy."""

    target: str
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """One event of one target, and what was decided."""

    target: str
    event: Event
    env: Env
    did: tuple[Command, ...]
    """Without free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Steps happened here that could not be recorded."""

    steps: int


Line = Opened | Began | Retuned | Stepped | Missed


def written(line: Line, texts: Texts = verbatim) -> bytes:
    """The line as it stands in the file, its end included. ``texts`` takes secrets out of each text."""

    def told(name: str, text: str) -> str:
        return texts(name, text) if text else text

    if isinstance(line, Stepped):
        plain = encode(Line, replace(line, did=()), told)
        plain["did"] = encode(_COMMANDS, line.did, _wordless(told))
    else:
        plain = encode(Line, line, told)
    return _JSON.encode(plain).encode("ascii") + b"\n"


def read(text: bytes) -> Line:
    """The line that this text stands for. Raises ``Unfit``, for a newer schema as well."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unfit(f"no JSON: {error}") from error
    if not isinstance(data, dict):
        raise Unfit("no JSON object")
    if data.get("type") == Opened.__name__ and data.get("schema") != SCHEMA:
        raise Unfit(f"its schema is {data.get('schema')!r}; this watchdogd reads {SCHEMA}")
    line: Line = decode(Line, data)
    return line


def without_words(commands: Sequence[Command]) -> list[dict[str, Any]]:
    """The commands as plain values without free text: two that are equal are the same decision."""
    plain: list[dict[str, Any]] = encode(_COMMANDS, commands, _wordless(verbatim))
    return plain


def _wordless(texts: Texts) -> Texts:
    return lambda name, text: "" if name in _WORDS else texts(name, text)
