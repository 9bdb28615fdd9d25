"""The SSH engines by name, made for a test: one more engine joins every test by one more entry of ``MAKERS``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.engine_choice import choose
from watchdogd.adapters.engine_openssh import OpensshEngine
from watchdogd.adapters.engine_sshtunnel import SshtunnelEngine
from watchdogd.adapters.ssh_resolve import resolve
from watchdogd.ports import Deadline, SshEngine
from watchdogd.settings import SshSettings

CLOCK = SystemClock()
KEEPALIVE = 0.4
"""Seconds between questions on a test's link."""

Maker = Callable[[SshSettings, Path], SshEngine]


def soon(seconds: float = 20.0) -> Deadline:
    """In so many seconds."""
    return Deadline.after(CLOCK, seconds)


def sshtunnel(settings: SshSettings, folder: Path) -> SshEngine:
    """Needs no folder."""
    return SshtunnelEngine(resolve(settings, soon()), KEEPALIVE, CLOCK)


def openssh(settings: SshSettings, folder: Path) -> SshEngine:
    """Keeps its control sockets in ``folder/run`` and its ledger in ``folder/children``."""
    plan = choose(replace(settings, engine="openssh"), soon())
    ledger = ChildLedger(folder / "children")
    return OpensshEngine(plan, KEEPALIVE, CLOCK, folder=folder / "run", ledger=ledger)


MAKERS: dict[str, Maker] = {"sshtunnel": sshtunnel, "openssh": openssh}


FAR_HALF = {"sshtunnel": True, "openssh": False}
"""Does a server that ended its own half still hear its client? ``ssh`` ends the other half as well: its
``stdio-forward`` is made for a terminal ("FORCE input drain" in OpenSSH's channels.c)."""


class News:
    """Keeps what a link told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._changed = threading.Condition()

    def silent(self) -> None:
        """See the port."""
        self._add("silent")

    def speaking(self) -> None:
        """See the port."""
        self._add("speaking")

    def lost(self, detail: str) -> None:
        """See the port."""
        self._add("lost")

    def _add(self, word: str) -> None:
        with self._changed:
            self.told.append(word)
            self._changed.notify_all()

    def await_last(self, word: str, seconds: float = 20.0) -> None:
        """Until this is the last that was told."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.told[-1:] == [word], seconds)
        assert came, f"{word} was not told, but {self.told}"
