"""What others ask through: the metrics port and the control socket. Neither can stop the healing.

A port that is taken is said once and tried again every 30 s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from watchdogd.control import Occupied
from watchdogd.ports import Clock, Deadline

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0


class Door(Protocol):
    """Something that is open from its making until ``close``."""

    def close(self, deadline: Deadline) -> None: ...


class Doors:
    """Opens each door, at the latest when its place becomes free; closes all."""

    def __init__(
        self,
        openers: dict[str, Callable[[], Door]],
        clock: Clock,
        *,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """``openers`` by name; each raises ``OSError`` or ``Occupied`` if it cannot open now."""
        self._openers = openers
        self._clock = clock
        self._retry = retry_seconds
        self._open: dict[str, Door] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Open what can be opened now; a thread goes on trying the rest."""
        if not self._try(first=True) and self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="doors", daemon=True)
            self._thread.start()

    def reopen(self, name: str, deadline: Deadline) -> None:
        """Close that door, and open it where it belongs now."""
        with self._lock:
            door = self._open.pop(name, None)
        if door is not None:
            door.close(deadline)
        self.open()

    def close(self, deadline: Deadline) -> None:
        """Close all, and open none any more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(deadline.remaining())
        with self._lock:
            for door in self._open.values():
                door.close(deadline)
            self._open.clear()

    def _go_on(self) -> None:
        while not self._stopping.wait(self._retry):
            self._try(first=False)

    def _try(self, *, first: bool) -> bool:
        """True once all are open."""
        with self._lock:
            for name, opener in self._openers.items():
                if name in self._open or self._stopping.is_set():
                    continue
                try:
                    self._open[name] = opener()
                except (OSError, Occupied) as error:
                    if first:
                        again = f"tried again every {self._retry:.0f} s; healing goes on"
                        log.warning("%s cannot be opened (%s); %s", name, error, again)
                else:
                    log.log(logging.DEBUG if first else logging.INFO, "%s is open", name)
            return len(self._open) == len(self._openers)
