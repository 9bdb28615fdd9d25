"""One run of a world: a scenario, a seed, a healer -> the score."""

from __future__ import annotations

from random import Random

from watchdogd.sim.faults import schedule
from watchdogd.sim.happening import plan
from watchdogd.sim.scenario import Scenario
from watchdogd.sim.score import Score
from watchdogd.sim.world import Healer, World


def run(scenario: Scenario, seed: int, healer: Healer) -> Score:
    """Play one run to its end. Same scenario, seed and healer: the same score."""
    dice = Random(seed)  # noqa: S311 - a simulation wants to be repeated
    faults = schedule(scenario, dice)
    world = World(scenario, dice, healer)
    plan(world, faults)
    healer.begin(world)
    world.change_done()
    world.play(scenario.length)
    return world.finish()
