"""Plays rounds full of random faults with the real sinks, and prints what the process is like before and
after: ``python -m bench.soak_rounds --rounds 1000000``.

Exit code 1 if descriptors, threads or children grew at all, or memory by more than a little. Every round is
played, in one life of the agent; the clock is the simulator's, so a year takes minutes.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.sunk import Footprint, Sunk, footprint, logging_to
from watchdogd.core.commands import Probe
from watchdogd.sim.run import run
from watchdogd.sim.scenario import load

SCENARIO = Path(__file__).parent / "scenarios/default.toml"
FAULTS_FACTOR = 10.0
"""More faults than the scenario has: some every hour (counted)."""
ROUNDS = 1_000_000
WARM_ROUNDS = 2_000
"""Before the first measurement: imports, caches, the first files."""
ROUND_SECONDS = 26.0
"""No round of this scenario lasts longer on the average, sleep included (measured: 16 to 20 s)."""
GROWTH_KIB = 8 << 10
"""Memory that may be more afterwards: the score of the simulation itself, and what allocators keep."""
TOLD_EVERY = 50_000

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """What became of the process."""

    rounds: int
    before: Footprint
    """With the agent alive, and warm."""
    after: Footprint
    """With the agent alive, at the end."""
    idle: Footprint
    """Before any agent."""
    closed: Footprint
    """Once the last one was closed."""

    def grown(self) -> tuple[str, ...]:
        """What did not stay as it was; empty if nothing."""
        memory = self.after.resident_kib - self.before.resident_kib
        found = [f"{memory} KiB resident"] if memory > GROWTH_KIB else []
        for name, old, new in (
            ("alive", self.before, self.after),
            ("closed", self.idle, self.closed),
        ):
            for unit in ("descriptors", "threads", "children"):
                more = getattr(new, unit) - getattr(old, unit)
                if more > 0:
                    found.append(f"{more} {unit} ({name})")
        return tuple(found)


class _Told(Sunk):
    """Says how far it is."""

    tell: Tell

    def _probe(self, command: Probe) -> None:
        super()._probe(command)
        if self.rounds_played % TOLD_EVERY == 0:
            self.tell(f"{self.rounds_played:>9} rounds: {footprint()}")


def soak(rounds: int, folder: Path, tell: Tell = lambda line: None) -> Soaked:
    """At least so many rounds on the journal and event log of one folder."""
    idle = footprint()
    _, before = _life(WARM_ROUNDS, 1, folder, tell)
    tell(f"{'warm':>16}: {before}")
    played, after = _life(rounds, 2, folder, tell)
    gc.collect()
    return Soaked(rounds=played, before=before, after=after, idle=idle, closed=footprint())


def _life(rounds: int, seed: int, folder: Path, tell: Tell) -> tuple[int, Footprint]:
    """One agent: the rounds that it played, and the process while it still lived."""
    scenario = load(SCENARIO.read_text()).scaled(FAULTS_FACTOR)
    with open(os.devnull, "w") as nowhere, logging_to(nowhere):
        agent = _Told(folder)
        agent.tell = tell
        try:
            run(replace(scenario, length=rounds * ROUND_SECONDS), seed, agent)
            gc.collect()
            return agent.rounds_played, footprint()
        finally:
            agent.close()


def play(rounds: int) -> int:
    """So many, told as they pass. Returns the exit code."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="watchdogd-soak-") as folder:
        found = soak(rounds, Path(folder), lambda line: print(line, flush=True))
    grown = found.grown()
    print(f"{'the end':>16}: {found.after}")
    result = f"grew by {', '.join(grown)}" if grown else "flat"
    print(f"{found.rounds} rounds in {time.monotonic() - began:.0f} s: {result}")
    return 1 if grown else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak_rounds")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how many (default: {ROUNDS})")
    return play(parser.parse_args().rounds)


if __name__ == "__main__":
    sys.exit(main())
