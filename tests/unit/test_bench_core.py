"""What the benchmark of the core feeds it is healthy, and its opponent is a fair one."""

from __future__ import annotations

from dataclasses import replace

from bench.core import Count, counted, healthy
from watchdogd.core.events import Observed
from watchdogd.core.machine import first, step
from watchdogd.core.model import Policy
from watchdogd.core.words import Outcome, State


def test_the_tape_is_of_a_target_that_stays_up() -> None:
    begin, tape = healthy(50)
    state, shown = first(begin), []
    for event, env in tape:
        state, _ = step(state, event, Policy(), env)
        shown.append(state.shown)
    assert state.round > 40
    assert set(shown[len(shown) // 4 :]) == {State.UP}
    assert (state.incidents_opened, state.charges) == (0, ())


def test_the_opponent_restarts_after_three_failures_in_a_row() -> None:
    _, tape = healthy(50)
    good, env = next((one, at) for one, at in reversed(tape) if isinstance(one, Observed))
    bad = replace(
        good, observations=tuple(replace(one, outcome=Outcome.FAIL) for one in good.observations)
    )
    state, did = Count(), []
    for event in (bad, bad, good, bad, bad, bad):
        state, commands = counted(state, event, env)
        did.append(commands)
    assert did == [(), (), (), (), (), ("restart",)]
