"""Says once what goes on: of one repeated thing the first, then one an hour with a count."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

_EVERY = 3600.0
_MOST = 512


class Repeats:
    """Counts what was held back, by key. Bounded: the oldest key is forgotten first. Not thread-safe."""

    def __init__(self, every: float = _EVERY, most: int = _MOST) -> None:
        self._every = every
        self._most = most
        self._seen: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def pass_on(self, key: Hashable, now: float) -> int | None:
        """``None`` = hold it back; else say it, and how many were held back since the last one."""
        said, held = self._seen.get(key, (None, 0))
        if said is not None and 0 <= now - said < self._every:
            self._seen[key] = (said, held + 1)
            return None
        self._seen[key] = (now, 0)
        self._seen.move_to_end(key)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return held

    def forget(self, matches: Callable[[Hashable], bool]) -> None:
        """What comes next with such a key is news again."""
        for key in [key for key in self._seen if matches(key)]:
            del self._seen[key]
