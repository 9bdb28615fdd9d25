"""``status --why``: first the answer and the commands, after the evidence what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchdogd.cli import output


def answered(target: Mapping[str, Any]) -> bool:
    """Why nothing is done now, what comes by itself, and what a person can type; whether there is such
    an answer (an older agent gives none)."""
    answer = (target.get("why") or {}).get("answer")
    if not answer:
        output.wrapped("this agent does not tell why; it is of an older version", 2)
        return False
    for label, name in (("why", "says"), ("by itself", "then"), ("you", "yours")):
        if answer[name]:
            output.wrapped(f"{label}: {answer[name]}", 2)
    for way in answer["ways"]:
        output.say(f"    {way['command']}")
        output.wrapped(f"({way['does']})", 6)
    return True


def grounds(target: Mapping[str, Any]) -> None:
    """Counters, signs of work, hazards, and each remedy with its budget."""
    why = target["why"]
    _counted(target, why["counted"])
    if target.get("cause") and (why["rungs"] or target.get("pause")):
        _work(why)
    if why.get("flapping"):
        output.wrapped("its health comes and goes (flapping)", 2)
    for rung in why["rungs"]:
        _rung(rung, told=rung["remedy"] == why["answer"].get("remedy"))


def _counted(target: Mapping[str, Any], counted: Mapping[str, Any]) -> None:
    if not target.get("cause") or not counted["fails"]:
        return
    needed, wanted = counted["needed_fails"], output.ago(counted["needed_seconds"])
    least = f" over {wanted}" if counted["needed_seconds"] else ""
    output.wrapped(
        f"seen: {target['cause']}, {counted['fails']} times in a row over "
        f"{output.ago(counted['seconds'])}, the laptop's sleep left out; a remedy needs {needed}{least}",
        2,
    )


def _work(why: Mapping[str, Any]) -> None:
    for sign in why["signs"]:
        output.wrapped(f"sign of work: {sign['what']} (seen {output.ago(sign['age'])} ago)", 2)
    if not why["signs"]:
        none = "none in what was read of processes, GPU, kernels and files"
        output.wrapped(
            f"signs of work: {'not known: ' + why['unread'] if why['unread'] else none}", 2
        )
    output.wrapped(f"hazards of a restart: {why['hazard'] or 'none'}", 2)


def _rung(rung: Mapping[str, Any], *, told: bool) -> None:
    """``told``: its refusal stands in the answer already."""
    refusal = f"held back: {rung['detail']} [{rung['refusal']}]" if rung["refusal"] else "next"
    texts = [text for text in ("" if told else refusal, _budget(rung)) if text]
    if texts:
        output.wrapped(f"{rung['remedy']}: {'; '.join(texts)}", 2)


def _budget(rung: Mapping[str, Any]) -> str:
    left, most = rung.get("budget"), rung.get("budget_of")
    if left is None or most is None:
        return ""
    window = output.ago(rung["budget_seconds"])
    more = f", once more in {output.ago(rung['next_budget_in'])}" if rung["next_budget_in"] else ""
    return f"done {most - left} times in the last {window}, of {most} that are allowed{more}"
