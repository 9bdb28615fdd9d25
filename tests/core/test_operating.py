"""The operator's hand, and what of a target survives the agent."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest

from tests.core.world import World, healthy
from watchdogd.core.commands import (
    IncidentOpened,
    OperatorSpoke,
    PauseBegan,
    PauseEnded,
)
from watchdogd.core.events import Approved, Ordered, Paused
from watchdogd.core.model import Policy
from watchdogd.core.operating import asked, memory
from watchdogd.core.words import Cause, Mode, Phase, Refusal, Remedy, State

HOUR = 3600.0
RESTART = Remedy.RESTART_CONTAINER


def shown(world: World) -> State:
    return world.state.shown


def wall(world: World) -> float:
    return world.env().wall


def spoke(world: World) -> OperatorSpoke:
    return [fact for fact in world.facts if isinstance(fact, OperatorSpoke)][-1]


def last_refusal(world: World) -> Refusal:
    ((_, reason),) = world.state.refusals
    return reason


# ---------------------------------------------------------------- pause


def test_a_pause_ends_by_itself_and_is_told() -> None:
    world = healthy()
    world.take(Paused(until_wall=wall(world) + 600))
    world.play(600 - 5)
    assert shown(world) is State.PAUSED
    world.play(60)
    assert shown(world) is State.UP
    assert [fact.actor for fact in world.facts if isinstance(fact, PauseEnded)] == [""]


def test_a_pause_over_a_sleep_ends_by_the_wall_clock() -> None:
    world = healthy()
    world.take(Paused(until_wall=wall(world) + 600))
    world.sleep(2 * HOUR).play(1)
    assert world.state.pause is None


@pytest.mark.parametrize("by", [-24 * HOUR, 24 * HOUR])
def test_a_clock_that_is_set_changes_no_pauses_length(by: float) -> None:
    world = healthy()
    world.take(Paused(until_wall=wall(world) + 600))
    world.set_clock(by).play(540)
    assert shown(world) is State.PAUSED
    world.play(120)
    assert world.state.pause is None


@pytest.mark.parametrize("broken", [None, Cause.RUNTIME_HUNG])
def test_a_paused_target_is_looked_at_no_more_often_than_a_healthy_one(
    broken: Cause | None,
) -> None:
    world = healthy()
    world.post(Paused(until_wall=None, reason="", actor="ada"))
    world.runtime = broken
    world.play(60)
    before = world.state.round
    world.play(600)
    assert world.state.round - before <= 600 / (0.9 * world.policy.interval)


def test_the_tunnel_is_kept_while_paused() -> None:
    world = healthy()
    world.take(Paused())
    world.kill_link().play(60)
    assert world.link is not None
    assert world.state.dialing.up is not None
    assert world.applied == []


def test_a_remedy_in_flight_is_proved_and_then_it_is_paused() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    while world.state.phase is not Phase.ACTING:
        world.play(0.5)
    world.take(Paused())
    world.play(300)
    assert world.applied == [Remedy.START_CONTAINER]
    assert (world.state.phase, world.state.shown) == (Phase.BLIND, State.PAUSED)
    assert world.state.intent is None


# ---------------------------------------------------------------- ask and approve


@cache
def asked_for_hours() -> World:
    world = healthy(policy=Policy(mode=Mode.ASK))
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    assert world.applied == []
    assert asked(world.state) is RESTART
    return world


def asking() -> World:
    """A world of one's own that has hung for two hours, and waits for a person."""
    return deepcopy(asked_for_hours())


def test_in_mode_ask_a_restart_waits_for_a_person() -> None:
    world = asking()
    assert last_refusal(world) is Refusal.ASK
    world.take(Approved(actor="me"))
    assert world.applied == [RESTART]
    world.play(HOUR)
    assert shown(world) is State.UP
    assert world.state.approval is None


def test_what_waits_for_the_work_to_end_is_not_asked_for() -> None:
    world = asking()
    world.working = True
    world.play(30)
    world.take(Approved())
    assert not spoke(world).accepted
    assert world.applied == []


def test_an_approval_lifts_no_other_lock_and_ends() -> None:
    world = asking()
    world.gpu_readable = False
    world.play(40)
    state = replace(world.state, refusals=((RESTART, Refusal.ASK),))
    world.state = state
    world.take(Approved())
    assert world.state.approval is not None
    assert world.applied == []
    world.play(1900)
    assert world.state.approval is None
    world.gpu_readable = True
    world.play(HOUR)
    assert world.applied == []


def test_an_approval_of_another_generation_is_worth_nothing() -> None:
    world = asking()
    incident = world.state.incident
    world.gpu_readable = False
    world.play(40)
    world.state = replace(world.state, refusals=((RESTART, Refusal.ASK),))
    world.take(Approved())
    world.life += 1  # somebody restarted it; it is healthy for a moment, and hangs again
    world.runtime, world.gpu_readable = None, True
    world.play(30)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(1600)
    assert world.state.incident is not None
    assert incident is not None
    assert world.state.incident.id == incident.id
    assert world.applied == []
    assert last_refusal(world) is Refusal.ASK


def test_an_approval_starts_what_a_person_stopped() -> None:
    world = healthy(stopped_by_person=True)
    world.container = Cause.CONTAINER_EXITED
    world.play(600)
    assert last_refusal(world) is Refusal.OPERATOR
    world.take(Approved())
    world.play(60)
    assert world.applied == [Remedy.START_CONTAINER]


def test_an_approval_that_nobody_asked_for_says_so() -> None:
    world = healthy()
    world.take(Approved(actor="me"))
    assert spoke(world).accepted is False
    assert "nothing waits" in spoke(world).detail


# ---------------------------------------------------------------- heal and reset


def test_an_order_runs_at_once_over_vetoes_and_is_charged() -> None:
    world = healthy(working=True)
    charges = len(world.state.charges)
    world.take(Ordered(remedy=RESTART, actor="me"))
    assert world.applied == [RESTART]
    assert len(world.state.charges) == charges + 1
    assert world.state.intent is not None
    assert world.state.intent.ordered
    world.play(600)
    assert shown(world) is State.UP
    assert world.state.intent is None


def test_an_order_of_what_is_not_built_says_so() -> None:
    world = healthy()
    world.take(Ordered(remedy=Remedy.UNPAUSE_CONTAINER))
    assert "not built" in spoke(world).detail
    assert world.applied == []


def test_an_approval_is_spent_by_its_own_remedy_alone() -> None:
    world = asking()
    world.gpu_readable = False
    world.play(40)
    world.state = replace(world.state, refusals=((RESTART, Refusal.ASK),))
    world.take(Approved())
    world.take(Ordered(remedy=Remedy.RECONNECT))
    world.play(60)
    assert Remedy.RECONNECT in world.applied
    world.gpu_readable = True
    world.play(1200)
    assert RESTART in world.applied


def test_an_order_while_a_remedy_runs_is_refused() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    while world.state.phase is not Phase.ACTING:
        world.play(0.5)
    world.take(Ordered(remedy=RESTART))
    assert not spoke(world).accepted
    assert world.applied == [Remedy.START_CONTAINER]


def test_an_order_without_sight_of_what_is_meant_is_refused() -> None:
    world = World(server_readable=False).start()
    world.play(60)
    world.take(Ordered(remedy=RESTART))
    assert not spoke(world).accepted
    assert RESTART not in world.applied


# ---------------------------------------------------------------- the breaker over all


# ---------------------------------------------------------------- memory


def again(world: World) -> World:
    """The agent ends and starts: what it remembers, and the same truth."""
    kept = memory(world.state)
    truth = {name: getattr(world, name) for name in ("container", "runtime", "stopped_by_person")}
    new = World(policy=world.policy, life=world.life, now=world.now, slept=world.slept, **truth)
    return new.start(memory=kept, charges=world.state.charges)


def test_an_incident_keeps_its_id_over_a_restart_of_the_agent() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    world.play(300)
    incident = world.state.incident
    assert incident is not None
    new = again(world)
    new.play(300)
    assert new.state.incident is not None
    assert new.state.incident.id == incident.id
    assert not [fact for fact in new.facts if isinstance(fact, IncidentOpened)]


def test_streaks_do_not_survive_and_the_armed_generation_does() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    world.play(590)
    new = again(world)
    new.play(0.9 * world.policy.hung_after)
    assert new.applied == []
    new.play(600)
    assert new.applied == [RESTART]


def test_a_pause_a_person_and_a_halt_survive() -> None:
    world = healthy(stopped_by_person=True)
    world.container = Cause.CONTAINER_EXITED
    world.play(600)
    new = again(world)
    new.stopped_by_person = None  # the engine's events are gone
    new.play(HOUR)
    assert new.applied == []
    assert last_refusal(new) is Refusal.OPERATOR
    new.take(Paused(actor="me"))
    newer = again(new)
    newer.play(60)
    assert newer.state.shown is State.PAUSED
    assert not [fact for fact in newer.facts if isinstance(fact, PauseBegan)]
