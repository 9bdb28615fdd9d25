"""Repairing: plain functions that act once, by a deadline, and prove their effect.

The registry says which remedies are built; the loop is handed it. What is not in it is never chosen.
"""

from __future__ import annotations

from collections.abc import Mapping

from watchdogd.core.words import Remedy
from watchdogd.ports import RemedyFunction
from watchdogd.remedies.connection import reconnect, reopen_forward
from watchdogd.remedies.container import create_container, restart_container, start_container
from watchdogd.remedies.runtime import refresh_token
from watchdogd.remedies.session import open_session, restart_session, start_session

REMEDIES: Mapping[Remedy, RemedyFunction] = {
    Remedy.RECONNECT: reconnect,
    Remedy.REOPEN_FORWARD: reopen_forward,
    Remedy.REFRESH_TOKEN: refresh_token,
    Remedy.OPEN_SESSION: open_session,
    Remedy.START_CONTAINER: start_container,
    Remedy.CREATE_CONTAINER: create_container,
    Remedy.START_SESSION: start_session,
    Remedy.RESTART_CONTAINER: restart_container,
    Remedy.RESTART_SESSION: restart_session,
}
