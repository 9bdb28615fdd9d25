"""A scenario file (TOML) -> frozen numbers. Each has its unit and a reason, or the file is refused."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from watchdogd.sim.faults import Kind

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0, "share": 1.0}
"""Seconds in each unit; a share is a number between 0 and 1."""


SHAPE = math.sqrt(3.0) / math.pi
"""The scale of a logistic distribution with standard deviation 1."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A duration that is drawn: log-logistic with this median, never above ``most`` seconds.

    Close to a log-normal with the same ``sigma`` of the logarithm, and a third of its price.
    """

    median: float
    sigma: float
    most: float

    def draw(self, dice: Random) -> float:
        """Seconds."""
        chance = dice.random()
        odds = chance / (1.0 - chance)
        drawn = self.median * math.pow(odds, SHAPE * self.sigma)
        return drawn if drawn < self.most else self.most


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a fault comes, and how long it lasts by itself (``None``: until it is repaired)."""

    mean_between: float
    """Seconds between two, exponentially distributed."""
    lasts: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All numbers of a simulated world, in seconds."""

    length: float
    rates: Mapping[Kind, Rate]
    spreads: Mapping[str, Spread]
    numbers: Mapping[str, float]

    def scaled(self, factor: float) -> Scenario:
        """The same world with all faults ``factor`` times as frequent."""
        rates = {
            kind: replace(rate, mean_between=rate.mean_between / factor)
            for kind, rate in self.rates.items()
        }
        return replace(self, rates=rates)


SPREADS = frozenset({"job", "job_gap", "lull", "boot", "dial", "look", "deep_look", "sleep_shift"})
NUMBERS = frozenset(
    {
        "night_from",
        "night_to",
        "checkpoint_every",
        "resume_seconds",
        "lull_every",
        "lost_answers",
        "reset_at_wake",
        "person_after",
        "slow_answer",
    }
)


def load(text: str) -> Scenario:
    """Read the text of a scenario file. Raises ``ValueError`` with every problem that it has."""
    data = tomllib.loads(text)
    problems: list[str] = []
    rates = {}
    for kind in Kind:
        table = data.get("faults", {}).get(str(kind))
        if table is None:
            problems.append(f"faults.{kind} is missing")
            continue
        lasts = table.get("lasts")
        spread = None if lasts is None else _spread(f"faults.{kind}.lasts", lasts, problems)
        between = _number(f"faults.{kind}", table, "mean_between", problems)
        rates[kind] = Rate(between, spread)
    spreads = _each(data, "spreads", SPREADS, _spread, problems)
    numbers = _each(
        data, "numbers", NUMBERS, lambda at, one, to: _number(at, one, "value", to), problems
    )
    length = _number("length", data.get("length", {}), "value", problems)
    if problems:
        raise ValueError("; ".join(problems))
    return Scenario(length=length, rates=rates, spreads=spreads, numbers=numbers)


def _each(
    data: Mapping[str, Any], part: str, names: frozenset[str], read: Any, problems: list[str]
) -> dict[str, Any]:
    found = data.get(part, {})
    problems += [f"{part}.{name} is missing" for name in sorted(names - found.keys())]
    problems += [f"{part}.{name} is unknown" for name in sorted(found.keys() - names)]
    return {name: read(f"{part}.{name}", found[name], problems) for name in names & found.keys()}


def _number(at: str, table: Mapping[str, Any], key: str, problems: list[str]) -> float:
    """One positive number in seconds; what is wrong with it goes to ``problems``."""
    value, unit = table.get(key), table.get("unit")
    if not isinstance(value, int | float) or value < 0:
        problems.append(f"{at}.{key} is not a number of 0 or more")
        return 1.0
    if unit not in UNITS:
        problems.append(f"{at}.unit is not one of {', '.join(UNITS)}")
        return 1.0
    if len(str(table.get("why", ""))) < 10:
        problems.append(f"{at}.why gives no reason")
    return float(value) * UNITS[unit]


def _spread(at: str, table: Mapping[str, Any], problems: list[str]) -> Spread:
    median = _number(at, table, "median", problems)
    factor = UNITS.get(str(table.get("unit")), 1.0)
    sigma, most = table.get("sigma"), table.get("most")
    if not isinstance(sigma, int | float) or not isinstance(most, int | float):
        problems.append(f"{at} needs sigma and most")
        return Spread(median, 0.0, median)
    return Spread(median, float(sigma), float(most) * factor)
