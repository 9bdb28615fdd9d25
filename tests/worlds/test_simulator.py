"""The simulator: repeatable, honest in its accounts, and as good with its quiet stretches skipped."""

from __future__ import annotations

import os
import re
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, replace
from random import Random

import pytest

from bench.duel_healers import Opponent
from bench.duel_rules import Nothing
from tests.worlds.simulated import HOUR, ROOT, SCENARIO, played
from watchdogd.core.model import Policy, TargetState
from watchdogd.sim import skipping
from watchdogd.sim.agent import Agent
from watchdogd.sim.faults import Fault, Kind, schedule
from watchdogd.sim.run import run
from watchdogd.sim.scenario import Scenario, load
from watchdogd.sim.score import Score
from watchdogd.sim.training import Training
from watchdogd.sim.world import World

DAY = 86400.0
SOAK_ROUNDS = int(os.environ.get("WATCHDOGD_SOAK_ROUNDS", "1200"))


def numbers(score: Score) -> list[float]:
    """All of a score, flat and in order."""
    plain = asdict(score)
    heal = plain.pop("heal")
    acts = plain.pop("acts")
    each = [seconds for kind in Kind for seconds in heal.get(kind, [])]
    return [*plain.values(), *(acts[act] for act in sorted(acts)), *each]


def busy(days: float) -> Scenario:
    """A short run with many faults."""
    return replace(load(SCENARIO.read_text()).scaled(3.0), length=days * DAY)


def run_recorded(seed: int, days: float, *, skip: bool) -> tuple[Agent, Score]:
    agent = Agent(skip=skip, record=True)
    return agent, run(busy(days), seed, agent)


def test_one_seed_gives_one_run_and_another_seed_another() -> None:
    (one, first), (two, second) = (run_recorded(3, 1, skip=True) for _ in range(2))
    assert one.decisions == two.decisions
    assert first == second
    assert run_recorded(4, 1, skip=True)[0].decisions != one.decisions


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_skipping_changes_no_decision(seed: int) -> None:
    (quick, short), (slow, long) = (run_recorded(seed, 1.5, skip=skip) for skip in (True, False))
    assert quick.decisions == slow.decisions
    assert quick.decisions
    assert numbers(short) == pytest.approx(numbers(long), abs=0.01)
    accounts = [agent.state.account.seconds for agent in (quick, slow)]
    assert accounts[0] == pytest.approx(accounts[1], abs=0.01)
    flaps = [agent.state.flaps for agent in (quick, slow)]
    assert flaps[0].minute_since == pytest.approx(flaps[1].minute_since, abs=0.01)
    assert replace(flaps[0], minute_since=0.0) == replace(flaps[1], minute_since=0.0)
    assert slow.rounds_played == long.rounds == short.rounds
    assert quick.rounds_played < 0.7 * slow.rounds_played


QUIET = {
    "an error while work goes on": [Fault(2.1 * HOUR, Kind.ERROR, 0.0)],
    "a hang while work goes on": [Fault(2.1 * HOUR, Kind.HUNG_WITH_WORK, 0.0)],
    "kernels that died": [
        Fault((3.3 + hour) * HOUR + 17 * hour, Kind.KERNEL_DIED, 0.0) for hour in range(8)
    ],
    "the morning after a night": [Fault(1.7 * HOUR, Kind.SLEEP, 8 * HOUR)],
}


@pytest.mark.parametrize("faults", QUIET.values(), ids=QUIET.keys())
def test_a_long_quiet_stretch_is_skipped_and_nothing_of_it_is_lost(faults: list[Fault]) -> None:
    quick, slow = (Agent(skip=skip, record=True) for skip in (True, False))
    short, long = (played(agent, *faults, hours=14).score for agent in (quick, slow))
    assert quick.decisions == slow.decisions
    assert numbers(short) == pytest.approx(numbers(long), abs=0.01)
    assert quick.rounds_played < 0.1 * slow.rounds_played
    streaks = [agent.state.streak for agent in (quick, slow)]
    assert streaks[0].fails == streaks[1].fails
    assert streaks[0].observed_seconds == pytest.approx(streaks[1].observed_seconds, abs=0.01)


@pytest.mark.parametrize("kind", [Kind.ERROR, Kind.HUNG_WITH_WORK])
@pytest.mark.parametrize("hours", [3.0, 3.0026, 3.0065, 4.004])
def test_what_a_restart_waited_for_ends_and_it_comes_at_the_same_moment(
    hours: float, kind: Kind
) -> None:
    quick, slow = (Agent(skip=skip, record=True) for skip in (True, False))
    for agent in (quick, slow):
        played(agent, Fault(HOUR, kind, 0.0), hours=6, job=hours * HOUR)
    assert quick.decisions == slow.decisions
    assert any("intended" in told for told in quick.decisions or [])


def test_what_was_seen_before_a_change_of_the_world_says_nothing_of_the_stretch_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over, job, spans = skipping.over, 3.01 * HOUR, []

    def watched(
        recent: Sequence[TargetState], policy: Policy, world: World, until: float
    ) -> skipping.Jump | None:
        jump = over(recent, policy, world, until)
        if jump is not None:
            spans.append((recent[0].round_since, world.run))
        return jump

    monkeypatch.setattr(skipping, "over", watched)
    played(Agent(), hours=6, job=job)
    assert any(since > job for since, _ in spans)
    assert not any(since < job < now for since, now in spans)


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.HUNG_DEAD])
def test_a_kernel_that_does_not_live_does_not_die(kind: Kind) -> None:
    """Else the job would go on in a runtime that is gone, and hold its repair back."""
    world = played(
        Opponent(Nothing()), Fault(HOUR, kind, 0.0), Fault(2 * HOUR, Kind.KERNEL_DIED, 0)
    )
    assert not world.working()


def test_a_hung_jupyter_starts_no_kernel_before_it_is_well_again() -> None:
    blocked = Fault(HOUR, Kind.HUNG_FOR_A_WHILE, HOUR)
    died = Fault(1.5 * HOUR, Kind.KERNEL_DIED, 0.0)
    for hours, works in ((1.9, False), (3.0, True)):
        assert played(Opponent(Nothing()), blocked, died, hours=hours).working() is works


@pytest.mark.parametrize("seed", [5, 6])
def test_all_seconds_are_booked(seed: int) -> None:
    agent, score = run_recorded(seed, 2, skip=True)
    assert score.awake + score.asleep == pytest.approx(2 * DAY)
    assert score.usable <= score.awake
    until = agent.state.account.booked_until
    assert sum(agent.state.account.seconds.values()) == pytest.approx(until)
    assert until == pytest.approx(2 * DAY, abs=DAY / 2)


def test_memory_does_not_grow() -> None:
    """Every round played; with ``WATCHDOGD_SOAK_ROUNDS=1000000`` for as long as one likes."""
    agent = Agent(skip=False)
    whole = replace(load(SCENARIO.read_text()), length=SOAK_ROUNDS * 20.0)
    tracemalloc.start()
    try:
        run(replace(whole, length=whole.length / 4), 7, agent)
        before = tracemalloc.get_traced_memory()[0]
        agent = Agent(skip=False)
        run(whole, 7, agent)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert agent.rounds_played > SOAK_ROUNDS / 2
    assert after - before < 1_000_000
    fields = {name: value for name, value in vars(agent.state).items() if hasattr(value, "__len__")}
    assert all(len(value) < 300 for value in fields.values()), fields


def test_what_is_in_flight_when_the_laptop_sleeps_waits_for_its_waking() -> None:
    agent = Agent(record=True)
    nap = Fault(1000.0, Kind.SLEEP, 6 * HOUR)
    world = played(agent, nap, hours=8)
    assert agent.state.shown.value == "up"
    assert world.score.asleep == pytest.approx(6 * HOUR)
    assert max(world.score.heal[Kind.SLEEP]) < 30


def test_a_crash_costs_the_work_since_the_last_checkpoint() -> None:
    world = played(Agent(), Fault(2.5 * HOUR, Kind.CRASH, 0.0))
    assert world.score.acts["start_container"] == 1
    lost = world.score.lost_by_faults
    assert lost == pytest.approx(0.5 * HOUR + 600, abs=5)
    assert world.score.lost_by_healer == 0


def test_a_kill_counts_only_while_work_runs() -> None:
    training = Training(load(SCENARIO.read_text()), Random(1))
    training.kill("healer")
    assert not training.lost
    training.allow(0.0)
    training.advance(20 * DAY)
    training.kill("healer")
    training.kill("healer")
    assert 0 <= training.lost["healer"] <= 3600 + 600


def test_every_fault_of_the_schedule_comes_in_order_and_within_the_run() -> None:
    faults = schedule(load(SCENARIO.read_text()).scaled(3.0), Random(2))
    assert [one.at for one in faults] == sorted(one.at for one in faults)
    assert {one.kind for one in faults} == set(Kind)


def test_the_scenario_gives_a_unit_and_a_reason_for_every_number() -> None:
    text = SCENARIO.read_text()
    tables = re.findall(r"^\[([\w.]+)\]\n((?:\w+ = .+\n)+)", text, re.MULTILINE)
    assert len(tables) > 40
    for name, body in tables:
        assert "unit = " in body, name
        assert re.search(r'why = "[^"]{15,}"', body), name
    load(SCENARIO.read_text())


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[faults.stall]\n", "[faults.stalled]\n", "faults.stall.mean_between is not a number"),
        ('unit = "days"\nwhy = "a month', 'why = "a month', "length.unit"),
        ("[numbers.person_after]", "[numbers.person]", "numbers.person is unknown"),
        ("median = 25\n", "median = -25\n", "faults.stall.lasts.median"),
        ('why = "reasoned: half of', 'why = "?"\nnone = "', "numbers.reset_at_wake.why gives no"),
    ],
)
def test_an_incomplete_scenario_is_refused(old: str, new: str, problem: str) -> None:
    text = SCENARIO.read_text()
    assert text.count(old) == 1
    with pytest.raises(ValueError, match=re.escape(problem)):
        load(text.replace(old, new))


def test_the_page_tells_of_every_fault() -> None:
    page = (ROOT / "docs/explanation/the-simulator.md").read_text()
    assert all(f"`{kind}`" in page for kind in Kind)
