"""What would have been done but for mode, person or veto alone, and whether that would have been right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.core.world import World, healthy, session_policy
from tests.worlds.simulated import SCENARIO, played
from tests.worlds.test_properties import POLICY, PROFILE, episodes, live
from watchdogd.core import shadowing
from watchdogd.core.commands import Fact, ShadowOpened, ShadowScored
from watchdogd.core.events import Approved, Ordered, Paused, SettingsChanged, Started
from watchdogd.core.machine import anew
from watchdogd.core.model import Policy
from watchdogd.core.operating import memory
from watchdogd.core.shadow import Score, Shadow, WouldHave, sentence
from watchdogd.core.sight import (
    ContainerSight,
    Generation,
    GpuSight,
    GpuTool,
    HostSight,
    Sight,
)
from watchdogd.core.turn import Turn
from watchdogd.core.veto import hazard, without_hazards
from watchdogd.core.words import Cause, Hindsight, Mode, Refusal, Remedy
from watchdogd.sim.agent import Agent
from watchdogd.sim.faults import Fault, Kind
from watchdogd.sim.run import run
from watchdogd.sim.scenario import load

HOUR = 3600.0
DAY = 24 * HOUR
RESTART, START = Remedy.RESTART_CONTAINER, Remedy.START_CONTAINER
OBSERVES, ASKS = Policy(mode=Mode.OBSERVE), Policy(mode=Mode.ASK)
RIGHT, FALSE_ALARM, UNDECIDED = Hindsight
Judged = tuple[Remedy, Refusal, Hindsight]


def judged(world: World) -> tuple[Judged, ...]:
    """What was scored, in order."""
    return tuple(
        (one.remedy, one.reason, one.outcome)
        for one in world.facts
        if isinstance(one, ShadowScored)
    )


def opened(world: World) -> list[ShadowOpened]:
    return [one for one in world.facts if isinstance(one, ShadowOpened)]


@dataclass(frozen=True, kw_only=True)
class Row:
    """How it is played, and what hindsight must say."""

    play: Callable[[World], object]
    world: Mapping[str, object] = field(default_factory=dict)
    told: tuple[Judged, ...] = ()


ROWS: dict[str, Row] = {}


def row(
    *told: Judged, **world: object
) -> Callable[[Callable[[World], object]], Callable[[World], object]]:
    def register(play: Callable[[World], object]) -> Callable[[World], object]:
        ROWS[play.__name__] = Row(play=play, world=world, told=told)
        return play

    return register


def hang(world: World, seconds: float = 720.0) -> World:
    """Hung for so long; a restart is considered after some 11 minutes."""
    world.runtime = Cause.RUNTIME_HUNG
    return world.play(seconds)


@row((START, Refusal.OBSERVE, RIGHT), policy=OBSERVES)
def what_stays_down_should_have_been_started(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED
    world.play(HOUR)


@row((RESTART, Refusal.OBSERVE, FALSE_ALARM), policy=OBSERVES)
def a_hang_that_passes_by_itself(world: World) -> None:
    hang(world).runtime = None
    world.play(HOUR)


@row((RESTART, Refusal.OBSERVE, RIGHT), policy=OBSERVES)
def a_hang_that_passes_after_the_time_for_the_proof(world: World) -> None:
    hang(world, 1200).runtime = None
    world.play(HOUR)


@row((RESTART, Refusal.OBSERVE, FALSE_ALARM), policy=OBSERVES)
def well_on_the_server_and_only_the_way_is_wrong(world: World) -> None:
    hang(world).runtime_seen_on_server = False
    world.play(HOUR)


@row((RESTART, Refusal.OBSERVE, RIGHT), policy=OBSERVES)
def ten_hours_of_one_fault_count_once(world: World) -> None:
    hang(world, 10 * HOUR)


@row((RESTART, Refusal.ASK, RIGHT), policy=ASKS)
def nobody_answers(world: World) -> None:
    hang(world, HOUR)


@row((RESTART, Refusal.ASK, UNDECIDED), policy=ASKS)
def a_person_allows_it(world: World) -> None:
    hang(world).take(Approved())
    world.play(HOUR)
    assert world.applied == [RESTART]
    assert world.state.shadow == Shadow()  # its own charge stands for it


@row((RESTART, Refusal.ASK, UNDECIDED), policy=ASKS, remedies_work=False)
def a_person_allows_it_in_vain_before_it_passes_by_itself(world: World) -> None:
    hang(world).take(Approved())
    world.play(5)
    world.runtime = None
    world.play(HOUR)


@row((RESTART, Refusal.ASK, UNDECIDED), policy=ASKS)
def a_person_orders_it(world: World) -> None:
    hang(world).take(Ordered(remedy=RESTART))
    world.play(HOUR)


@row((RESTART, Refusal.OBSERVE, UNDECIDED), policy=OBSERVES)
def a_person_restarts_it(world: World) -> None:
    hang(world).life += 1
    world.runtime = None
    world.play(HOUR)


@row((RESTART, Refusal.OBSERVE, UNDECIDED), policy=OBSERVES)
def a_person_restarts_it_in_vain(world: World) -> None:
    hang(world).life += 1
    world.play(120)


@row((START, Refusal.OBSERVE, UNDECIDED), policy=OBSERVES)
def a_person_starts_it(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED
    world.play(60)
    world.container, world.life = None, 2
    world.play(HOUR)


@row((RESTART, Refusal.OBSERVE, UNDECIDED), policy=OBSERVES)
def a_person_pauses_it(world: World) -> None:
    hang(world).take(Paused(until_wall=world.env().wall + 60))
    world.play(30)
    world.runtime = None
    world.play(HOUR)


@row((RESTART, Refusal.OBSERVE, UNDECIDED), policy=OBSERVES)
def it_is_described_anew(world: World) -> None:
    hang(world).take(SettingsChanged(runtime=True))
    world.runtime = None
    world.play(HOUR)


@row((RESTART, Refusal.VETO, FALSE_ALARM), working=True)
def work_goes_on_behind_a_hang(world: World) -> None:
    hang(world, HOUR)


@row((RESTART, Refusal.OBSERVE, FALSE_ALARM), working=True, policy=OBSERVES)
def work_goes_on_behind_a_hang_that_is_only_watched(world: World) -> None:
    hang(world, HOUR)


@row((RESTART, Refusal.VETO, FALSE_ALARM), gpu_busy=True)
def work_goes_on_behind_a_hang_that_passes(world: World) -> None:
    hang(world).runtime = None
    world.play(HOUR)


@row((RESTART, Refusal.VETO, FALSE_ALARM), load=9.0)
def silence_under_load(world: World) -> None:
    hang(world).runtime = None
    world.play(HOUR)


@row((RESTART, Refusal.VETO, UNDECIDED), gpu_busy=True)
def the_work_ends_and_the_agent_does_it(world: World) -> None:
    hang(world).gpu_busy = False
    world.play(HOUR)
    assert world.applied == [RESTART]


@row((RESTART, Refusal.ASK, RIGHT), policy=Policy(watches_training=True), steps=0.1, gpu_busy=True)
def a_beacon_is_overdue(world: World) -> None:
    world.steps = 0.0
    world.play(2 * HOUR)
    hang(world, 2 * HOUR)


@row((Remedy.OPEN_SESSION, Refusal.OBSERVE, FALSE_ALARM), policy=OBSERVES)
def a_view_comes_back(world: World) -> None:
    world.view = False
    while not opened(world):
        world.play(1)
    world.view = True
    world.play(HOUR)


@row((Remedy.REFRESH_TOKEN, Refusal.OBSERVE, RIGHT), policy=OBSERVES)
def a_token_stays_refused(world: World) -> None:
    world.runtime = Cause.RUNTIME_AUTH
    world.play(HOUR)


@row(
    (Remedy.START_SESSION, Refusal.OBSERVE, RIGHT),
    policy=session_policy(mode=Mode.OBSERVE),
)
def a_command_in_tmux_ended(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED
    world.play(HOUR)


# --- held back by something else as well: an agent that is allowed would not have done it either


@row(policy=OBSERVES, stopped_by_person=True)
def somebody_stopped_it(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED
    world.play(HOUR)


@row(policy=OBSERVES)
def it_is_not_believed_yet(world: World) -> None:
    hang(world, 500).runtime = None
    world.play(HOUR)


@row(policy=OBSERVES)
def the_server_is_not_seen(world: World) -> None:
    world.runtime_seen_on_server = False
    hang(world, HOUR)


@row(working=True, gpu_readable=False)
def the_gpu_is_not_read(world: World) -> None:
    hang(world, HOUR)


@row()
def nothing_holds_it_back(world: World) -> None:
    hang(world, HOUR)
    assert RESTART in world.applied


@pytest.mark.parametrize("name", ROWS)
def test_hindsight_says(name: str) -> None:
    one = ROWS[name]
    world = healthy(**one.world)
    one.play(world)
    assert judged(world) == one.told
    assert len(opened(world)) == len(one.told)
    assert world.broken == []
    counted = [outcome for _, _, outcome in one.told if outcome is not UNDECIDED]
    right = sum(score.right for score in world.state.shadow.scores)
    wrong = sum(score.false_alarms for score in world.state.shadow.scores)
    assert (right, wrong) == (counted.count(RIGHT), counted.count(FALSE_ALARM))


def test_only_observed_time_counts() -> None:
    """Neither a night asleep nor an hour without a network decides anything."""
    world = hang(healthy(policy=OBSERVES))
    world.sleep(8 * HOUR).kill_link()
    world.network = False
    world.play(HOUR)
    assert judged(world) == ()
    world.network = True
    world.play(60)
    assert judged(world) == ()
    world.play(400)
    assert judged(world) == ((RESTART, Refusal.OBSERVE, RIGHT),)
    (score,) = [one for one in world.facts if isinstance(one, ShadowScored)]
    assert 300 <= score.seconds <= 330


def test_it_has_the_budget_of_an_agent_that_is_allowed() -> None:
    """One hang an hour: two restarts in six hours, three in a day, as in ``auto``."""
    world = healthy(policy=OBSERVES)
    counts = []
    for _ in range(14):
        hang(world, 20 * 60).runtime = None
        world.play(40 * 60)
        counts.append(len(opened(world)))
    assert counts == [1, 2, 2, 2, 2, 2, *[3] * 8]
    allowed = healthy()
    for _ in range(14):
        hang(allowed, 20 * 60).runtime = None
        allowed.play(40 * 60)
    assert allowed.applied.count(RESTART) == 3


def test_it_has_the_pause_of_an_agent_that_is_allowed() -> None:
    world = healthy(policy=replace(OBSERVES, cooldown=2 * HOUR, destructive_per_6h=9))
    for _ in range(3):
        hang(world, 15 * 60).runtime = None
        world.play(30 * 60)
    assert len(opened(world)) == 1


def test_scores_and_budget_survive_the_agent_and_a_new_tunnel_but_what_is_open_does_not() -> None:
    world = hang(healthy(policy=OBSERVES), 1200)
    world.runtime = None
    world.play(HOUR)
    hang(world)
    known = world.state.shadow
    assert known.scores == (Score(remedy=RESTART, right=1),)
    assert world.state.would is not None
    kept = memory(world.state)
    world.state = anew(world.state, world.env())
    assert (world.state.shadow, world.state.would) == (known, None)
    world.state = world.fresh()
    world.take(Started(memory=kept))
    assert (world.state.shadow, world.state.would) == (known, None)
    world.facts.clear()
    world.play(2 * HOUR)
    assert opened(world) == []  # the same fault is no second one


def test_it_is_bounded() -> None:
    old = WouldHave(
        remedy=START,
        cause=Cause.CONTAINER_EXITED,
        reason=Refusal.OBSERVE,
        incident="same",
        generation=Generation(),
        wall=0.0,
        boot=0.0,
        boot_id="another",
    )
    world = healthy(policy=replace(OBSERVES, destructive_per_6h=900, destructive_per_24h=900))
    full = tuple(replace(old, wall=world.env().wall, incident=str(n)) for n in range(100))
    world.state = replace(world.state, shadow=Shadow(recent=(old, *full)))
    hang(world)
    assert len(world.state.shadow.recent) == shadowing.MOST_KEPT
    world.runtime = None
    world.play(2 * DAY)
    hang(world)
    assert len(world.state.shadow.recent) == 1  # what is a day old counts no more


@pytest.mark.parametrize(
    ("right", "false_alarms", "text"),
    [
        (3, 6, "restart_container would have been right 3 of 9 times"),
        (0, 1, "restart_container would have been right 0 of 1 time"),
    ],
)
def test_a_score_is_a_sentence(right: int, false_alarms: int, text: str) -> None:
    assert sentence("restart_container", right, false_alarms) == text


HAZARDS = (
    Sight(container=ContainerSight(read_at=0.0, publish_as_configured=False)),
    Sight(host=HostSight(read_at=0.0, disk_free_bytes=1)),
    Sight(host=HostSight(read_at=0.0, inodes_free_ratio=0.0)),
    Sight(host=HostSight(read_at=0.0, uptime_seconds=1.0)),
    Sight(host=HostSight(read_at=0.0, load_per_core=99.0)),
    Sight(host=HostSight(read_at=0.0, pressure_ratio=1.0)),
    Sight(host=HostSight(read_at=0.0), gpu=GpuSight(read_at=0.0, tool=GpuTool.MISMATCH)),
)


@pytest.mark.parametrize("sight", HAZARDS)
def test_each_hazard_is_thought_away(sight: Sight) -> None:
    state = healthy().state
    assert hazard(replace(state, sight=sight), destructive=True)
    assert not hazard(replace(state, sight=without_hazards(sight)), destructive=True)


# ---------------------------------------------------------------- it decides nothing


def unshadowed(facts: list[Fact]) -> list[Fact]:
    return [one for one in facts if not isinstance(one, ShadowOpened | ShadowScored)]


BOTH = settings(PROFILE, max_examples=15, phases=(Phase.explicit, Phase.generate))
"""Two whole histories an example: to shrink them would take minutes."""


@BOTH
@given(episodes, st.sampled_from((Mode.AUTO, Mode.ASK, Mode.OBSERVE)))
def test_shadow_scoring_changes_no_decision(
    history: list[tuple[dict[str, object], str, float, bool]], mode: Mode
) -> None:
    """The same history with and without it: the same acts at the same times, and the same state."""
    policy = replace(POLICY, mode=mode, watches_training=True)
    truth: dict[str, object] = {"runtime": Cause.RUNTIME_HUNG}
    hanging = (truth, "none", 400.0, True)
    shadowed = live([hanging, *history], policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadowing, "follow", _nothing)
        plain = live([hanging, *history], policy)
    assert (shadowed.applied, shadowed.applied_at) == (plain.applied, plain.applied_at)
    assert shadowed.dials == plain.dials
    assert unshadowed(shadowed.facts) == plain.facts
    assert replace(shadowed.state, would=None, shadow=Shadow()) == plain.state
    if mode is not Mode.AUTO:
        assert opened(shadowed)


def _nothing(turn: Turn) -> None:
    """No shadow scoring at all."""


# ---------------------------------------------------------------- F68


class Told(Agent):
    """Keeps what was told of the shadow, in observe."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.facts: list[Fact] = []

    def _tell(self, fact: Fact) -> None:
        super()._tell(fact)
        if isinstance(fact, ShadowOpened | ShadowScored):
            self.facts.append(fact)


def test_a_simulated_week_of_observe_changes_nothing_and_tells_its_score() -> None:
    """F68: faults of all kinds at twice their usual rate, and nobody but a person repairs them."""
    week = replace(load(SCENARIO.read_text()).scaled(2.0), length=7 * DAY)
    agent = Told(OBSERVES)
    score = run(week, 5, agent)
    assert set(score.acts) <= {"by_hand"}
    assert (score.destructive, score.needless) == (0, 0)
    assert score.lost_by_healer == 0
    assert agent.state.charges == ()
    outcomes = [one.outcome for one in agent.facts if isinstance(one, ShadowScored)]
    assert RIGHT in outcomes
    kept = agent.state.shadow.scores
    assert sum(one.right for one in kept) == outcomes.count(RIGHT)
    assert sum(one.false_alarms for one in kept) == outcomes.count(FALSE_ALARM)


def test_in_the_simulator_a_hang_that_passes_is_a_false_alarm() -> None:
    agent = Told(OBSERVES)
    hung = Fault(2.5 * HOUR, Kind.HUNG_FOR_A_WHILE, 13 * 60.0)
    world = played(agent, hung, hours=4.0, working=False)
    assert [one.outcome for one in agent.facts if isinstance(one, ShadowScored)] == [FALSE_ALARM]
    assert agent.state.shadow.scores == (Score(remedy=RESTART, false_alarms=1),)
    assert world.score.destructive == 0
