"""A client of the forward that knows nothing of the agent: is the runtime usable, yes or no?"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from watchdogd.demo.sight import answers
from watchdogd.ports import Clock

PAUSE_SECONDS = 0.05
REQUEST_SECONDS = 1.0
JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, on a connection of its own. Times are of the ``run`` clock."""

    begun: float
    ended: float
    usable: bool


class Witness:
    """Asks through the forward again and again, in its own thread, from ``start`` to ``close``."""

    def __init__(self, port: int, token: str, clock: Clock) -> None:
        self._port = port
        self._token = token
        self._clock = clock
        self._stopping = threading.Event()
        self._samples: list[Sample] = []
        self._thread = threading.Thread(target=self._watch, name="demo-witness", daemon=True)

    def start(self) -> None:
        """Begins to ask."""
        self._thread.start()

    def usable_since(self, moment: float) -> Sample | None:
        """The first good answer to a request that began at or after ``moment`` (``run`` clock)."""
        return next((s for s in tuple(self._samples) if s.usable and s.begun >= moment), None)

    def failed_since(self, moment: float) -> int:
        """How many requests that ended after ``moment`` got no good answer."""
        return sum(1 for s in tuple(self._samples) if not s.usable and s.ended >= moment)

    def forget(self) -> None:
        """Drops what was seen so far."""
        self._samples = []

    def close(self) -> None:
        """Ends within one request."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def _watch(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            begun = self._clock.run()
            usable = answers(self._port, self._token, REQUEST_SECONDS)
            self._samples.append(Sample(begun, self._clock.run(), usable))
