"""``watchdogd`` on a laptop whose wall clock can be set: ``python skewed.py FILE ARGUMENTS...``.

FILE holds the seconds by which it is ahead. The machine's own clock is nobody's to set in a test.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

real = time.time
ahead = Path(sys.argv[1])


def skewed() -> float:
    """The wall clock of that laptop."""
    return real() + float(ahead.read_text() or 0)


time.time = skewed
sys.argv = ["watchdogd", *sys.argv[2:]]

if __name__ == "__main__":
    from watchdogd.cli import run

    sys.exit(run(sys.argv[1:]))
