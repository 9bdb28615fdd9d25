"""How a link is broken under its clients, and which transfers may have been cut by that."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from bench.soak_streams import Transfer
from tests.lab.sshd import Sshd
from tests.lab.tunnel import Tunnel
from tests.lab.waiting import until
from watchdogd.core.events import LinkUp

GRACE_SECONDS = 0.25
"""From the end of the last process of a link until each of its clients was reset."""
REPAIR_SECONDS = 120.0
"""A link that is not replaced by then is a violation: dials take half a second here."""


@dataclass(frozen=True, slots=True)
class Break:
    """One link that was broken. Times are of the monotonic clock."""

    how: str
    cuts: bool
    """False: every client must have lived through it."""
    began: float
    ended: float
    """From when on the next link served whoever came."""

    def explains(self, transfer: Transfer) -> bool:
        """That transfer was on its way when the link ended."""
        until_then = self.ended + GRACE_SECONDS
        return self.cuts and transfer.began <= until_then and transfer.ended >= self.began


def breaks(engine: str) -> list[str]:
    """What can be done to a link of that engine."""
    return [*_WAYS] if engine == "openssh" else [way for way in _WAYS if way != "ssh killed"]


def do_break(how: str, sshd: Sshd, tunnel: Tunnel) -> Break:
    """Break the present link and wait for the next one. Raises ``AssertionError`` if none comes."""
    ups = tunnel.dialer.count(LinkUp)
    began, cuts = _WAYS[how](sshd, tunnel)
    tunnel.await_ups(ups + 1, REPAIR_SECONDS)
    tunnel.await_up(REPAIR_SECONDS)
    return Break(how, cuts, began, time.monotonic())


def pause(dice: random.Random) -> float:
    """Seconds of peace before the next one: a few."""
    return dice.uniform(1.0, 4.0)


def _server_killed(sshd: Sshd, tunnel: Tunnel) -> tuple[float, bool]:
    return _end(sshd.session_pids(), signal.SIGKILL), True


def _server_ended(sshd: Sshd, tunnel: Tunnel) -> tuple[float, bool]:
    return _end(sshd.session_pids(), signal.SIGTERM), True


def _ssh_killed(sshd: Sshd, tunnel: Tunnel) -> tuple[float, bool]:
    return _end(tunnel.children(), signal.SIGKILL), True


def _frozen_and_healed(sshd: Sshd, tunnel: Tunnel) -> tuple[float, bool]:
    began = time.monotonic()
    _signal(_frozen(sshd, tunnel), signal.SIGCONT)
    return began, False


def _frozen_and_killed(sshd: Sshd, tunnel: Tunnel) -> tuple[float, bool]:
    return _end(_frozen(sshd, tunnel), signal.SIGKILL), True


_WAYS: dict[str, Callable[[Sshd, Tunnel], tuple[float, bool]]] = {
    "server killed": _server_killed,
    "server ended": _server_ended,
    "ssh killed": _ssh_killed,
    "frozen, healed": _frozen_and_healed,
    "frozen, killed": _frozen_and_killed,
}


def _frozen(sshd: Sshd, tunnel: Tunnel) -> tuple[int, ...]:
    """The processes of the links so far, stopped, once another link serves beside them."""
    ups, pids = tunnel.dialer.count(LinkUp), sshd.session_pids()
    _signal(pids, signal.SIGSTOP)
    try:
        tunnel.await_ups(ups + 1, REPAIR_SECONDS)
    except BaseException:
        _signal(pids, signal.SIGCONT)
        raise
    return pids


def _end(pids: Iterable[int], number: signal.Signals) -> float:
    """Returns when it began, once all of them are gone."""
    began, pids = time.monotonic(), tuple(pids)
    _signal(pids, number)
    until(lambda: not any(_lives(pid) for pid in pids), f"the end of {pids}")
    return began


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
