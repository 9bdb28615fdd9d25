"""The launchd agent as a property list. Pure: what ``service print`` shows and ``service install`` writes.

``KeepAlive`` is true, as an exit that launchctl did not order is a fault. ``Standard``, because
``Background`` slows CPU and disk down; ``Aqua``, because there the SSH agent of the login session is
inherited. 1024 files: the soft limit is said to be 256. No path holds ``~`` or ``$``: launchd expands neither.
"""

from __future__ import annotations

import plistlib
from typing import Any

LABEL = "io.github.watchdogd"
FILE = f"{LABEL}.plist"
PATH = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def agent(program: str, home: str, config: str | None = None) -> dict[str, Any]:
    """What launchd is told. ``program``, ``home`` and ``config`` are absolute."""
    log = f"{home}/Library/Logs/watchdogd/launchd.log"
    named = [] if config is None else ["--config", config]
    return {
        "Label": LABEL,
        "ProgramArguments": [program, *named, "run"],
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 10,
        "ExitTimeOut": 20,
        "ProcessType": "Standard",
        "LimitLoadToSessionType": "Aqua",
        "WorkingDirectory": home,
        "Umask": 0o077,
        "SoftResourceLimits": {"NumberOfFiles": 1024},
        "StandardOutPath": log,
        "StandardErrorPath": log,
        "EnvironmentVariables": {"PATH": PATH, "LANG": "en_US.UTF-8"},
    }


def plist_text(program: str, home: str, config: str | None = None) -> str:
    """The file as text."""
    return plistlib.dumps(agent(program, home, config), sort_keys=False).decode()
