"""Who holds a target's local port while no forward of this process does: nobody, our agent, a stranger."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from watchdogd.adapters.instance import running_agent
from watchdogd.adapters.port_holder import conflict, is_held_by, refused_bind
from watchdogd.control import NoAgent, NoAnswer, ask, control_paths
from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Outcome, ProbeName
from watchdogd.ports import port_mend
from watchdogd.settings import Address

_ASK_SECONDS = 2.0


def stranger_on(local: Address, state_dir: Path) -> str:
    """Who holds the port, for a person; empty if it is free, or held by the agent of this state
    folder. Takes 2 s at most for each place where an agent may answer."""
    error = refused_bind(local)
    if error is None or _ours(local, state_dir):
        return ""
    return conflict(local, error)


def _ours(local: Address, state_dir: Path) -> bool:
    for path in control_paths(str(state_dir), os.environ):
        try:
            answer = ask(path, {"verb": "status", "target": None}, _ASK_SECONDS)
        except (NoAgent, NoAnswer):
            continue
        return _bound(answer.get("targets"), local)
    # Its control socket may be busy, or have found no place: the lock tells, too.
    pid = running_agent(state_dir)
    return pid is not None and is_held_by(local, pid)


def _bound(targets: object, local: Address) -> bool:
    known = targets if isinstance(targets, list) else []
    forwards = [each.get("forward") for each in known if isinstance(each, dict)]
    return any(
        isinstance(forward, dict) and forward.get("bound") and forward.get("local") == str(local)
        for forward in forwards
    )


def with_stranger(
    seen: tuple[Observation, ...], local: Address, holder: str, target: str
) -> tuple[Observation, ...]:
    """The round as it would be through ``local``: its forward fails, and what was measured through
    another port says nothing of that one."""
    return tuple(_judged(one, local, holder, target) for one in seen)


def _judged(one: Observation, local: Address, holder: str, target: str) -> Observation:
    if one.probe is ProbeName.FORWARD:
        return replace(
            one,
            outcome=Outcome.FAIL,
            cause=Cause.PORT_CONFLICT,
            detail=f"{local} is held by {holder}",
            mend=port_mend(holder, target),
        )
    if one.probe is ProbeName.RUNTIME_TUNNEL and one.outcome is Outcome.OK:
        told = "it answers through another local port"
        return replace(one, outcome=Outcome.UNKNOWN, cause=None, detail=told, mend="")
    return one
