"""Another configuration for a target whose tunnel stays: what goes on, and what begins anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.world import healthy
from watchdogd.core.commands import RemedyRefused
from watchdogd.core.events import SettingsChanged
from watchdogd.core.machine import anew
from watchdogd.core.model import Policy
from watchdogd.core.words import Cause, Kind, Mode, Phase, Refusal, Remedy, State


def test_other_numbers_leave_a_healthy_target_as_it_is() -> None:
    world = healthy(policy=Policy(interval=60.0))
    before, dials = world.state, len(world.dials)
    world.policy = replace(world.policy, interval=15.0)
    world.take(SettingsChanged())
    world.play(120.0)
    assert (world.state.shown, world.state.phase) == (State.UP, Phase.STEADY)
    assert (world.state.armed, world.state.dialing.up) == (before.armed, before.dialing.up)
    assert len(world.dials) == dials
    assert world.state.round - before.round >= 7  # at once, and then every 15 s
    assert world.broken == []


def test_other_numbers_leave_what_was_counted_of_a_fault() -> None:
    world = healthy(policy=Policy(hung_after=600.0))
    world.runtime = Cause.RUNTIME_HUNG
    world.play(300.0)
    counted = world.state.streak
    assert counted.cause is Cause.RUNTIME_HUNG
    world.take(SettingsChanged())
    assert world.state.streak == counted
    world.policy = replace(world.policy, mode=Mode.OBSERVE)
    world.take(SettingsChanged())
    world.play(1200.0)
    assert world.applied == []
    refusals = {fact.reason for fact in world.facts if isinstance(fact, RemedyRefused)}
    assert Refusal.OBSERVE in refusals
    assert world.broken == []


def test_evidence_of_the_former_runtime_does_not_count_against_the_new_one() -> None:
    world = healthy(policy=Policy(hung_after=60.0))
    world.runtime = Cause.RUNTIME_HUNG
    world.play_until(State.UP).play(50.0)
    world.take(SettingsChanged(runtime=True))
    assert (world.state.streak.fails, world.state.armed, world.state.observations) == (0, None, ())
    assert world.state.shown is not State.DOWN
    world.play(1200.0)
    assert Remedy.RESTART_CONTAINER not in world.applied  # nobody saw this one healthy
    assert world.broken == []


def test_a_healthy_runtime_described_anew_is_known_within_seconds() -> None:
    world = healthy()
    world.take(SettingsChanged(runtime=True))
    world.play(5.0)
    assert world.state.shown is State.UP
    assert world.applied == []
    assert world.broken == []


def test_no_edit_gives_a_budget_back() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    world.play(120.0)
    assert world.applied == [Remedy.START_CONTAINER]
    charges = world.state.charges
    assert len(charges) == 1
    world.take(SettingsChanged(runtime=True))
    assert world.state.charges == charges


@pytest.mark.parametrize("kind", list(Kind))
def test_a_change_while_a_remedy_runs_repeats_nothing(kind: Kind) -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    while not world.applied:
        world.play(0.5)
    assert world.state.phase is Phase.ACTING
    world.policy = replace(world.policy, kind=kind)
    world.take(SettingsChanged(runtime=True))
    assert world.state.phase is Phase.ACTING
    world.play(60.0)
    assert world.applied == [Remedy.START_CONTAINER]
    assert [text for text in world.broken if not text.startswith("I2")] == []


def test_a_target_built_anew_keeps_its_time_and_nothing_else() -> None:
    world = healthy()
    world.kill_link()
    world.now += 7.0
    made = anew(world.state, world.env())
    assert sum(made.account.seconds.values()) == pytest.approx(world.now - 1000.0)
    assert made.last_up_wall == world.state.last_up_wall
    assert (made.phase, made.shown) == (Phase.BLIND, State.UNKNOWN)
    assert (made.dialing.up, made.round, made.armed) == (None, 0, None)
