"""``status --why``: first the answer and the commands, after the evidence what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from watchdogd.cli import output
from watchdogd.core.words import HARM, Harm, Mode, Refusal


def answered(target: Mapping[str, Any], files: Sequence[str] = ()) -> bool:
    """Why nothing is done now, what comes by itself, and what a person can type; whether there is such
    an answer (an older agent gives none). ``files``: the configuration's, for whoever is to change it."""
    answer = (target.get("why") or {}).get("answer")
    if not answer:
        output.wrapped("this agent does not tell why; it is of an older version", 2)
        return False
    for label, name in (("why", "says"), ("by itself", "then"), ("you", "yours")):
        if answer[name]:
            output.wrapped(f"{label}: {answer[name]}", 2)
    refusals = {rung["refusal"] for rung in target["why"].get("rungs", ())}
    if files and target.get("mode") == Mode.OBSERVE and Refusal.OBSERVE in refusals:
        output.wrapped(f"the configuration: {', '.join(files)}", 4)
    for way in answer["ways"]:
        if way.get("forced"):
            output.say("  to force it:")
        output.say(f"    {_as_asked(way['command'])}")
        output.wrapped(f"({way['does']})", 6)
    return True


def _as_asked(command: str) -> str:
    """The agent does not know by which configuration it was asked; whoever types the command needs it again."""
    return f"{output.program()}{command.removeprefix('watchdogd')}"


def grounds(target: Mapping[str, Any]) -> None:
    """Counters, signs of work, hazards, and each remedy with its budget."""
    why = target["why"]
    _counted(target, why)
    if target.get("cause") and (_can_end_work(why["rungs"]) or target.get("pause")):
        _work(why)
    if why["hazard"] or _can_end_work(why["rungs"]):
        output.wrapped(_hazards(why), 2)
    if why.get("flapping"):
        output.wrapped("its health comes and goes (flapping)", 2)
    for rung in why["rungs"]:
        _rung(rung, told=rung["remedy"] == why["answer"].get("remedy"))


def _hazards(why: Mapping[str, Any]) -> str:
    if why["hazard"]:
        return f"hazard on the server: {why['hazard']}"
    kinds = ", ".join(why.get("hazards_looked_for", ()))
    return f"hazards on the server ({kinds}): none seen" if kinds else "hazards: not looked for now"


def _can_end_work(rungs: Sequence[Mapping[str, Any]]) -> bool:
    return any(HARM.get(rung["remedy"]) is Harm.DESTRUCTIVE for rung in rungs)


def _counted(target: Mapping[str, Any], why: Mapping[str, Any]) -> None:
    counted = why["counted"]
    if not target.get("cause") or not counted["fails"]:
        return
    least = f" over {output.ago(counted['needed_seconds'])}" if counted["needed_seconds"] else ""
    needed = f"; a remedy needs {counted['needed_fails']}{least}" if why["rungs"] else ""
    output.wrapped(
        f"looks in a row that found {target['cause']}: {counted['fails']} over "
        f"{output.ago(counted['seconds'])}{needed}",
        2,
    )


def _work(why: Mapping[str, Any]) -> None:
    ids = ", ".join(str(one) for one in why.get("processes", ()))
    by = f"; process {ids} on the server" if ids else ""
    before = why.get("looked_ago") or 0.0
    then = f" (as of {output.ago(before)} ago)" if before else ""
    for sign in why["signs"]:
        output.wrapped(
            f"sign of work: {sign['what']} (seen {output.ago(sign['age'] + before)} ago{by})", 2
        )
    if why["signs"]:
        return
    if why["unread"]:
        output.wrapped(f"signs of work{then}: not known: {why['unread']}", 2)
        return
    missed = ", ".join(why.get("not_looked_at", ()))
    blind = f"; not readable now: {missed}" if missed else ""
    seen = ", ".join(why.get("looked_at", ()))
    output.wrapped(f"signs of work{then}: none in {seen}{blind}", 2)


def _rung(rung: Mapping[str, Any], *, told: bool) -> None:
    """``told``: the sentence of its refusal stands in the answer already."""
    sentence = "" if told else f": {rung['detail']}"
    refusal = f"held back [{rung['refusal']}]{sentence}" if rung["refusal"] else "next"
    texts = [text for text in (refusal, _budget(rung)) if text]
    output.wrapped(f"{rung['remedy']}: {'; '.join(texts)}", 2)


def _budget(rung: Mapping[str, Any]) -> str:
    left, most = rung.get("budget"), rung.get("budget_of")
    if left is None or most is None:
        return ""
    window = f"{rung['budget_seconds'] / 3600:.0f}h"
    if rung["next_budget_in"]:
        stays = " (the halt stays after that)" if rung["refusal"] == Refusal.HALTED else ""
        return (
            f"limit: {most} in {window}, used up for another "
            f"{output.ago(rung['next_budget_in'])}{stays}"
        )
    times = f"{most - left} time{'' if most - left == 1 else 's'}"
    return f"done {times} in the last {window}, {most} are allowed"
