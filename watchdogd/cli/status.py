"""``watchdogd status``: what the running agent knows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from watchdogd.adapters.clock import SystemClock
from watchdogd.cli import output
from watchdogd.cli.agent import ask_agent


@click.command()
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="The whole answer (watchdogd.status/1).")
@output.common
def status(target: str | None, as_json: bool) -> int:
    """Show TARGET (or all) as the running agent sees it.

    Exit 0 if an agent answered, whatever the state (`check` has a code for each state); 3 if no agent
    is running.
    """
    answer = ask_agent("status", target)
    if as_json:
        output.emit(answer)
        return output.FINE
    targets: Any = answer.get("targets", [])
    now = SystemClock().wall()
    for each in targets:
        if sys.stdout.isatty():
            _whole(each, now)
        else:
            output.say(_line(each, now)[: output.WIDTH])
    return output.FINE


def _line(target: Mapping[str, Any], now: float) -> str:
    words = [f"{target['name']:<12}", f"{target['state']:<9}"]
    if target.get("cause"):
        words.append(str(target["cause"]))
    if (seconds := _age(target.get("since"), now)) is not None:
        words.append(f"for {output.ago(seconds)}")
    if remedy := target.get("remedy"):
        words.append(f"[{remedy['remedy']}]")
    if target.get("detail"):
        words.append(f"- {target['detail']}")
    return " ".join(words).rstrip()


def _whole(target: Mapping[str, Any], now: float) -> None:
    cause = f": {target['cause']}" if target.get("cause") else ""
    age = _age(target.get("since"), now)
    since = f" for {output.ago(age)}" if age is not None else ""
    output.say(f"{target['name']} is {output.state(target['state'])}{cause}{since}")
    output.ladder(target.get("layers", []), str(target.get("detail") or ""))
    output.mend(str(target.get("mend") or ""))
    _link(target.get("link") or {}, target.get("forward") or {}, now)
    if incident := target.get("incident"):
        tried = ", ".join(incident["remedies"]) or "nothing yet"
        output.wrapped(f"incident {incident['id']}: {incident['cause']}; tried: {tried}", 2)
    if remedy := target.get("remedy"):
        output.say(f"  running: {remedy['remedy']}, {output.ago(remedy['age'])} so far")
    for refusal in target.get("refusals", []):
        output.say(f"  not done: {refusal['remedy']} ({refusal['reason']})")


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
        output.wrapped(
            f"forward {forward['local']} -> {forward['remote']}{held}, "
            f"{forward['open_connections']} open",
            2,
        )


def _age(since: object, now: float) -> float | None:
    if not isinstance(since, str):
        return None
    return now - datetime.fromisoformat(since).timestamp()
