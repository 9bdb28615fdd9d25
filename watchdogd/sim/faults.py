"""What goes wrong by itself, and when: a seeded schedule, drawn before anybody heals anything.

So every healer meets the same faults at the same times.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdogd.sim.scenario import Scenario

DAY = 86400.0


class Kind(StrEnum):
    """The true causes. The later in this list, the nearer to the work."""

    SLEEP = "sleep"
    """The lid is closed at night, or in the day for a while."""
    ROAM = "roam"
    """The laptop has no network."""
    LINK_RESET = "link_reset"
    NAT_FORGOT = "nat_forgot"
    """This one connection is dead without a word; a new one works."""
    STALL = "stall"
    """Nothing passes at all."""
    FLAP = "flap"
    """A series of resets."""
    LOSS = "loss"
    """Packets are lost; everything is slow, some answers come too late."""
    REBOOT = "reboot"
    ENGINE_RESTART = "engine_restart"
    CRASH = "crash"
    OOM = "oom"
    SLOW = "slow"
    """The runtime answers late, but answers."""
    HUNG_FOR_A_WHILE = "hung_for_a_while"
    """Jupyter's loop is blocked; a kernel that works goes on; it ends by itself."""
    HUNG_WITH_WORK = "hung_with_work"
    """Jupyter hangs for good while the kernel goes on."""
    HUNG_DEAD = "hung_dead"
    """The runtime with all its kernels stands still for good."""
    REFUSED = "refused"
    """The Jupyter server is gone and its kernels with it; the container runs."""
    ERROR = "error"
    """Jupyter answers 500 to everything while the kernel goes on."""
    KERNEL_DIED = "kernel_died"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the schedule."""

    at: float
    """Seconds of the world's clock."""
    kind: Kind
    lasts: float
    """Seconds until it ends by itself; infinite: until it is repaired."""


def schedule(scenario: Scenario, dice: Random) -> tuple[Fault, ...]:
    """All faults of one run, in order of time."""
    found = list(_nights(scenario, dice))
    for kind, rate in scenario.rates.items():
        at = dice.expovariate(1.0 / rate.mean_between)
        while at < scenario.length:
            lasts = rate.lasts.draw(dice) if rate.lasts else float("inf")
            found.append(Fault(at, kind, lasts))
            at += lasts if rate.lasts else 0.0
            at += dice.expovariate(1.0 / rate.mean_between)
    return tuple(sorted(found, key=lambda one: one.at))


def _nights(scenario: Scenario, dice: Random) -> list[Fault]:
    nights, shift = [], scenario.spreads["sleep_shift"]
    day = 0
    while day * DAY < scenario.length:
        begin = day * DAY + scenario.numbers["night_from"] + shift.draw(dice)
        end = (day + 1) * DAY + scenario.numbers["night_to"] + shift.draw(dice)
        nights.append(Fault(begin, Kind.SLEEP, end - begin))
        day += 1
    return nights
