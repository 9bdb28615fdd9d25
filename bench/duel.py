"""The same worlds under watchdogd and under what people use today: ``python -m bench.duel``.

Every healer meets the same faults at the same times (one seed, one schedule). Exit code 1 if watchdogd
lost training by an act of its own, or was usable for less than 0.98 of what an oracle reaches.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench import duel_rules as rules
from bench.duel_healers import Opponent, Oracle
from bench.duel_report import Tally, page, record
from bench.report import say
from watchdogd.sim.agent import Agent
from watchdogd.sim.run import run
from watchdogd.sim.scenario import load
from watchdogd.sim.score import Score
from watchdogd.sim.world import Healer

SCENARIO = Path(__file__).parent / "scenarios" / "default.toml"
FACTORS = (1.0, 3.0, 1 / 3)
"""How often faults come, against the scenario."""
LEAST_AVAILABILITY = 0.98
HEALERS: dict[str, Callable[[], Healer]] = {
    "oracle": Oracle,
    "watchdogd": Agent,
    "autossh alone": lambda: Opponent(rules.Nothing()),
    "autossh + restart=always": lambda: Opponent(rules.RestartAlways()),
    "liveness probe": lambda: Opponent(rules.Liveness()),
    "docker-autoheal": lambda: Opponent(rules.Autoheal()),
    "monit": lambda: Opponent(rules.Monit()),
}
Job = tuple[str, float, int, bool]


def played(job: Job) -> tuple[float, int, dict[str, Score]]:
    """One world under every healer: factor, seed, and each one's score."""
    path, factor, seed, lulls = job
    scenario = load(Path(path).read_text()).scaled(factor)
    if not lulls:
        scenario = replace(scenario, numbers={**scenario.numbers, "lull_every": 0.0})
    scores = {name: run(scenario, seed, make()) for name, make in HEALERS.items()}
    return factor, seed, scores


def duel(jobs: Sequence[Job], processes: int) -> dict[float, Tally]:
    """All jobs, on so many processes; one tally for each factor."""
    tallies: dict[float, Tally] = {}
    for number, (factor, seed, scores) in enumerate(_results(jobs, processes), 1):
        tallies.setdefault(factor, Tally()).add(seed, scores)
        if number % 100 == 0:
            say(f"duel: {number} of {len(jobs)} worlds")
    return tallies


def _results(jobs: Sequence[Job], processes: int) -> Iterator[tuple[float, int, dict[str, Score]]]:
    if processes == 1:
        yield from map(played, jobs)
        return
    with multiprocessing.Pool(processes) as pool:
        yield from pool.imap_unordered(played, jobs, chunksize=4)


def failures(tallies: dict[float, Tally]) -> list[str]:
    """Each target that was missed, in words."""
    missed = []
    for factor, tally in tallies.items():
        ours = tally.totals["watchdogd"]
        if ours.lost_by_healer > 0:
            seed = tally.first_loss["watchdogd"]
            hours = ours.lost_by_healer / 3600
            missed.append(
                f"rates x{factor:.2g}: {hours:.1f} training hours lost by its own acts, seed {seed}"
            )
        share = tally.relative("watchdogd")
        if share < LEAST_AVAILABILITY:
            missed.append(f"rates x{factor:.2g}: availability {share:.4f} of the oracle's")
    return missed


def main(words: Sequence[str]) -> int:
    """Run the duel and print the tables."""
    parser = argparse.ArgumentParser(prog="make duel", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=1000, help="worlds of 30 days at the given rates"
    )
    parser.add_argument("--other-runs", type=int, default=50, help="at thrice and a third of them")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scenario", default=str(SCENARIO))
    parser.add_argument("--no-lulls", action="store_true", help="work that never waits without CPU")
    parser.add_argument("--json", action="store_true", help="figures instead of tables")
    given = parser.parse_args(words)
    begun = time.monotonic()
    jobs = [
        (given.scenario, factor, given.first_seed + number, not given.no_lulls)
        for factor in FACTORS
        for number in range(given.runs if factor == 1.0 else given.other_runs)
    ]
    tallies = duel(jobs, given.processes)
    missed = failures(tallies)
    if given.json:
        print(json.dumps(record(tallies, missed)))
    else:
        print(page(tallies))
        print("\n".join(f"MISSED  {one}" for one in missed) or "both targets kept")
    say(f"duel: {len(jobs)} worlds in {time.monotonic() - begun:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
