"""Health that comes and goes, as Nagios reckons it, and what it forbids."""

from __future__ import annotations

import pytest

from tests.core.world import World, healthy
from watchdogd.core.flapping import SAMPLES, ratio, seen, unsteady
from watchdogd.core.traces import Flaps
from watchdogd.core.words import Cause, Refusal, Remedy, State

HOUR = 3600.0


def shown(world: World) -> State:
    return world.state.shown


def after(pattern: str, seconds: float = 61.0) -> Flaps:
    flaps = Flaps()
    for number, good in enumerate(pattern, 1):
        flaps = seen(flaps, good=good == "1", run=number * seconds)
    return flaps


@pytest.mark.parametrize(
    ("samples", "share"),
    [
        ((True,) * SAMPLES, 0.0),
        ((True, False) * (SAMPLES // 2) + (True,), 1.0),
        ((False,) + (True,) * (SAMPLES - 1), 0.75 / 20),
        ((True,) * (SAMPLES - 1) + (False,), 1.25 / 20),
        ((True, False), 1.25 / 20),
        ((), 0.0),
    ],
)
def test_changes_are_weighted_by_their_age(samples: tuple[bool, ...], share: float) -> None:
    assert ratio(samples) == pytest.approx(share)


def test_on_at_a_fifth_and_off_at_a_twentieth() -> None:
    assert not after("1" * 22 + "0").flapping
    assert after("1" * 18 + "010101").flapping
    still = "1" * 18 + "010101" + "1" * 15
    assert after(still).flapping
    assert not after(still + "1" * 6).flapping


def test_one_outage_is_no_flapping() -> None:
    assert not after("1" * 10 + "0" * 10 + "1" * 10).flapping


def test_a_sample_is_the_worst_of_a_minute() -> None:
    flaps = after("1101" * 20, seconds=15.0)
    assert not any(flaps.samples)
    assert not flaps.flapping


def test_many_short_failures_are_told_and_one_outage_that_is_over_is_not() -> None:
    assert unsteady(after("10" * 10))
    assert not unsteady(after("1" * 10 + "0" * 9 + "1"))
    assert not unsteady(after("110" * 5))


def test_every_other_round_that_fails_is_degraded() -> None:
    """F16: 30 % of packets lost make no streak."""
    world = healthy()
    for number in range(60):
        world.runtime = Cause.RUNTIME_REFUSED if number % 2 else None
        world.play(world.policy.suspect_interval)
    assert shown(world) is State.DEGRADED
    assert world.applied == []
    world.runtime = None
    world.play(400)
    assert shown(world) is State.UP


def flapping_world() -> World:
    world = healthy()
    for number in range(16):
        world.runtime = Cause.RUNTIME_REFUSED if number % 2 else None
        world.play(100 if number % 2 else 180)
    assert world.state.flaps.flapping
    world.applied.clear()
    return world


def test_nothing_is_ended_while_health_comes_and_goes() -> None:
    world = flapping_world()
    world.runtime = Cause.RUNTIME_HUNG
    world.play(700)
    assert world.applied == []
    assert world.state.refusals == ((Remedy.RESTART_CONTAINER, Refusal.FLAPPING),)
    world.play(2 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_what_has_stopped_is_started_all_the_same() -> None:
    world = flapping_world()
    world.runtime, world.container = None, Cause.CONTAINER_EXITED
    world.play(120)
    assert world.applied == [Remedy.START_CONTAINER]
