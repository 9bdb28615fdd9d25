"""The real clocks and dice: the only import of ``time`` in the package.

Everybody else is given a ``ports.Clock``, so that tests can hand in one they turn by themselves.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux only. Elsewhere the monotonic clock stands in; which of the two counts sleep is the system's choice."""


class SystemClock:
    """Implements ``ports.Clock`` on the system's own clocks. Has no state; any thread may use it."""

    def run(self) -> float:
        """Seconds of ``time.monotonic``."""
        return time.monotonic()

    def boot(self) -> float:
        """Seconds since boot, sleep included where the system has such a clock."""
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    def boot_id(self) -> str:
        """The kernel's boot id, else the minute of the boot: equal within one boot, not across two."""
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return f"booted-{round((self.wall() - self.boot()) / 60)}"

    def chance(self) -> float:
        """Uniform in [0, 1); spreads retries, guards nothing."""
        return random.random()  # noqa: S311 - jitter, not cryptography

    def wait(self, seconds: float) -> None:
        """Blocks the calling thread for ``seconds`` (none if negative)."""
        time.sleep(max(0.0, seconds))
