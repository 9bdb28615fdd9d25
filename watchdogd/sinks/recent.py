"""The last facts and link news of each target, in memory: what ``status --json`` shows as ``recent``."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from threading import Lock

from watchdogd.core import events as e
from watchdogd.core.commands import Fact
from watchdogd.core.model import (
    Env,
    Incident,
    Intent,
    Pause,
    TargetState,
)
from watchdogd.core.resume import Hook

_KEPT = 64
_NEWS = (
    e.Resumed,
    e.ClockStepped,
    e.NetworkChanged,
    e.LinkUp,
    e.LinkSilent,
    e.LinkSpeaking,
    e.LinkLost,
    e.DialFailed,
    e.PortBound,
    e.BindFailed,
    e.ContainerDied,
    e.FilesChanged,
    e.SettingsChanged,
)


class RecentFacts:
    """Implements ``ports.Sink``. Any thread may ask."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = Lock()
        self._rings: dict[str, deque[dict[str, object]]] = {}

    def told(
        self, target: str, event: e.Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        """Keeps the event, if it is news of the link, the port or the laptop, and each fact."""
        news = [event, *facts] if isinstance(event, _NEWS) else facts
        if not news:
            return
        at = datetime.fromtimestamp(env.wall, UTC).isoformat(timespec="milliseconds")
        entries = [{"at": at.replace("+00:00", "Z"), **_plain(item)} for item in news]
        with self._lock:
            self._rings.setdefault(target, deque(maxlen=self._kept)).extend(entries)

    def keep(self, targets: Collection[str]) -> None:
        """Forget all other targets."""
        with self._lock:
            self._rings = {name: ring for name, ring in self._rings.items() if name in targets}

    def of(self, target: str) -> tuple[dict[str, object], ...]:
        """The entries of one target, oldest first: ``at`` (UTC), ``kind``, and the fields of the fact."""
        with self._lock:
            return tuple(dict(entry) for entry in self._rings.get(target, ()))


def _plain(item: e.Event | Fact) -> dict[str, object]:
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(item).__name__).lower()
    found: dict[str, object] = {"kind": kind}
    for each in fields(item):
        value = getattr(item, each.name)
        if isinstance(value, Incident):
            found |= {"incident": value.id, "cause": str(value.cause)}
        elif isinstance(value, Intent):
            found |= {
                "incident": value.incident,
                "cause": str(value.cause or ""),
                "remedy": str(value.remedy),
                "key": value.key,
            }
        elif isinstance(value, Hook):
            found |= {
                "incident": value.incident,
                "key": value.key,
                "attempt": value.attempt,
                "back": value.back,
                "step": value.step,
            }
        elif isinstance(value, Pause):
            found |= {"until": value.until_wall, "actor": value.actor, "reason": value.reason}
        elif value not in ("", None):
            found[each.name] = str(value) if isinstance(value, Enum) else value
    return found
