"""The state of every target in one line, for the service manager.

In the flow: a sink; it looks at the state after each step, and says something only when that changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from threading import Lock

from watchdogd.core.commands import Fact
from watchdogd.core.events import Event
from watchdogd.core.hand import needs_hand
from watchdogd.core.model import Env, TargetState
from watchdogd.core.words import State


class ServiceStatus:
    """Implements ``ports.Sink``. Any thread may call."""

    def __init__(self, tell: Callable[[str], None], targets: Collection[str]) -> None:
        """``tell`` gets the whole line, not redacted, each time that it is another one; targets in this
        order."""
        self._tell = tell
        self._lines = dict.fromkeys(targets, "not looked at yet")
        self._refused = False
        self._lock = Lock()

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        """Say how this target is now, if that is news."""
        line = _words(state, env)
        with self._lock:
            if self._lines.get(target) != line:
                self._lines[target] = line
                self._say()

    def keep(self, targets: Collection[str]) -> None:
        """These are the targets from now on."""
        with self._lock:
            self._lines = {name: self._lines.get(name, "not looked at yet") for name in targets}
            self._say()

    def refused(self, refused: bool) -> None:
        """The configuration as it stands in the files is, or is no longer, refused."""
        with self._lock:
            if refused is not self._refused:
                self._refused = refused
                self._say()

    def _say(self) -> None:
        parts = [f"{name} {line}" for name, line in self._lines.items()]
        if self._refused:
            parts.insert(0, "the changed configuration is refused (watchdogd config check)")
        self._tell("; ".join(parts))


def _words(state: TargetState, env: Env) -> str:
    """Such as ``up since 27 Nov 14:02`` or ``down: host_key since ... (why), try: ...``. No age that
    would have to be told anew as it grows."""
    cause = state.verdict.cause
    what = f"{state.shown}: {cause}" if cause and state.shown is not State.UP else f"{state.shown}"
    began = env.wall - (env.boot - state.shown_since_boot)
    since = datetime.fromtimestamp(began, UTC).astimezone().strftime("%d %b %H:%M")
    mend = state.verdict.mend if needs_hand(state) else ""
    why = state.verdict.detail if needs_hand(state) else ""
    return (
        f"{what} since {since}" + (f" ({why})" if why else "") + (f", try: {mend}" if mend else "")
    )
