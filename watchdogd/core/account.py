"""Where the seconds went: each second of the boot clock is booked to exactly one state."""

from __future__ import annotations

from watchdogd.core.model import Account
from watchdogd.core.words import State


def booked(account: Account, state: State, boot: float, *, asleep: float = 0.0) -> Account:
    """The account with all time up to ``boot`` booked to ``state``, ``asleep`` of it to sleep.

    Seconds over all states always sum to the elapsed boot clock. A boot clock that went back (it
    must not) books nothing.
    """
    elapsed = max(0.0, boot - account.booked_until)
    slept = min(max(0.0, asleep), elapsed)
    seconds = dict(account.seconds)
    for key, amount in ((State.ASLEEP, slept), (state, elapsed - slept)):
        if amount > 0.0:
            seconds[key] = seconds.get(key, 0.0) + amount
    return Account(seconds=seconds, booked_until=max(boot, account.booked_until))
