"""``status --why``: why nothing was done, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchdogd.cli import output


def because(target: Mapping[str, Any]) -> None:
    """Counters, signs of work, each remedy with what holds it back, and what comes next."""
    why = target.get("why")
    if not why:
        output.wrapped("this agent does not tell why; it is of an older version", 2)
        return
    _counted(target, why["counted"])
    _work(why)
    for rung in why["rungs"]:
        _rung(rung)
    if why.get("flapping"):
        output.wrapped("its health comes and goes (flapping)", 2)
    output.wrapped(f"next: {why['next']}", 2)


def _counted(target: Mapping[str, Any], counted: Mapping[str, Any]) -> None:
    if not target.get("cause") or not counted["fails"]:
        return
    output.wrapped(
        f"counted: {target['cause']} seen {counted['fails']} of {counted['needed_fails']} times, and for "
        f"{output.ago(counted['seconds'])} of {output.ago(counted['needed_seconds'])} watched awake",
        2,
    )


def _work(why: Mapping[str, Any]) -> None:
    if why["signs"]:
        for sign in why["signs"]:
            output.wrapped(f"at work: {sign['what']} (seen {output.ago(sign['age'])} ago)", 2)
    else:
        output.wrapped(
            f"at work: {why['unread'] or 'no sign that anything works in the runtime'}", 2
        )
    if why["hazard"]:
        output.wrapped(f"hazard: {why['hazard']}", 2)


def _rung(rung: Mapping[str, Any]) -> None:
    remedy, budget = rung["remedy"], rung.get("budget")
    left = "" if budget is None else f" ({budget} left in its budget"
    if left and rung["next_budget_in"]:
        left += f", one more in {output.ago(rung['next_budget_in'])}"
    left += ")" if left else ""
    if rung["refusal"] is None:
        output.wrapped(f"{remedy} is what is done now{left}", 2)
        return
    output.wrapped(f"{remedy} is not done: {rung['refusal']}: {rung['detail']}{left}", 2)
    if rung["earliest_in"] is not None:
        output.wrapped(
            f"at the earliest in {output.ago(rung['earliest_in'])}, if it stays like this", 4
        )
    output.wrapped(f"what would change it: {rung['change']}", 4)
