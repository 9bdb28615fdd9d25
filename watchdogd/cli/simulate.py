"""``watchdogd simulate``: replays a recorded event log through the decision core. Contacts nobody."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import click

from watchdogd.cli import output
from watchdogd.cli.simulation import Log, UnderBoth, moment, replayed, under_both

SCHEMA = "watchdogd.simulate/1"
_MARKS = {"both": (" ", None), "recorded": ("-", "red"), "new": ("+", "green")}


@click.command()
@click.argument("file")
@click.option("--target", metavar="TARGET", help="Only this target.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON (watchdogd.simulate/1).")
@output.common
def simulate(file: str, target: str | None, as_json: bool) -> int:
    """Replay FILE, an event log that the agent recorded in its state folder (events/events.jsonl, or an
    older one, compressed); - is standard input. Prints each decision, and the first that differs from
    the recorded one.

    With --config it answers "what if": what those settings would have decided (+) beside the recorded
    ones (-).

    Exit 0 the same decisions, or --config was given; 1 different ones; 4 no such target in it; 78 it
    cannot be read, or another version of watchdogd wrote it.
    """
    log = Log(file, target)
    config = output.config_option()
    if config is None:
        return _replay(log, as_json=as_json)
    return _what_if(log, config, as_json=as_json)


# ---------------------------------------------------------------- a replay


def _replay(log: Log, *, as_json: bool) -> int:
    result = replayed(log)
    first = result.first
    if as_json:
        output.emit(
            {
                **_head(log, what_if=False),
                "same": first is None,
                "different": result.different,
                "first_difference": first,
                "decisions": [one.plain() for one in result.told],
            }
        )
    else:
        for one in result.told:
            output.say(f"{one.at} {one.target}: {one.text}")
        for note in log.notes():
            output.message(note)
        _verdict(log, first, result.different)
    return output.FINE if first is None else output.FAILED


def _verdict(log: Log, first: Mapping[str, Any] | None, different: int) -> None:
    if first is None:
        output.say(f"{_span(log)}: the same decisions")
        return
    output.say(f"{_span(log)}: {different} decided differently")
    output.say(
        f"the first: line {first['line']}, {first['at']}, {first['target']}, {first['event']}"
    )
    for name in ("recorded", "now"):
        for command in first[name] or [None]:
            shown = "nothing" if command is None else json.dumps(command)
            output.say(f"  {name + ':':<10}{shown}")


# ---------------------------------------------------------------- what if


def _what_if(log: Log, config: str, *, as_json: bool) -> int:
    from watchdogd.loading import load

    settings = load(config, os.environ)
    result = under_both(log, {name: one.policy() for name, one in settings.targets.items()})
    if not result.changes and log.targets:
        known = ", ".join(sorted(log.targets))
        raise output.ExitWith(f"none of {known} is a target in {config}", output.NO_TARGET)
    if as_json:
        output.emit(
            {
                **_head(log, what_if=True),
                "config": list(settings.files),
                "settings": result.changes,
                "applied": result.applied,
                "decisions": [{**one.plain(), "under": one.under} for one in result.told],
            }
        )
        return output.FINE
    _print_both(result, config)
    for note in log.notes():
        output.message(note)
    _summary(log, result)
    return output.FINE


def _print_both(result: UnderBoth, config: str) -> None:
    output.say(f"- only as recorded; + only with {config}")
    for name, changes in result.changes.items():
        told = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changes.items())
        output.say(f"{name}: {told or 'the same settings'}")
    for one in result.told:
        mark, color = _MARKS[one.under]
        output.say(output.paint(f"{mark} {one.at} {one.target}: {one.text}", color))


def _summary(log: Log, result: UnderBoth) -> None:
    then, now = result.applied["recorded"], result.applied["new"]
    counts = [f"{name} {then.get(name, 0)} -> {now.get(name, 0)}" for name in sorted({*then, *now})]
    output.say(f"{_span(log)}: remedies applied: {', '.join(counts) or 'none'}")
    if any(one.under != "both" for one in result.told):
        output.wrapped(
            "From the first difference on this tells what would have been tried, not what would have"
            " come of it: the recording answers what was done then.",
            0,
        )


# ---------------------------------------------------------------- both


def _head(log: Log, *, what_if: bool) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "file": log.file,
        "what_if": what_if,
        "versions": log.versions,
        "events": log.events,
        "from": None if log.first is None else moment(log.first),
        "to": None if log.last is None else moment(log.last),
        "targets": sorted(log.targets),
        "notes": log.notes(),
    }


def _span(log: Log) -> str:
    if log.first is None or log.last is None:
        return "no event"
    names = ", ".join(sorted(log.targets))
    return f"{log.events} events of {names}, {moment(log.first)} to {moment(log.last)}"
