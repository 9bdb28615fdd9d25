"""``watchdogd`` on a laptop that can be put to sleep: ``python waking.py FILE ARGUMENTS...``.

FILE holds the seconds that it has slept so far; its processes are stopped meanwhile by whoever writes it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

real = time.clock_gettime
slept = Path(sys.argv[1])


def awake(clock: int) -> float:
    """As ``time.clock_gettime``: only the clock since boot goes on in sleep."""
    return real(clock) + (float(slept.read_text()) if clock == time.CLOCK_BOOTTIME else 0.0)


time.clock_gettime = awake
sys.argv = ["watchdogd", *sys.argv[2:]]

if __name__ == "__main__":
    from watchdogd.cli import run

    sys.exit(run(sys.argv[1:]))
