"""``status --why``: why nothing was done, in sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from watchdogd.cli import output

_COMMAND = re.compile(r"(watchdogd (?:approve|reset|resume|heal))(?=[,;. ]|$)")


def because(target: Mapping[str, Any]) -> None:
    """Counters, signs of work, each remedy with what holds it back, and what comes next."""
    why = target.get("why")
    if not why:
        output.wrapped("this agent does not tell why; it is of an older version", 2)
        return
    _counted(target, why["counted"])
    _work(why)
    for rung in why["rungs"]:
        _rung(rung, str(target["name"]))
    if why.get("flapping"):
        output.wrapped("its health comes and goes (flapping)", 2)
    output.wrapped(f"next: {_named(why['next'], str(target['name']))}", 2)


def _named(text: str, target: str) -> str:
    """With the command as it is to be typed for this target."""
    return _COMMAND.sub(rf"\1 {target}", text)


def _counted(target: Mapping[str, Any], counted: Mapping[str, Any]) -> None:
    if not target.get("cause") or not counted["fails"]:
        return
    needed = f"{counted['needed_fails']} are needed"
    lasted, wanted = output.ago(counted["seconds"]), output.ago(counted["needed_seconds"])
    output.wrapped(
        f"seen: {target['cause']}, {counted['fails']} times in a row ({needed}), over {lasted} of time awake "
        f"({wanted} is needed)",
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


def _rung(rung: Mapping[str, Any], target: str) -> None:
    remedy, budget = rung["remedy"], rung.get("budget")
    left = "" if budget is None else f" ({budget} left in its budget"
    if left and rung["next_budget_in"]:
        left += f", one more in {output.ago(rung['next_budget_in'])}"
    left += ")" if left else ""
    if rung["refusal"] is None:
        output.wrapped(f"{remedy} is what is done now{left}", 2)
        return
    detail = _named(rung["detail"], target)
    output.wrapped(f"{remedy} is not done ({rung['refusal']}): {detail}{left}", 2)
    if rung["earliest_in"] is not None:
        output.wrapped(
            f"at the earliest in {output.ago(rung['earliest_in'])}, if it stays like this", 4
        )
    output.wrapped(f"what would change it: {_named(rung['change'], target)}", 4)
