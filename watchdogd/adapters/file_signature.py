"""Whether a file may have changed, told without reading it."""

from __future__ import annotations

import os
from pathlib import Path

Signature = tuple[int, int, int, int, int] | None
"""``None``: there is no such file, or it cannot be looked at."""


def signature(path: Path | str) -> Signature:
    """Changes with the file, its content, its mode and its owner."""
    try:
        found = os.stat(path)  # not Path.stat: it is asked for hundreds of files a second
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
