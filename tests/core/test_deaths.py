"""The engine tells of a container's end: what that may replace, and what it may not."""

from __future__ import annotations

import pytest

from tests.core.world import World, healthy
from watchdogd.core.commands import RemedyRefused
from watchdogd.core.confirming import witnessed
from watchdogd.core.events import Observed
from watchdogd.core.model import Policy
from watchdogd.core.words import Cause, Phase, Refusal, Remedy, State

START = [Remedy.START_CONTAINER]
CALM = Policy(interval=600.0)
"""So rare a look that it is the engine's word which brings the next one."""


def reasons(world: World) -> set[Refusal]:
    return {fact.reason for fact in world.facts if isinstance(fact, RemedyRefused)}


@pytest.mark.parametrize("cause", [Cause.CONTAINER_EXITED, Cause.CONTAINER_OOM])
def test_the_engines_word_and_one_look_are_enough(cause: Cause) -> None:
    world = healthy(policy=CALM)
    died, world.container = world.now, cause
    world.tell_death().play(5.0)
    assert (world.applied, world.broken) == (START, [])
    assert world.applied_at[0] - died < 1.0
    assert world.play(60.0).state.shown is State.UP


def test_without_it_two_looks_apart_are_needed() -> None:
    world = healthy()
    died, world.container = world.now, Cause.CONTAINER_EXITED
    world.play(60.0)
    assert (world.applied, world.broken) == (START, [])
    assert world.applied_at[0] - died >= 10.0


def test_the_word_alone_is_nothing() -> None:
    world = healthy(policy=CALM)
    before = world.state.round
    world.tell_death().tell_death().play(300.0)
    assert world.state.round > before  # it was looked at
    assert (world.applied, world.state.incident, world.state.shown) == ([], None, State.UP)


def test_another_containers_end_is_nobodys_business() -> None:
    world = healthy(policy=CALM)
    before = world.state
    world.tell_death("d" * 64)
    assert world.state.round == before.round
    assert world.state.death is None


def test_a_look_that_began_before_it_was_told_is_no_later_look() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    world.play_until_round_open()
    number, begun = world.state.round, world.now
    world.now += 0.5
    world.tell_death()
    sight = world.sight()
    answer = Observed(
        round=number,
        started=begun,
        observations=world.measure_deep(number).observations,
        sight=sight,
    )
    world.take(answer)
    assert (world.applied, witnessed(world.state)) == ([], False)
    world.play(2.0)
    assert world.applied == START


@pytest.mark.parametrize("mode", ["person", "unknown"])
def test_whoever_stopped_it_is_respected(mode: str) -> None:
    world = healthy(policy=CALM)
    world.container = Cause.CONTAINER_EXITED
    world.stopped_by_person = True if mode == "person" else None
    world.tell_death().play(300.0)
    assert (world.applied, world.broken) == ([], [])
    assert reasons(world) == {Refusal.OPERATOR if mode == "person" else Refusal.NO_SIGHT}


def test_the_engines_own_policy_goes_first() -> None:
    world = healthy(policy=CALM)
    world.container, world.own_policy = Cause.CONTAINER_EXITED, True
    world.tell_death().play(30.0)
    assert world.applied == []
    assert reasons(world) == {Refusal.COOLDOWN}


def test_what_was_told_before_a_sleep_is_void() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    world.tell_death()
    world.sleep(3600.0)
    while world.state.streak.fails == 0:
        world.play(0.5)
    assert not witnessed(world.state)
    world.play(60.0)
    assert (world.applied, world.broken) == (START, [])


def test_the_end_of_a_former_run_says_nothing_of_this_one() -> None:
    world = healthy(policy=CALM)
    world.tell_death()
    world.life += 1  # it was started again at once, by whom ever, and ended again
    world.container = Cause.CONTAINER_EXITED
    told, world.death_told = world.now, 0
    world.play(60.0)
    assert world.broken == []
    assert all(at - told >= 10.0 for at in world.applied_at)


def test_a_late_word_of_a_former_run_is_no_word_of_this_one() -> None:
    world = healthy()
    world.life += 1  # it ended and was started again while there was no stream of events
    world.play(120.0)
    world.tell_death(life=world.life - 1)
    assert world.state.death is None
    world.container = Cause.CONTAINER_EXITED
    died = world.now
    world.play(60.0)
    assert (world.applied, world.broken) == (START, [])
    assert world.applied_at[0] - died >= 10.0


def test_a_word_that_a_look_refuted_is_not_kept_for_the_next_end() -> None:
    world = healthy()
    world.tell_death().play(60.0)
    assert world.state.death is None
    world.death_told = 0
    world.container = Cause.CONTAINER_EXITED
    world.play(60.0)
    assert (world.applied, world.broken) == (START, [])


def test_the_grace_after_a_start_holds() -> None:
    world = World(policy=CALM).start().play(5.0)
    assert world.state.shown is State.UP
    world.container = Cause.CONTAINER_EXITED
    world.tell_death().play(5.0)
    assert (world.applied, world.state.phase) == ([], Phase.HELD)
    assert Refusal.GRACE in reasons(world)
    world.play(10.0)
    assert (world.applied, world.broken) == (START, [])


def test_a_second_death_for_want_of_memory_still_halts() -> None:
    world = healthy(policy=CALM)
    for _ in range(2):
        world.container = Cause.CONTAINER_OOM
        world.tell_death().play(120.0)
    assert world.applied == START
    assert Refusal.HALTED in reasons(world)
