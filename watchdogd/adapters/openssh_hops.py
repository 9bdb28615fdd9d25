"""Jump hosts of engine ``openssh``: the command that leads over them. Pure.

ssh would make one itself for ``ProxyJump``, but with all that a person set there for a terminal: a
shared connection (``ControlPersist``) outlives the link, and once it is stale no dial gets through.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

_OPTIONS = (
    "ControlMaster=no",
    "ControlPath=none",
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "PermitLocalCommand=no",
    "LogLevel=ERROR",  # its complaints, but no banner: we read what ssh says
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One jump host, as configured; what is empty is left to its own ``Host`` block."""

    host: str
    user: str = ""
    port: str = ""

    def argv(self) -> list[str]:
        """What names it on a command line of ssh."""
        user = ["-l", self.user] if self.user else []
        port = ["-p", self.port] if self.port else []
        return [*user, *port, "--", self.host]


def parse_hops(value: str) -> tuple[Hop, ...]:
    """The jump hosts of a ``ProxyJump``, nearest first."""
    return tuple(_hop(word) for word in value.split(","))


def _hop(word: str) -> Hop:
    user, _, place = word.strip().removeprefix("ssh://").rpartition("@")
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        return Hop(host, user, port.removeprefix(":"))
    host, _, port = place.partition(":")
    return Hop(host, user, port)


def hop_command(hops: Sequence[Hop]) -> str:
    """The ``ProxyCommand`` that leads over ``hops``, nearest first, to ssh's ``%h`` and ``%p``."""
    *before, last = hops
    options = [*_OPTIONS, *([f"ProxyCommand={hop_command(before)}"] if before else [])]
    words = ["ssh", *(word for option in options for word in ("-o", option)), *last.argv()[:-2]]
    # ssh replaces its tokens before a shell takes the quotes off.
    literal = shlex.join(words).replace("%", "%%")
    return f"{literal} -W '[%h]:%p' -- {shlex.quote(last.host).replace('%', '%%')}"
