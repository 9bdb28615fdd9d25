"""What was seen lately that speaks against the state which is shown: that one changes only with what was
seen more than once, and until then nobody shall take it for the whole truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchdogd.core.lengths import length
from watchdogd.core.words import Outcome, Phase, State

_GOOD = (State.UP, State.DEGRADED)


def doubt(target: Mapping[str, Any]) -> str:
    """For one target of a ``status`` answer; empty if there is nothing."""
    return "; ".join(text for text in (_stopped(target), _failed(target)) if text)


def suspect(target: Mapping[str, Any]) -> bool:
    """Is there a failure that is not believed yet?"""
    return target.get("phase") == Phase.SUSPECT and bool(target.get("cause"))


def _stopped(target: Mapping[str, Any]) -> str:
    """Nothing passes without a link, whatever the last look through it found."""
    link = target.get("link")
    if target["state"] not in _GOOD or not link or (link["up"] and not link.get("silent")):
        return ""
    return f"nothing passes, the ssh link is {'silent' if link['up'] else 'down'}"


def _failed(target: Mapping[str, Any]) -> str:
    if not suspect(target):
        return ""
    layers = target.get("layers", ())
    ages = [each["age"] for each in layers if each["outcome"] == Outcome.FAIL and each.get("age")]
    when = f" {length(min(ages))} ago" if ages else ""
    counted = (target.get("why") or {}).get("counted") or {}
    fails = counted.get("fails", 0)
    looks = f"{fails} looks in a row failed, the last" if fails > 1 else "the last look failed"
    return f"{looks}{when}: {target['cause']}"
