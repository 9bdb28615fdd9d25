"""Where the agent keeps what: the state folder, and a private folder for its sockets."""

from __future__ import annotations

import os
from pathlib import Path

from watchdogd.control import control_path
from watchdogd.loading.paths import state_folder
from watchdogd.settings import Settings


def state_path(settings: Settings) -> Path:
    """The state folder; the platform's unless the configuration names one."""
    return Path(settings.agent.state_dir or state_folder(os.environ))


def token_path(state: Path, target: str) -> Path:
    """Where the token that the agent made for a target is kept."""
    return state / "tokens" / target


def journal_path(state: Path) -> Path:
    """What must survive a crash."""
    return state / "journal.sqlite"


def events_folder(state: Path) -> Path:
    """What happened, event by event, for ``simulate``."""
    return state / "events"


def control_socket(state: Path) -> Path:
    """Where the agent of this state folder answers the command line."""
    return control_path(str(state), os.environ)


def children_folder(state: Path) -> Path:
    """Which children live, for the next start if this agent is killed."""
    return state / "children"


def ssh_folder(state: Path, target: str) -> Path:
    """A folder with a short path for the control sockets of a target's ssh."""
    return control_socket(state).parent / f"{target}.ssh"


def engine_folder(state: Path, target: str) -> Path:
    """A folder with a short path for a target's container engine socket."""
    return control_socket(state).parent / target
