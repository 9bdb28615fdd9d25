"""Held memory of a GPU counts until an hour of silence was watched, however often it could not be watched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.core.world import World, healthy
from watchdogd.core.events import Paused
from watchdogd.core.words import Cause, Remedy

HOUR = 3600.0


def hung(seconds: float) -> World:
    """A runtime that holds memory of a GPU, does nothing, and was watched failing for so long."""
    world = healthy(gpu_held=True)
    world.runtime = Cause.RUNTIME_HUNG
    return world.play(seconds)


def a_night(world: World) -> None:
    world.sleep(8 * HOUR).kill_link()


def a_link_that_broke(world: World) -> None:
    world.kill_link()


def a_train_ride(world: World) -> None:
    world.network = False
    world.kill_link().play(0.5 * HOUR)
    world.network = True


@pytest.mark.parametrize("missed", [a_night, a_link_that_broke, a_train_ride])
def test_a_missed_look_adds_nothing_and_forgets_nothing(missed: Callable[[World], None]) -> None:
    world = hung(0.6 * HOUR)
    missed(world)
    world.play(0.35 * HOUR)
    assert world.applied == []
    world.play(0.2 * HOUR)  # its fault is believed again after 20 min, and the hour is together
    assert world.applied == [Remedy.RESTART_CONTAINER]


def used_cpu(world: World) -> None:
    world.cpu += 60.0


def used_the_disk(world: World) -> None:
    world.io += 1 << 20


@pytest.mark.parametrize("happened", [used_cpu, used_the_disk])
def test_work_that_no_look_was_there_to_see_begins_the_hour_anew(
    happened: Callable[[World], None],
) -> None:
    world = hung(0.6 * HOUR)
    happened(world)
    world.sleep(8 * HOUR).kill_link()
    world.play(0.9 * HOUR)
    assert world.applied == []
    world.play(0.3 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_health_in_between_begins_the_hour_anew() -> None:
    world = hung(0.6 * HOUR)
    world.runtime = None
    world.play(120)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(0.9 * HOUR)
    assert world.applied == []
    world.play(0.3 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_another_run_of_the_container_begins_the_hour_anew() -> None:
    world = hung(0.6 * HOUR)
    world.life += 1
    world.play(60)
    assert world.state.life.quiet.seconds < 60


def test_the_hour_begins_when_the_last_other_sign_ends() -> None:
    world = hung(0.0)
    world.gpu_busy = True
    world.play(2 * HOUR)
    world.gpu_busy = False
    world.play(0.9 * HOUR)
    assert world.applied == []
    world.play(0.3 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_work_in_hours_without_a_network_begins_the_hour_anew() -> None:
    """Less than 1 % of those hours, and still work."""
    world = hung(0.9 * HOUR)
    world.network = False
    world.kill_link().play(8 * HOUR)
    world.network = True
    world.cpu += 200.0
    world.play(0.9 * HOUR)
    assert world.applied == []
    world.play(0.3 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_a_round_in_which_not_every_sign_could_be_read_adds_nothing() -> None:
    world = hung(60.0)
    world.gpu_readable = False
    world.play(1.2 * HOUR)
    world.gpu_readable = True
    world.play(0.9 * HOUR)
    assert world.applied == []
    world.play(0.3 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_a_sign_counts_also_in_a_round_that_could_not_read_the_processes() -> None:
    world = hung(0.9 * HOUR)
    world.processes_readable, world.gpu_busy = False, True
    world.play(300)
    world.processes_readable, world.gpu_busy = True, False
    world.sleep(HOUR).kill_link()  # the wake forgets the sign, not what came of it
    world.play(0.9 * HOUR)
    assert world.applied == []
    world.play(0.3 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_a_pause_begins_the_hour_anew() -> None:
    world = hung(0.9 * HOUR)
    world.take(Paused(until_wall=world.env().wall + 2 * HOUR))
    world.play(2 * HOUR + 60)
    world.play(0.9 * HOUR)
    assert world.applied == []
    world.play(0.3 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]
