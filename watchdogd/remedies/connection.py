"""Repairs of the way to the server. Harmless: nothing on the server is touched."""

from __future__ import annotations

from watchdogd.core.model import Intent
from watchdogd.core.words import Result
from watchdogd.ports import Deadline, Outcome, Reach


def reconnect(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """A new link in the place of the present one, proved by a command that ran over it.

    Raises as ``SshEngine.dial`` and ``Link.run``.
    """
    reach.links.reconnect(deadline, ordered=intent.ordered)
    number = reach.links.status().number
    return Outcome(result=Result.DONE, detail=f"link {number} runs commands")


def reopen_forward(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """The local port is ours again and the server answers an opened channel.

    Raises ``Transient(PORT_CONFLICT)`` while somebody else holds it, else as ``Link.open``.
    """
    reach.links.reopen(deadline)
    return Outcome(result=Result.DONE, detail=f"{reach.target.forward.local} reaches the server")
