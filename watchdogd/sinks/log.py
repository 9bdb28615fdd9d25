"""Structured logs: the only import of structlog, on top of the standard library's logging.

So records of paramiko, docker, urllib3, watchdog and ``warnings`` come out in the same form, through
the same redaction, which is last and sees rendered tracebacks too. ``LogSink`` writes facts in plain words.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from types import TracebackType
from typing import Any, TextIO

import structlog

from watchdogd.core.commands import Fact
from watchdogd.core.events import Event
from watchdogd.core.model import Env, TargetState
from watchdogd.sinks.console import Console
from watchdogd.sinks.outlet import Outlet
from watchdogd.sinks.redact import Redactor, Secrets
from watchdogd.sinks.repeats import Repeats
from watchdogd.sinks.sentences import NOWHERE, Line, Place, event_line, fact_line

_FRAMES = 20
_OWN = "watchdogd"
_FIRST = ("timestamp", "level", "event", "target")
_PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_SysInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(
    format: str,
    level: str,
    secrets: Secrets,
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Send every log record of the process to ``stream`` (standard output) in one form.

    ``format``: ``auto`` (console on a terminal, else JSON lines), ``console`` or ``json``; ``level``:
    the lowest that is written; ``secrets``: asked at each line for the texts that must not appear.
    Calling it again replaces what an earlier call set up, and leaves other handlers alone.
    """
    out = stream or sys.stdout
    console = format == "console" or (format == "auto" and out.isatty())
    journal = _is_journal(out, os.environ if environ is None else environ)
    handler = _Handler(out, prefix=journal, console=console)
    own = logging.getLevelNamesMapping()[level.upper()]
    people = Console(colors=_colors(out), fields=own <= logging.DEBUG) if console else None
    handler.setFormatter(_formatter(Redactor(secrets), people))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger(_OWN).setLevel(own)
    # Libraries tell at info what only a developer wants to read.
    root.setLevel(logging.INFO if own <= logging.DEBUG else max(own, logging.WARNING))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _formatter(redactor: Redactor, people: Console | None) -> logging.Formatter:
    def redact(
        logger: Any, name: str, record: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        ordered = {name: record.pop(name) for name in _FIRST if name in record} | dict(record)
        shown = redactor.value(ordered)
        return shown if isinstance(shown, dict) else {}

    renderer: Any = people or structlog.processors.JSONRenderer(ensure_ascii=False)
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt=None if people else "iso", utc=True),
        _exception,
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            *before,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redact,
            renderer,
        ],
        # Kept ones would be appended by the standard library, after the redaction.
        keep_exc_info=False,
        keep_stack_info=False,
    )


def _exception(
    logger: Any, name: str, record: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The traceback as one text of at most 20 frames. Locals are never part of it."""
    raised = record.pop("exc_info", None)
    for name in ("stack_info", "message", "asctime"):  # left there by other handlers
        record.pop(name, None)
    if raised is True:
        raised = sys.exc_info()
    if isinstance(raised, BaseException):
        raised = (type(raised), raised, raised.__traceback__)
    if isinstance(raised, tuple) and raised[1] is not None:
        told = traceback.TracebackException(
            raised[0], raised[1], raised[2], limit=-_FRAMES, capture_locals=False
        )
        record["exception"] = "".join(told.format()).rstrip()
    return record


def _is_journal(out: TextIO, environ: Mapping[str, str]) -> bool:
    """True if ``out`` is the very stream that systemd named in ``JOURNAL_STREAM``."""
    try:
        found = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _colors(out: TextIO) -> bool:
    return out.isatty() and not os.environ.get("NO_COLOR")


def _lost_in_words(count: int) -> str:
    return f"{count} log lines were lost: nobody read them\n"


def _lost_as_json(count: int) -> str:
    told = {"level": "warning", "event": "log lines were lost: nobody read them", "lost": count}
    return json.dumps(told) + "\n"


class _Handler(logging.StreamHandler[Outlet]):
    """Writes whole lines; merges what paramiko splits; holds back repeats of foreign records."""

    def __init__(self, out: TextIO, *, prefix: bool, console: bool) -> None:
        super().__init__(Outlet(out, _lost_in_words if console else _lost_as_json))
        self._prefix = prefix
        self._tracebacks: dict[int, list[str]] = {}
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("paramiko") and not self._merged(record):
            return
        if not record.name.startswith(_OWN):
            held = self._repeats.pass_on(
                (record.name, record.levelno, str(record.msg)), record.created
            )
            if held is None:
                return
            if held:
                record.repeated = held
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._prefix:
            return text
        mark = f"<{_PRIORITY.get(record.levelname.lower(), 6)}>"
        return "\n".join(mark + line for line in text.splitlines())

    def handleError(self, record: logging.LogRecord) -> None:
        """A line that cannot be made or written is lost, and only that is told: the library's own
        report would show the record before redaction."""
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(f"a log record of {record.name} could not be written\n")

    def _merged(self, record: logging.LogRecord) -> bool:
        """paramiko logs a traceback line by line: gathered by thread, written with the last line."""
        thread = record.thread or threading.get_ident()
        line = record.getMessage()
        gathered = self._tracebacks.get(thread)
        if line.startswith("Traceback (most recent call last)"):
            self._tracebacks[thread] = [line]
            return False
        if gathered is None:
            return bool(line.strip())
        gathered.append(line)
        if line.startswith(" ") and len(gathered) < 10 * _FRAMES:
            return False
        del self._tracebacks[thread]
        record.msg, record.args = "\n".join(gathered), ()
        return True


class LogSink:
    """Implements ``ports.Sink``: one line a fact. Called by one thread."""

    def __init__(self, places: Mapping[str, Place] | None = None) -> None:
        """``places``: where each target listens and leads; without it lines do not say it. It may be
        replaced as a whole."""
        self.places = places or {}
        self._log: Any = structlog.stdlib.get_logger(f"{_OWN}.facts")
        self._repeats = Repeats()

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        """Writes the event, if it is news, then each fact."""
        news = event_line(event, self.places.get(target, NOWHERE))
        if news is not None:
            self._write(target, news, state, env)
        for fact in facts:
            self._write(target, fact_line(fact), state, env)

    def _write(self, target: str, line: Line, state: TargetState, env: Env) -> None:
        if line.ends:
            self._forget(target, line.ends)
        held: int | None = 0
        if line.repeats is not None:
            held = self._repeats.pass_on((target, line.repeats), env.boot)
        if held is None:
            return
        for kind in line.ended_by:
            self._forget(target, kind)
        fields: dict[str, object] = {"target": target}
        if state.incident is not None:
            fields["incident"] = state.incident.id
        fields |= {
            name: _word(value) for name, value in line.fields.items() if value not in ("", None)
        }
        if held:
            fields["repeated"] = held
        getattr(self._log, line.level)(line.text, **fields)

    def _forget(self, target: str, kind: str) -> None:
        def matches(key: object) -> bool:
            return isinstance(key, tuple) and key[0] == target and key[1][0] == kind

        self._repeats.forget(matches)


def _word(value: object) -> object:
    return value if isinstance(value, int | float | list) else str(value)
