"""Records each step of the loop for ``simulate``: told like a sink, written by a thread of its own.

In the flow: the loop hands over frozen records and goes on; encoding, redaction and the disk are the
thread's. What cannot be recorded is counted and said once; then the log says how much is missing, and
begins anew, so that every file can be replayed by itself.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from watchdogd.core.commands import Command
from watchdogd.core.events import Event
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.eventlog import SCHEMA, Began, Line, Missed, Opened, Retuned, Stepped, written
from watchdogd.settings import Secret
from watchdogd.sinks.redact import Redactor

log = logging.getLogger(__name__)

QUEUED = 2000
"""Steps that wait for the disk: minutes of a busy agent."""
_REMEMBERED = 2000
SecretsAt = Callable[[str], Iterable[Secret]]
"""Given a target's name."""


class Files(Protocol):
    """Where the lines go; see ``adapters.event_files``."""

    def begin(self) -> bool: ...

    def append(self, text: bytes) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Step:
    target: str
    before: TargetState
    event: Event
    policy: Policy
    env: Env
    after: TargetState
    commands: Sequence[Command]
    skipped: int
    """How many steps before it found no place in the queue."""


class Recorder:
    """Implements ``ports.Recorder``. ``stepped`` is called by one thread."""

    def __init__(
        self, files: Files, secrets: SecretsAt, *, version: str, queued: int = QUEUED
    ) -> None:
        """``secrets``: asked at each step of a target for the texts that must not be written. One that
        gives the same object again says that they are the same."""
        self._files = files
        self._version = version
        self._texts = _Texts(secrets)
        self._queue: queue.Queue[_Step | None] = queue.Queue(queued)
        self._overrun = 0
        self._skipped = 0
        self._missed = 0
        self._lost = 0
        self._failing = False
        self._known: dict[str, tuple[TargetState, Policy]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Write from now on; what was told before waits."""
        self._thread.start()

    def close(self, seconds: float) -> bool:
        """Write what is left and end, in that time. False if the thread hangs on."""
        self._closing.set()
        with suppress(queue.Full):  # then the thread is busy, and looks once the queue is empty
            self._queue.put_nowait(None)
        if not self._thread.ident:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def lost(self) -> int:
        """Steps that were not recorded."""
        return self._overrun + self._lost

    def stepped(
        self,
        target: str,
        before: TargetState,
        event: Event,
        policy: Policy,
        env: Env,
        after: TargetState,
        commands: Sequence[Command],
    ) -> None:
        """Have one step recorded. Never blocks or raises."""
        step = _Step(target, before, event, policy, env, after, commands, self._skipped)
        try:
            self._queue.put_nowait(step)
            self._skipped = 0
        except queue.Full:
            self._skipped += 1
            self._overrun += 1

    def _run(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            step = self._queue.get()
            if step is not None:
                self._take(step)
        self._files.close()

    def _take(self, step: _Step) -> None:
        self._missed += step.skipped
        try:
            self._write(step)
        except Exception as error:  # noqa: BLE001 - a sink's call: no recording may stop anything
            self._known.pop(step.target, None)
            self._missed += 1
            self._lost += 1
            self._say_failing(error)

    def _write(self, step: _Step) -> None:
        if fresh := self._files.begin():
            self._known.clear()
        texts = self._texts.now(step.target)
        lines = self._lines(step, fresh=fresh)
        self._files.append(b"".join(written(line, texts) for line in lines))
        self._known[step.target] = (step.after, step.policy)
        if self._failing:
            log.info("events are recorded again; %d are missing", self._missed)
        self._missed, self._failing = 0, False

    def _lines(self, step: _Step, *, fresh: bool) -> list[Line]:
        """The step and what has to stand before it."""
        lines: list[Line] = []
        if fresh:
            lines.append(Opened(schema=SCHEMA, version=self._version, wall=step.env.wall))
        if self._missed:
            lines.append(Missed(steps=self._missed))
        state, policy = self._known.get(step.target, (None, None))
        if state is not step.before:
            lines.append(Began(target=step.target, policy=step.policy, state=step.before))
        elif policy is not step.policy and policy != step.policy:
            lines.append(Retuned(target=step.target, policy=step.policy))
        did = tuple(step.commands)
        lines.append(Stepped(target=step.target, event=step.event, env=step.env, did=did))
        return lines

    def _say_failing(self, error: Exception) -> None:
        if self._failing:
            return
        self._failing = True
        expected = isinstance(error, OSError)
        log.warning(
            "events cannot be recorded for `simulate` (%s); healing goes on, and from now on this"
            " is only counted",
            error,
            exc_info=None if expected else error,
        )


class _Texts:
    """Redacts the texts of lines. Most come again and again, so what became of each is remembered."""

    def __init__(self, secrets: SecretsAt) -> None:
        self._secrets = secrets
        self._held: tuple[Secret, ...] = ()
        self._redactor = Redactor(tuple)
        self._remembered: dict[str, str] = {}

    def now(self, target: str) -> _Texts:
        """The same, with the secrets of this moment. Raises what ``secrets`` raises."""
        held = tuple(self._secrets(target))  # of a tuple, itself
        if len(self._remembered) > _REMEMBERED or (held is not self._held and held != self._held):
            self._remembered = {}
            self._redactor = Redactor(lambda: held)
        self._held = held
        return self

    def __call__(self, name: str, text: str) -> str:
        """What is written instead of ``text``."""
        known = self._remembered.get(text)
        if known is None:
            known = self._remembered[text] = self._redactor.text(text)
        return known
