"""What a dead man's switch is told: that rounds complete, that a person is needed, and how long this machine slept.

The loop notes; the thread ``notify`` asks what is due and sends it. What it vouches for is a completed round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from threading import Lock

from watchdogd.core.commands import Fact, IncidentClosed, IncidentOpened
from watchdogd.core.events import Event, Resumed
from watchdogd.core.hand import needs_hand
from watchdogd.core.lengths import length
from watchdogd.core.model import TargetState

BEAT_SECONDS = 300.0
AGAIN_SECONDS = 60.0
"""After a ping that was not taken."""
ROUND_SECONDS = 60.0
"""A loop that completed no round for so long is not vouched for."""
_LOGS = 16
Ping = tuple[str, str]
"""What stands behind the address, and the text."""


class Beats:
    """Any thread may call. Times are those of the clock that counts sleep, but for rounds (``run`` clock)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._needy: frozenset[str] = frozenset()
        self._logs: deque[str] = deque(maxlen=_LOGS)
        self._slept = ""
        self._due = 0.0
        self._round = float("-inf")

    def completed(self, run: float) -> None:
        """The loop completed a round."""
        self._round = run

    def note(self, target: str, event: Event, facts: Sequence[Fact], state: TargetState) -> bool:
        """Take note of one event; True if something is due at once."""
        needy = needs_hand(state)
        logs = [text for fact in facts if (text := _log(target, fact))]
        slept = event.slept if isinstance(event, Resumed) else 0.0
        if needy is (target in self._needy) and not logs and not slept:
            return False
        with self._lock:
            others = self._needy - {target}
            self._due = 0.0 if slept or needy is not (target in self._needy) else self._due
            self._needy = others | {target} if needy else others
            self._logs.extend(logs)
            self._slept = f"awake again after {length(slept)}" if slept else self._slept
        return True

    def keep(self, targets: Collection[str]) -> None:
        """Forget all other targets; the next ping is due now."""
        with self._lock:
            self._needy &= frozenset(targets)
            self._due = 0.0

    def next_at(self) -> float:
        """When the next one is due (0: now)."""
        return 0.0 if self._logs else self._due

    def take(self, run: float, boot: float) -> tuple[Ping, ...]:
        """What is due now, in order; it is not due again before ``BEAT_SECONDS``."""
        with self._lock:
            found = [("/log", text) for text in self._logs]
            self._logs.clear()
            if boot >= self._due and run - self._round <= ROUND_SECONDS:
                found.append(self._beat())
                self._due = boot + BEAT_SECONDS
            elif boot >= self._due:
                self._due = boot + AGAIN_SECONDS / 12
            return tuple(found)

    def _beat(self) -> Ping:
        slept, self._slept = self._slept, ""
        if not self._needy:
            return "", slept
        person = f"needs a person: {', '.join(sorted(self._needy))}"
        return "/fail", f"{person}; {slept}" if slept else person

    def failed(self, boot: float) -> None:
        """The last one was not taken: sooner again."""
        with self._lock:
            self._due = min(self._due, boot + AGAIN_SECONDS)


def _log(target: str, fact: Fact) -> str:
    match fact:
        case IncidentOpened(incident=incident):
            return f"{target}: incident opened, {incident.cause}"
        case IncidentClosed(incident=incident):
            return f"{target}: incident closed, {incident.cause}"
        case _:
            return ""
