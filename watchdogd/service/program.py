"""Which program a service is to start: this one, by a path that will still be there tomorrow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from watchdogd.service.steering import ServiceTrouble

PASSING = ("uv/archive", "uv/builds", "pipx/.cache", "pipx/venvs/.cache")
"""Parts of paths that a launcher makes for one run and clears away."""


def own_program(argv0: str = "", python: str = "") -> str:
    """The absolute path of this very program, not resolved through links, so that an update is followed.

    ``argv0`` and ``python``: as the process has them, unless told. Raises ``ServiceTrouble`` if it has
    none, or one that will not last.
    """
    called = Path(argv0 or sys.argv[0])
    found = called.absolute()
    if found.name != "watchdogd" or not os.access(found, os.X_OK) or found.is_dir():
        found = (
            Path(python or sys.executable).absolute().parent / "watchdogd"
        )  # python -m watchdogd
    if not os.access(found, os.X_OK):
        raise ServiceTrouble(
            f"no program to start: there is no {found}",
            "install watchdogd (pipx install .), and call it by its name",
        )
    if any(part in str(found) for part in PASSING):
        raise ServiceTrouble(
            f"{found} was made for one run by a launcher, and will be gone",
            "install watchdogd (pipx install .), and call it by its name",
        )
    return str(found)
