"""The decisions and the simulator: CPU of an event and of a simulated month, and memory over many rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from random import Random

from bench.report import Figure, say
from watchdogd.core.events import Event, Observed
from watchdogd.core.machine import first, step
from watchdogd.core.model import Env, Policy
from watchdogd.core.words import Outcome, ProbeName
from watchdogd.sim.agent import Agent
from watchdogd.sim.faults import schedule
from watchdogd.sim.happening import plan
from watchdogd.sim.run import run
from watchdogd.sim.scenario import Scenario, load
from watchdogd.sim.world import World

SCENARIO = Path(__file__).parent / "scenarios" / "default.toml"
ROUNDS, REPETITIONS, MONTHS = 5_000, 7, 3
ROUND_SECONDS = 15.5
"""Of a healthy target: the interval, and the look itself."""
FEW, MANY = 100_000, 1_000_000
"""Rounds between which memory must not grow."""
EVENT_RATIO, MONTH_RATIO, GROWN_MIB = 13.0, 0.25, 4.0
"""Limits. The first two are ratios, as seconds say more of the machine than of the code."""
Tape = Sequence[tuple[Event, Env]]


def figures() -> Iterator[Figure]:
    """CPU seconds of this process, in turns with the opponent; memory in a process of its own."""
    yield _events()
    yield _months()
    yield _memory()


# ---------------------------------------------------------------- one event


class Recording(Agent):
    """Keeps what it was told, with the clocks of that moment."""

    def __init__(self) -> None:
        super().__init__(skip=False)
        self.events: list[Event] = []
        self.envs: list[Env] = []

    def take(self, event: Event) -> None:
        """As an agent does."""
        self.events.append(event)
        super().take(event)

    def env(self) -> Env:
        """As an agent does."""
        self.envs.append(super().env())
        return self.envs[-1]


def healthy(rounds: int) -> tuple[Env, Tape]:
    """The first clocks, and all events of a target to which nothing ever happens."""
    agent = Recording()
    world = World(_scenario(rounds * ROUND_SECONDS), Random(1), agent)  # noqa: S311
    agent.begin(world)
    world.change_done()
    world.play(world.scenario.length)
    return agent.envs[0], list(zip(agent.events, agent.envs[1:], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """All that a healer knows which restarts after three failures in a row."""

    fails: int = 0
    seen: float = 0.0


def counted(state: Count, event: Event, env: Env) -> tuple[Count, tuple[str, ...]]:
    """The opponent: the same shape of function, with one ``dataclasses.replace`` an event."""
    fails = state.fails
    if isinstance(event, Observed):
        asked = [one for one in event.observations if one.probe is ProbeName.RUNTIME_TUNNEL]
        fails = 0 if all(one.outcome is Outcome.OK for one in asked) else fails + 1
    return replace(state, fails=fails, seen=env.run), ("restart",) if fails >= 3 else ()


def _events() -> Figure:
    begin, tape = healthy(ROUNDS)

    def ours() -> None:
        state, policy = first(begin), Policy()
        for event, env in tape:
            state, _ = step(state, event, policy, env)

    def theirs() -> None:
        state = Count()
        for event, env in tape:
            state, _ = counted(state, event, env)

    times: tuple[list[float], list[float]] = ([], [])
    for number in range(REPETITIONS):
        say(f"{len(tape)} events, {number + 1} of {REPETITIONS}")
        for call, result in zip((ours, theirs), times, strict=True):
            result.append(_cpu(call) / len(tape) * 1e6)
    rates = [f"{1e6 / one:,.0f}" for one in (max(times[0]), min(times[0]))]
    return Figure(
        name="CPU of one event of a healthy target",
        unit="us",
        ours=times[0],
        opponent="a count of three failures",
        theirs=times[1],
        limit=EVENT_RATIO,
        measure="ratio",
        note=f"{rates[0]} to {rates[1]} events a second on one core",
    )


# ---------------------------------------------------------------- a simulated month


def _months() -> Figure:
    scenario = load(SCENARIO.read_text())
    times: tuple[list[float], list[float]] = ([], [])
    for seed in range(1, MONTHS + 1):
        say(f"a simulated month, {seed} of {MONTHS}")
        for skip, result in zip((True, False), times, strict=True):
            result.append(_cpu(lambda seed=seed, skip=skip: run(scenario, seed, Agent(skip=skip))))  # type: ignore[misc]
    return Figure(
        name="CPU of 30 simulated days, the quiet skipped",
        unit="s",
        ours=times[0],
        opponent="with every round played",
        theirs=times[1],
        limit=MONTH_RATIO,
        measure="ratio",
        note="the same decisions both ways; dearest is a month in which work held a restart back for long",
    )


# ---------------------------------------------------------------- memory


def _memory() -> Figure:
    say(f"{MANY} rounds")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        few, many = pool.submit(resident, FEW, MANY).result()
    return Figure(
        name=f"memory after {MANY:,} simulated rounds",
        unit="MiB",
        ours=[many],
        opponent=f"after {FEW:,}",
        theirs=[few],
        limit=GROWN_MIB,
        measure="difference",
    )


def resident(few: int, many: int) -> tuple[float, float]:
    """MiB of this process when one agent has played so many rounds, with all the scenario's faults."""
    dice, agent = Random(1), Agent(skip=False)  # noqa: S311
    world = World(_scenario(many * ROUND_SECONDS * 2), dice, agent)
    plan(world, schedule(world.scenario, dice))
    agent.begin(world)
    world.change_done()
    found = []
    for rounds in (few, many):
        while agent.rounds_played < rounds:
            world.play(world.now + 3600.0)
        found.append(_resident())
    return found[0], found[1]


def _resident() -> float:
    found = Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()
    return int(found[0]) / 1024


def _scenario(seconds: float) -> Scenario:
    return replace(load(SCENARIO.read_text()), length=seconds)


def _cpu(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun
