"""What the verbs print: text in 80 columns, JSON with a schema, errors as sentences and exit codes."""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from watchdogd.core.lengths import length
from watchdogd.core.words import Cause
from watchdogd.errors import ConfigError, Permanent, Transient, WatchdogdError

FINE, FAILED, DOWN, NO_AGENT, NO_TARGET = 0, 1, 2, 3, 4
USAGE, TEMPORARY, REFUSED, CONFIG, INTERRUPTED = 64, 75, 77, 78, 130
UNKNOWN = NO_AGENT
"""``check``: not measured, or this machine is offline."""
LOGIN = (Cause.AUTH, Cause.HOST_KEY)
WIDTH = 80

_F = TypeVar("_F", bound=Callable[..., Any])
_UNLOOKED = "not looked at, because"
_COLOR = re.compile("(\x1b\\[[0-9;]{0,8}m)")
_MARKS = {"ok": ("+", "green"), "fail": ("x", "red"), "unknown": ("?", "yellow")}
_COLORS = {
    "up": "green",
    "degraded": "yellow",
    "down": "red",
    "healing": "yellow",
    "offline": "yellow",
    "unknown": "yellow",
    "paused": "cyan",
}


class ExitWith(WatchdogdError):
    """Ends a verb with a message and an exit code."""

    def __init__(self, message: str, code: int, mend: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.mend = mend


def common(command: _F) -> _F:
    """``--config`` and ``--no-color``: before the verb or after it, the later one wins."""
    decorate = click.option(
        "--config",
        metavar="FILE",
        expose_value=False,
        callback=_remember("config"),
        help="The configuration file [env: WATCHDOGD_CONFIG].",
    )
    color = click.option(
        "--no-color",
        is_flag=True,
        expose_value=False,
        callback=_remember("no_color"),
        help="No colour, as with NO_COLOR.",
    )
    return decorate(color(command))


def _remember(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
    def callback(ctx: click.Context, _: click.Parameter, value: object) -> None:
        if value:
            ctx.find_root().meta[f"watchdogd.{name}"] = value

    return callback


def config_option() -> str | None:
    """What ``--config`` said."""
    value = click.get_current_context().find_root().meta.get("watchdogd.config")
    return value if isinstance(value, str) else None


def program() -> str:
    """This program with the configuration that it was given, to be typed again with another verb."""
    config = config_option()
    return "watchdogd" if config is None else f"watchdogd --config {shlex.quote(config)}"


def _colored() -> bool:
    off = click.get_current_context().find_root().meta.get("watchdogd.no_color")
    plain = off or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and sys.stdout.isatty()


def paint(text: str, color: str | None) -> str:
    """The text in a colour, where colours are wanted."""
    return click.style(text, fg=color) if color and _colored() else text


def say(line: str = "") -> None:
    """One line of the result, on stdout."""
    click.echo(printable(line), color=_colored())


def printable(text: str) -> str:
    """Without control characters that a server may have sent; plain colours stay."""
    parts = _COLOR.split(text)
    return "".join(
        part if _COLOR.fullmatch(part) else "".join(c if c.isprintable() else " " for c in part)
        for part in parts
    )


def wrapped(text: str, indent: int) -> None:
    """A sentence of the result, folded at 80 columns, between words where that can be."""
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    clean = text.replace("\x1b", "")
    for line in textwrap.wrap(clean, max(40, width), initial_indent=" " * indent,
                              subsequent_indent=" " * indent, break_on_hyphens=False):  # fmt: skip
        say(line)


def emit(answer: Mapping[str, object]) -> None:
    """A result as JSON; it carries its schema."""
    click.echo(json.dumps(answer, indent=2))


def message(line: str) -> None:
    """One line for people, on stderr."""
    click.echo(printable(line), err=True)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that nobody knows, with the nearest ones."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "known: " + ", ".join(names)
    return f"no such {what}: {name!r}; {hint}"


def pick(name: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """The targets that are meant: the named one or all. An unknown one ends the verb with code 4."""
    if name is None:
        return tuple(known)
    if name not in known:
        raise ExitWith(unknown("target", name, known), NO_TARGET)
    return (name,)


def without_verb(ctx: click.Context) -> int | None:
    """A group that was called without a verb: its help on stderr, and the code for usage."""
    if ctx.invoked_subcommand is not None:
        return None
    click.echo(ctx.get_help(), err=True)
    return USAGE


def usage(error: click.UsageError) -> None:
    """A usage error with where to read more."""
    where = error.ctx.command_path if error.ctx else "watchdogd"
    message(f"error: {error.format_message()}")
    message(f"try: {where} --help")


def failure(error: WatchdogdError) -> int:
    """Print what went wrong; the exit code that says so."""
    if isinstance(error, ConfigError):
        count = len(error.problems)
        for problem in error.problems:
            message(f"error: {problem}")
        message(f"{count} problem{'s' if count != 1 else ''}; nothing was started")
        return CONFIG
    message(f"error: {error}")
    if isinstance(error, Transient | Permanent | ExitWith) and error.mend:
        message(f"try: {error.mend}")
    return _code(error)


def _code(error: WatchdogdError) -> int:
    if isinstance(error, ExitWith):
        return error.code
    if isinstance(error, Transient | Permanent) and error.cause in LOGIN:
        return REFUSED
    return TEMPORARY if isinstance(error, Transient) else FAILED


def head(name: str, word: str, cause: str | None) -> None:
    """The verdict on one target in a line: ``check`` begins with it, ``run --once`` ends with it."""
    say(f"{name} is {state(word)}" + (f": {cause}" if cause else ""))


def state(word: str) -> str:
    """A state in its colour."""
    return paint(word, _COLORS.get(word))


def ladder(layers: Sequence[Mapping[str, Any]], detail: str = "") -> None:
    """The layers, lowest first, with a mark and a word, and what was found; then the verdict's own
    ``detail``, unless a layer told it. A layer that nobody looked at is left out."""
    told = set[str]()
    failing = ""  # the lowest that fails: it explains those above it, and none below
    for layer in layers:
        if not layer.get("vantage"):
            continue
        outcome = str(layer["outcome"])
        failing = failing or (str(layer["layer"]) if outcome == "fail" else "")
        mark, color = _MARKS.get(outcome, ("?", None))
        cause = f" {layer['cause']}" if layer.get("cause") else ""
        age = f", {ago(layer['age'])} ago" if layer.get("age") is not None else ""
        head = paint(f"{mark} {layer['layer']:<10}{outcome}{cause}", color)
        found = str(layer.get("detail") or _unknown(layer, failing))
        looked = "" if found.startswith(_UNLOOKED) else f" (from the {layer['vantage']}{age})"
        say(f"  {head}{looked}")
        if outcome != "ok" and found and found not in told:
            told.add(found)
            wrapped(found, 6)
    if detail and detail not in told:
        wrapped(detail, 2)


def _unknown(layer: Mapping[str, Any], failing: str) -> str:
    """Why a layer is not known, where the probe itself gave no reason."""
    seen = layer.get("observations") or ()
    if layer["outcome"] != "unknown" or not seen:
        return ""
    if seen[0]["outcome"] == "unknown":
        return f"{_UNLOOKED} {failing} fails" if failing else "it could not be looked at"
    return f"not judged while {failing} fails" if failing else "looked at too long ago to count"


def mend(command: str) -> None:
    """The mending command: never folded, so that it can be copied."""
    if command:
        say(f"  to mend it: {command}")


ago = length
