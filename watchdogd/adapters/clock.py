"""The real clocks and dice: the only import of ``time`` in the package.

Everybody else is given a ``ports.Clock``, so that tests can hand in one they turn by themselves.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux only. Elsewhere the wall clock tells of sleep, as which other clock counts it is the system's choice."""
_APART_SECONDS = 2.0
"""The wall clock is slewed by parts of a second; by more it was set, or the machine slept."""


class SleepByWall:
    """A clock that also counts sleep, made of one that may not, and of the wall clock.

    Where the wall clock gained more, the machine slept. A wall clock that was set forward looks the same: that
    costs a question over the link and a few seconds of grace. Any thread may ask; the oftener, the surer.
    """

    def __init__(self, run: Callable[[], float], wall: Callable[[], float]) -> None:
        self._run, self._wall = run, wall
        self._lock = threading.Lock()
        self._last = (run(), wall())
        self._slept = 0.0

    def __call__(self) -> float:
        """Seconds; never goes back."""
        with self._lock:
            now = (self._run(), self._wall())
            gained = (now[1] - self._last[1]) - (now[0] - self._last[0])
            self._last = now
            if gained > _APART_SECONDS:
                self._slept += gained
            return now[0] + self._slept


_ELSEWHERE = SleepByWall(time.monotonic, time.time)


@cache
def _kernels_boot_id(path: Path) -> str:
    """No process outlives its boot, and each step of each target asks. Empty where there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class SystemClock:
    """Implements ``ports.Clock`` on the system's own clocks. Has no state; any thread may use it."""

    def run(self) -> float:
        """Seconds of ``time.monotonic``."""
        return time.monotonic()

    def boot(self) -> float:
        """Seconds since boot, sleep included; elsewhere than on Linux sleep since this program started."""
        return _ELSEWHERE() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    def boot_id(self) -> str:
        """The kernel's boot id, else the minute of the boot: equal within one boot, not across two."""
        return _kernels_boot_id(_BOOT_ID) or f"booted-{round((self.wall() - self.boot()) / 60)}"

    def chance(self) -> float:
        """Uniform in [0, 1); spreads retries, guards nothing."""
        return random.random()  # noqa: S311 - jitter, not cryptography

    def wait(self, seconds: float) -> None:
        """Blocks the calling thread for ``seconds`` (none if negative)."""
        time.sleep(max(0.0, seconds))
