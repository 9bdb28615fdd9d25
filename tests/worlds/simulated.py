"""Hand-made worlds of the simulator: the committed scenario made calm, with chosen faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

from watchdogd.sim.faults import Fault
from watchdogd.sim.happening import plan
from watchdogd.sim.scenario import Scenario, Spread, load
from watchdogd.sim.world import Healer, World

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "bench/scenarios/default.toml"
HOUR = 3600.0


def calm(*, working: bool = True, job: float = 1e6) -> Scenario:
    """Three days without chance: boots take 20 s, a job of so many seconds runs, or none ever does."""
    known = load(SCENARIO.read_text())
    fixed = {"boot": 20.0, "dial": 0.5, "job": job, "job_gap": 1.0 if working else 1e6}
    spreads = {**known.spreads, **{name: Spread(at, 0.0, at) for name, at in fixed.items()}}
    numbers = {**known.numbers, "lull_every": 0.0}
    return replace(known, length=72 * HOUR, spreads=spreads, numbers=numbers)


def played(
    healer: Healer, *faults: Fault, hours: float = 12.0, working: bool = True, job: float = 1e6
) -> World:
    """That world after so many hours with these faults."""
    scenario = replace(calm(working=working, job=job), length=hours * HOUR)
    world = World(scenario, Random(1), healer)
    plan(world, faults)
    healer.begin(world)
    world.change_done()
    world.play(scenario.length)
    world.finish()
    return world
