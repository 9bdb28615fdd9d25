"""A target at rest: what its short steps leave out would have done nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.worlds.simulated import SCENARIO
from watchdogd.core import machine
from watchdogd.core.commands import Command
from watchdogd.core.events import Event
from watchdogd.core.link import Dialing
from watchdogd.core.machine import at_rest, step
from watchdogd.core.model import Env, Pause, Policy, TargetState
from watchdogd.core.resume import Resume, Trial
from watchdogd.core.sight import Generation
from watchdogd.core.words import Phase, Remedy
from watchdogd.sim import agent
from watchdogd.sim.agent import Agent
from watchdogd.sim.run import run
from watchdogd.sim.scenario import load

HALF_A_DAY = 43200.0
LINKED = Dialing(up=1, port_bound=True)
RESTING = TargetState(phase=Phase.STEADY, dialing=LINKED)


def test_healthy_and_linked_is_at_rest() -> None:
    assert at_rest(RESTING)
    assert at_rest(replace(RESTING, resume=Resume(trial=Trial.FAILED, failures=3, halted=True)))


@pytest.mark.parametrize(
    "pending",
    [
        {"phase": Phase.SUSPECT},
        {"phase": Phase.SETTLING},
        {"pause": Pause(since_wall=0.0)},
        {"not_before": ((Remedy.RECONNECT, 9.0),)},
        {"dialing": replace(LINKED, port_bound=False)},
        {"dialing": replace(LINKED, up=None)},
        {"dialing": replace(LINKED, silent=True)},
        {"dialing": replace(LINKED, dialing=2)},
        {"resume": Resume(lost=Generation(container="c"))},
        {"resume": Resume(trial=Trial.OPEN)},
    ],
    ids=lambda pending: " ".join(pending),
)
def test_whoever_waits_for_something_is_not_at_rest(pending: dict[str, Any]) -> None:
    assert not at_rest(replace(RESTING, **pending))


def test_what_is_left_out_at_rest_would_have_done_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resting = 0

    def both(
        state: TargetState, event: Event, policy: Policy, env: Env
    ) -> tuple[TargetState, tuple[Command, ...]]:
        nonlocal resting
        before = replace(state)
        short = step(state, event, policy, env)
        with monkeypatch.context() as patched:
            patched.setattr(machine, "at_rest", lambda _: False)
            assert short == step(state, event, policy, env)
        assert state == before, "a state that was handed out is never changed"
        resting += at_rest(short[0])
        return short

    monkeypatch.setattr(agent, "step", both)
    run(replace(load(SCENARIO.read_text()).scaled(10.0), length=HALF_A_DAY), 1, Agent(skip=False))
    assert resting > 500
