"""One blocking call that cannot be given a timeout, made to end by a deadline.

The call runs in a thread of its own. At the deadline the caller is released; the thread stays until
the resource it waits on is closed, and what it then brings home is handed to ``late``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from watchdogd.adapters.crew import CREW
from watchdogd.ports import Deadline

Value = TypeVar("Value")


class _Call(Generic[Value]):
    def __init__(
        self,
        job: Callable[[], Value],
        late: Callable[[Value], None] | None,
        errors: tuple[type[Exception], ...],
    ) -> None:
        self._job = job
        self._late = late
        self._errors = errors
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._abandoned = False
        self._values: list[Value] = []
        self._error: Exception | None = None

    def body(self) -> None:
        try:
            self._keep(self._job())
        except self._errors as error:
            self._error = error
        finally:
            self._ended.set()

    def _keep(self, value: Value) -> None:
        with self._lock:
            if not self._abandoned:
                self._values.append(value)
                return
        if self._late is not None:
            self._late(value)

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = not self._values
        self._ended.set()

    def result(self, deadline: Deadline, name: str) -> Value:
        if not self._ended.wait(deadline.remaining()):
            with self._lock:
                self._abandoned = not self._values
        if self._values:
            return self._values[0]
        if self._error is not None:
            raise self._error
        if self._abandoned:  # it may have ended in this very moment
            raise TimeoutError(f"{name} did not end in time")
        raise RuntimeError(f"{name} broke; its thread said why")


def within(
    deadline: Deadline,
    name: str,
    job: Callable[[], Value],
    *,
    late: Callable[[Value], None] | None = None,
    errors: tuple[type[Exception], ...] = (OSError,),
    hold: Callable[[Callable[[], None]], AbstractContextManager[None]] | None = None,
) -> Value:
    """``job()``, or ``TimeoutError`` at the deadline. ``errors`` are handed on to the caller.

    ``hold`` is given, for as long as that is waited for, what brings the deadline forward to the moment when it is
    called, from any thread.

    ``late(value)`` is called, in the job's thread, if the value came after the deadline: what was
    opened must be closed. ``name`` names the thread.
    """
    call = _Call(job, late, errors)
    with nullcontext() if hold is None else hold(call.abandon):
        CREW.start(name, call.body)
        return call.result(deadline, name)
