"""What must not be written anywhere: the tokens of all targets, the configuration's own secrets, and others.

In the flow: whoever writes a line asks here first. A line of the log has all token files looked at. The
recorder writes two lines a round, and with two hundred targets that alone were five thousand looks a
second; so for its lines see ``at_step``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from watchdogd.errors import WatchdogdError
from watchdogd.loading import config_secrets
from watchdogd.ports import Clock, Tokens
from watchdogd.settings import Secret, Settings

LOOKED_SECONDS = 1.0
"""So old may the last look at all files be for a line of the recorder."""
InForce = tuple[Settings, Mapping[str, Tokens]]
"""A configuration and what holds its targets' tokens; the same object as long as both are in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one look at all found."""

    source: InForce
    news: int
    """How often the agent had come to know a token by then."""
    at: float
    """``run`` clock."""
    tokens: Mapping[str, Secret | None]
    others: tuple[Secret, ...]
    secrets: tuple[Secret, ...]


class HeldSecrets:
    """May be asked by any thread."""

    def __init__(
        self,
        in_force: Callable[[], InForce],
        clock: Clock,
        others: Callable[[], tuple[Secret, ...]] = tuple,
    ) -> None:
        """``in_force`` is not called before the first question. ``others``: what else is secret, the same
        object as long as it is the same."""
        self._in_force = in_force
        self._others = others
        self._clock = clock
        self._lock = threading.Lock()
        self._news = 0
        self._last: _Look | None = None

    def noted(self) -> None:
        """The agent has just come to know a token, and uses it from now on."""
        with self._lock:
            self._news += 1

    def __call__(self) -> tuple[Secret, ...]:
        """All of them as of now; every file is looked at."""
        return self._look().secrets

    def at_step(self, target: str) -> tuple[Secret, ...]:
        """For a line about one target: that one's token as of now, and all that this process knows. The
        files of the others may have changed in the last second, if nobody here has read them since.
        The same object as long as they are the same."""
        last = self._last
        if last is None or not self._holds(last, target):
            last = self._look()
        return last.secrets

    def _holds(self, last: _Look, target: str) -> bool:
        if last.news != self._news or self._clock.run() - last.at >= LOOKED_SECONDS:
            return False
        source = self._in_force()
        if last.source is not source or last.others is not self._others():
            return False
        tokens = source[1].get(target)
        return tokens is None or _token(tokens) == last.tokens[target]

    def _look(self) -> _Look:
        with self._lock:
            news = self._news  # before the look: what is noted meanwhile brings another one
        source, others, at = self._in_force(), self._others(), self._clock.run()
        tokens = {name: _token(one) for name, one in source[1].items()}
        held = (one for one in tokens.values() if one is not None)
        found = (*config_secrets(source[0]), *others, *held)
        secrets = tuple(dict.fromkeys(found))
        before = self._last
        if before is not None and before.secrets == secrets:
            secrets = before.secrets
        look = _Look(source=source, news=news, at=at, tokens=tokens, others=others, secrets=secrets)
        self._last = look
        return look


def _token(tokens: Tokens) -> Secret | None:
    with suppress(WatchdogdError, OSError):
        return tokens.current()
    return None
