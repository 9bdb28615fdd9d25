"""The agent as a service of the user's own: a systemd user unit, or a launchd agent.

``unit`` and ``plist`` make the files' texts, ``systemd`` and ``launchd`` install and steer them, ``program``
finds what they start. The command line is the only caller.
"""

from __future__ import annotations

from watchdogd.service.program import own_program
from watchdogd.service.steering import Installed, ServiceState, ServiceTrouble, Steering

__all__ = ["Installed", "ServiceState", "ServiceTrouble", "Steering", "own_program"]
