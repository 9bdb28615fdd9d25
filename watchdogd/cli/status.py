"""``watchdogd status``: what the running agent knows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from watchdogd.adapters.clock import SystemClock
from watchdogd.cli import output
from watchdogd.cli.agent import ask_agent
from watchdogd.cli.because import answered, grounds
from watchdogd.cli.doubt import doubt
from watchdogd.cli.hindsight import hindsight
from watchdogd.cli.resumed import resumed
from watchdogd.cli.unbuilt import unwatched
from watchdogd.core.hand import HAND_CAUSES, HAND_REFUSALS


@click.command()
@click.argument("target", required=False)
@click.option("--why", is_flag=True, help="What each decision rests on, and what comes next.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer (watchdogd.status/1).")
@click.option("--watch", is_flag=True, hidden=True, expose_value=False, callback=unwatched)
@output.common
def status(target: str | None, why: bool, as_json: bool) -> int:
    """Show TARGET (or all) as the running agent sees it.

    Exit 0 if an agent answered, whatever the state (`check` has a code for each state); 3 if no agent
    is running.
    """
    answer = ask_agent("status", target)
    if as_json:
        output.emit(answer)
        return output.FINE
    _config(answer.get("config"))
    targets: Any = answer.get("targets", [])
    now = SystemClock().wall()
    for each in targets:
        if why:
            _whole(each, now, why=True, files=_files(answer.get("config")))
        elif sys.stdout.isatty():
            _whole(each, now)
        elif target is None:
            output.say(_line(each, now))
        else:
            _lines(each, now)
    return output.FINE


def _config(config: Any) -> None:
    """Why the files are not what is in force; on stderr, as it belongs to no target."""
    problems = config.get("problems", []) if isinstance(config, Mapping) else []
    if problems:
        output.message("the configuration was changed and is refused; the former one is in force:")
    for problem in problems:
        output.message(f"  {problem}")


def _files(config: Any) -> Sequence[str]:
    return config.get("files", ()) if isinstance(config, Mapping) else ()


def _line(target: Mapping[str, Any], now: float) -> str:
    told = f" - {target['detail']}" if target.get("detail") else ""
    return _words(target, now) + told


def _lines(target: Mapping[str, Any], now: float) -> None:
    """One target for a pipe: nothing is cut off."""
    output.wrapped(_words(target, now), 0)
    for text in (target.get("detail"), _person(target), _observing(target), resumed(target)):
        if text:
            output.wrapped(str(text), 2)
    output.mend(str(target.get("mend") or ""))
    _hindsight(target)


def _words(target: Mapping[str, Any], now: float) -> str:
    seconds, cause = _age(target.get("since"), now), target.get("cause")
    since = "" if seconds is None else f"for {output.ago(seconds)}"
    tried = f"[{target['remedy']['remedy']}]" if target.get("remedy") else ""
    # While suspect the state is still the old one: its age is not that of the cause.
    unsure = doubt(target)
    told = [f"{since}, in doubt: {unsure}".lstrip(", ")] if unsure else [cause, since]
    words = (f"{target['name']:<12}", f"{target['state']:<9}", *told, tried)
    return " ".join(str(word) for word in words if word).rstrip()


def _person(target: Mapping[str, Any]) -> str:
    """What only a person can do for the target; empty if there is nothing. The same rule as that of
    the metric ``target_needs_hand``."""
    held = target.get("phase") in ("confirmed", "held")
    refusals = target.get("refusals", []) if held else []
    reasons = {each["reason"]: each["remedy"] for each in refusals}
    found = [reason for reason in reasons if reason in HAND_REFUSALS]
    if not found and target.get("cause") not in HAND_CAUSES:
        return ""
    facts = [
        fact
        for fact in target.get("recent", [])
        if fact.get("kind") == "remedy_refused" and fact.get("reason") in found
    ]
    why = facts[-1].get("detail") if facts else ""
    refused = f"{reasons[found[0]]} is not done ({found[0]})" if found else ""
    return f"needs a person: {why or refused or target.get('mend') or target.get('detail')}"


def _observing(target: Mapping[str, Any]) -> str:
    """What of the agent's own keeps it from repairing; empty if nothing."""
    why = target.get("observing")
    return f"nothing is repaired: {why}" if why else ""


def _whole(
    target: Mapping[str, Any], now: float, *, why: bool = False, files: Sequence[str] = ()
) -> None:
    age, cause = _age(target.get("since"), now), target.get("cause")
    since = f" for {output.ago(age)}" if age is not None else ""
    told = f": {cause}{since}" if cause and cause != target["state"] else since
    counted = ((target.get("why") or {}).get("counted") or {}) if why else {}
    if cause and target["state"] in ("down", "degraded") and counted.get("fails"):
        # The clock that the answer below counts by, so that one time is told, not two.
        seen = counted["seconds"]
        told = f": {cause}, seen failing " + (f"for {output.ago(seen)}" if seen else "just now")
    if target.get("pause") and cause:
        told = f"{since}; found meanwhile: {cause}"
    if unsure := doubt(target):
        told = f"{since}, in doubt"
    verb = "has been" if target.get("pause") and since else "is"
    output.say(f"{target['name']} {verb} {output.state(target['state'])}{told}")
    output.wrapped(unsure, 2)
    if pause := target.get("pause"):
        left = _age(pause.get("until"), now)
        until = f" until {_moment(pause['until'])}, {output.ago(-left)} from now" if left else ""
        by = f" by {pause['actor']}" if pause.get("actor") else ""
        reason = f', who said "{pause["reason"]}"' if pause.get("reason") else ""
        output.wrapped(f"paused{until or ', with no end set,'}{by}{reason}", 2)
    explained = why and answered(target, files)
    if explained:
        output.mend(str(target.get("mend") or ""))
    for text in () if explained else (_person(target), _observing(target)):
        if text:
            output.wrapped(text, 2)
    if text := resumed(target):
        output.wrapped(text, 2)
    output.ladder(target.get("layers", []), str(target.get("detail") or ""))
    if not explained:
        output.mend(str(target.get("mend") or ""))
    _link(target.get("link") or {}, target.get("forward") or {}, now)
    if incident := target.get("incident"):
        tried = f"{incident['cause']}; tried in this incident: {_tried(incident)}"
        output.wrapped(f"incident {incident['id']}: {tried}", 2)
    if remedy := target.get("remedy"):
        output.say(f"  running: {remedy['remedy']}, {output.ago(remedy['age'])} so far")
    if explained:
        grounds(target)
    for refusal in () if explained else target.get("refusals", []):
        output.say(f"  not done: {refusal['remedy']} ({refusal['reason']})")
    _hindsight(target, least=2 if explained else 1)


def _tried(incident: Mapping[str, Any]) -> str:
    refused = incident.get("refused")
    names = (
        f"{name} (the last time refused on the server)" if name == refused else str(name)
        for name in incident["remedies"]
    )
    return ", ".join(names) or "nothing yet"


def _hindsight(target: Mapping[str, Any], *, least: int = 1) -> None:
    for text in hindsight(target, least=least):
        output.wrapped(text, 2)


def _link(link: Mapping[str, Any], forward: Mapping[str, Any], now: float) -> None:
    age = _age(link.get("since"), now)
    since = f" for {output.ago(age)}" if age is not None else ""
    word = ("silent" if link.get("silent") else "up") if link.get("up") else "down"
    following = ""
    if link.get("next_dial_in") is not None:
        following = f", next dial in {output.ago(link['next_dial_in'])}"
    elif link.get("stopped_by") and not link.get("up") and not link.get("dialing"):
        following = f", no dial until {link['stopped_by']} is mended"
    output.say(f"  ssh link {word}{since}{following}")
    if forward:
        held = f", held by {forward['holder']}" if forward.get("holder") else ""
        way = "" if link.get("up") and not link.get("silent") else word
        passes = f"; nothing passes while the link is {way}" if way else ""
        output.wrapped(
            f"forward {forward['local']} -> {forward['remote']}{held}, "
            f"{forward['open_connections']} open{passes}",
            2,
        )


def _moment(text: str) -> str:
    """In the time of the person who reads it."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


def _age(since: object, now: float) -> float | None:
    if not isinstance(since, str):
        return None
    return now - datetime.fromisoformat(since).timestamp()
