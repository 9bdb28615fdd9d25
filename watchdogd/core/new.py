"""What is new to the agent, in sentences: a run that it never saw healthy, and what began lately.

In the flow: ``choose`` refuses with them. Without their first capital and full stop.
"""

from __future__ import annotations

from watchdogd.core.lengths import length
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.words import Kind


def unproved(state: TargetState, policy: Policy) -> str:
    """Since when the run that is there now was not seen healthy."""
    known, now = state.armed, state.generation
    if known is None:
        return "watchdogd has not seen it healthy yet"
    what = "the command in its tmux session" if policy.kind is Kind.SESSION else "its container"
    if known.boot_id and now.boot_id and known.boot_id != now.boot_id:
        what = "the server"
    return f"watchdogd has not seen it healthy since {what} was started anew"


def grace(state: TargetState, policy: Policy, env: Env, until: float) -> str:
    """What is given time now, and how much of it is left."""
    left = length(until - env.run)
    if until != state.destructive_grace_until:
        return f"watchdogd judges afresh (after a start, a wake, a change or a reset) for another {left}"
    age = policy.start_grace - (until - env.run)
    host = state.sight.host
    if host is not None and host.uptime_seconds is not None:
        up = host.uptime_seconds + env.run - host.read_at
        if up < age + policy.start_grace:
            return f"the server booted lately, and what starts with it is given another {left}"
    return (
        f"what runs there was started, or first seen, {length(age)} ago and is given another {left}"
    )
