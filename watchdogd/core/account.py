"""Where the seconds went: each second of the boot clock is booked to exactly one state."""

from __future__ import annotations

from watchdogd.core.model import Account
from watchdogd.core.words import State


def booked(account: Account, state: State, boot: float, *, asleep: float = 0.0) -> Account:
    """The account with all time up to ``boot`` booked to ``state``, ``asleep`` of it to sleep.

    Seconds over all states always sum to the elapsed boot clock. A boot clock that went back (it
    must not) books nothing.
    """
    elapsed = boot - account.booked_until
    if elapsed <= 0.0:
        return account
    slept = min(max(0.0, asleep), elapsed) if asleep else 0.0
    seconds = dict(account.seconds)
    if slept > 0.0:
        seconds[State.ASLEEP] = seconds.get(State.ASLEEP, 0.0) + slept
    if elapsed > slept:
        seconds[state] = seconds.get(state, 0.0) + (elapsed - slept)
    return Account(seconds=seconds, booked_until=boot)
