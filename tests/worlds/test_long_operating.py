"""The operator's hand on a target that stays broken for hours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.test_operating import HOUR, RESTART, last_refusal, shown
from tests.core.world import World, healthy
from watchdogd.core.commands import (
    IncidentOpened,
    RemedyRefused,
)
from watchdogd.core.events import Paused, Reset, Unpaused
from watchdogd.core.model import Policy
from watchdogd.core.operating import memory
from watchdogd.core.words import Cause, Phase, Refusal, Result, State


@pytest.mark.parametrize(
    ("cause", "where"),
    [(Cause.RUNTIME_HUNG, "runtime"), (Cause.CONTAINER_EXITED, "container")],
)
def test_nothing_is_done_while_paused_and_all_is_judged_afresh_after_it(
    cause: Cause, where: str
) -> None:
    world = healthy()
    world.take(Paused(actor="me", reason="maintenance"))
    setattr(world, where, cause)
    world.play(5 * HOUR)
    assert shown(world) is State.PAUSED
    assert world.applied == []
    assert not [fact for fact in world.facts if isinstance(fact, IncidentOpened)]
    assert world.state.streak.fails == 0
    world.take(Unpaused(actor="me"))
    assert world.state.phase is Phase.BLIND
    world.play(10)
    assert world.applied == []
    world.play(HOUR)
    assert len(world.applied) == 1
    assert shown(world) is State.UP
    assert world.broken == []


def test_reset_lifts_a_halt_and_no_budget() -> None:
    world = healthy(remedies_work=False, policy=Policy(destructive_per_6h=9, destructive_per_24h=9))
    world.runtime = Cause.RUNTIME_HUNG
    world.play(4 * HOUR)
    assert world.applied == [RESTART, RESTART]
    assert last_refusal(world) is Refusal.HALTED
    charges = world.state.charges
    world.take(Reset(actor="me"))
    assert world.state.charges == charges
    assert world.state.restarts_unverified == 0
    world.play(3 * HOUR)
    assert world.applied == [RESTART] * 4


def test_restarts_of_all_targets_together_halt_each() -> None:
    world = healthy()
    world.fleet = 3
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    assert world.applied == []
    assert last_refusal(world) is Refusal.HALTED
    detail = [fact.detail for fact in world.facts if isinstance(fact, RemedyRefused)][-1]
    assert "all targets together" in detail
    world.fleet = 2
    world.play(HOUR)
    assert world.applied == [RESTART]


def test_an_open_intent_counts_as_one_that_did_not_help_and_is_not_repeated() -> None:
    world = healthy(remedy_result=Result.UNKNOWN, remedies_work=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play_until(State.HEALING)
    charges = world.state.charges
    new = World(policy=world.policy, life=world.life, now=world.now, runtime=Cause.RUNTIME_HUNG)
    kept = replace(memory(world.state), restarts_unverified=0)
    new.start(memory=kept, charges=charges, open=(RESTART,))
    new.play(0.9 * world.policy.cooldown)
    assert new.applied == []
    assert new.state.restarts_unverified == 1
    new.play(2 * HOUR)
    assert new.applied.count(RESTART) <= 1
