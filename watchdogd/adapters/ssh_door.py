"""What all logins to one address share: to its sshd and its fail2ban all that knock from here are one."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from watchdogd.adapters.file_signature import Signature
from watchdogd.errors import Permanent, Transient

DIALS_AT_ONCE = 4
"""To one address, by all logins together: sshd refuses at random from 10 that are not logged in (``MaxStartups``
10:30:100), and others may be logging in as well. Of one login, until it was let in, one finds out for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A dial that failed, for others who ask the same server."""

    number: int
    error: Transient | Permanent
    at: float
    """``boot`` clock: a night makes it old."""
    files: tuple[Signature, ...]
    """What the login depends on, as it was."""

    def again(self, more: str = "", *, reached: bool | None = None) -> Transient | Permanent:
        """For another target: an error that was raised belongs to its own thread. ``more``: behind its detail;
        ``reached``: instead of its own."""
        one, told = self.error, self.error.detail + more
        at_sshd = one.reached if reached is None else reached
        return type(one)(one.cause, told, phase=one.phase, mend=one.mend, reached=at_sshd)


class Door:
    """One address. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._knocking = 0
        self._refused: WeakKeyDictionary[object, tuple[Failure, ...]] = WeakKeyDictionary()

    def knock(self) -> bool:
        """May one more dial begin? Then ``entered`` is to be called at its end."""
        with self._lock:
            free = self._knocking < DIALS_AT_ONCE
            self._knocking += free
            return free

    def entered(self) -> None:
        """A dial ended, with or without a link."""
        with self._lock:
            self._knocking -= 1

    def note(self, login: object, refused: tuple[Failure, ...]) -> None:
        """These of that login's dials were refused, and none let in since."""
        with self._lock:
            self._refused[login] = refused

    def others(self, login: object, since: float) -> int:
        """How many of all others' were refused since then (``boot`` clock)."""
        with self._lock:
            kept = [refused for one, refused in self._refused.items() if one is not login]
        return sum(one.at >= since for refused in kept for one in refused)
