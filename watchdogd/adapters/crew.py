"""Threads that are used again.

A client of the forward needs three. To start one takes as long as to open a channel, on a busy machine
several milliseconds, because who starts it waits until it runs (measured); one that rests is only woken.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_REST_SECONDS = 0.3
"""Long enough for the next request of a page, and an idle agent keeps none."""
_Job = tuple[str, Callable[[], None]]


class Crew:
    """Daemon threads, as many as there are jobs at once. May be used from any thread."""

    def __init__(self, rest: float = _REST_SECONDS) -> None:
        """``rest``: seconds that a thread without a job waits for the next one."""
        self._rest = rest
        self._lock = threading.Lock()
        self._resting: list[queue.SimpleQueue[_Job]] = []

    def start(self, name: str, job: Callable[[], None]) -> None:
        """``job()`` in a thread of that name; returns at once. What it raises ends that thread, and is told
        by ``threading.excepthook``."""
        with self._lock:
            box = self._resting.pop() if self._resting else None  # the last one's memory is warm
        if box is not None:
            box.put((name, job))
            return
        threading.Thread(target=self._work, args=(name, job), name=name, daemon=True).start()

    def _work(self, name: str, job: Callable[[], None]) -> None:
        box: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        following: _Job | None = (name, job)
        del job  # what it holds must not live as long as the thread rests
        while following is not None:
            threading.current_thread().name = following[0]
            following[1]()
            del following
            following = self._next(box)

    def _next(self, box: queue.SimpleQueue[_Job]) -> _Job | None:
        with self._lock:
            self._resting.append(box)
        try:
            return box.get(timeout=self._rest)
        except queue.Empty:
            with self._lock:
                if box in self._resting:
                    self._resting.remove(box)
                    return None
        return box.get()  # it was given meanwhile


CREW = Crew()
"""The process's."""
