"""What goes wrong rarely: lost answers, lost memory, causes that take turns, evidence that is too old."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.core.world import World, healthy
from watchdogd.core.commands import Probe, RemedyRefused, RemedyVerified, SetAnswer, StateChanged
from watchdogd.core.events import LinkLost, Observed
from watchdogd.core.model import Charge
from watchdogd.core.sight import Sight
from watchdogd.core.words import (
    Cause,
    Outcome,
    Phase,
    ProbeName,
    Refusal,
    Remedy,
    Result,
    State,
)

HOUR = 3600.0


def lie(world: World, change: Callable[[Observed], Observed]) -> None:
    """From now on each round is changed before it is told."""
    honest = world.measure
    world.measure = lambda command: change(honest(command))  # type: ignore[method-assign]


def says(round_: Observed, probe: ProbeName, cause: Cause | None, outcome: Outcome) -> Observed:
    """The round with another word of one probe."""
    table = tuple(
        replace(one, outcome=outcome, cause=cause) if one.probe is probe else one
        for one in round_.observations
    )
    return replace(round_, observations=table)


def unknown(round_: Observed, probe: ProbeName) -> Observed:
    return says(round_, probe, None, Outcome.UNKNOWN)


def boot_of(round_: Observed, boot_id: str) -> Observed:
    host = round_.sight.host
    return replace(
        round_, sight=replace(round_.sight, host=host and replace(host, boot_id=boot_id))
    )


def shown(world: World) -> State:
    return world.state.shown


def reasons(world: World) -> set[Refusal]:
    return {fact.reason for fact in world.facts if isinstance(fact, RemedyRefused)}


# ---------------------------------------------------------------- a person's word


def test_container_that_ran_before_a_reboot_of_the_server_is_started() -> None:
    world = healthy(stopped_by_person=None)
    world.container = Cause.CONTAINER_EXITED
    lie(world, lambda seen: boot_of(seen, "second-boot"))
    world.play(300)
    assert world.applied == [Remedy.START_CONTAINER]


def test_what_a_person_stopped_and_started_again_is_looked_after_as_before() -> None:
    world = healthy(stopped_by_person=True)
    world.container = Cause.CONTAINER_EXITED
    world.play(300)
    world.container, world.life, world.stopped_by_person = None, 2, False
    world.play(300)
    world.container = Cause.CONTAINER_EXITED
    world.play(120)
    assert world.applied == [Remedy.START_CONTAINER]


def test_container_that_ended_with_the_engine_is_started_with_it() -> None:
    """A restarted engine has no events: that it was down itself is explanation enough."""
    world = healthy(stopped_by_person=None)
    world.runtime, honest = Cause.RUNTIME_REFUSED, world.measure

    def engine_down(command: Probe) -> Observed:
        cause = Cause.CONTAINER_ENGINE_DOWN
        seen = says(honest(command), ProbeName.CONTAINER, cause, Outcome.FAIL)
        return replace(seen, sight=replace(seen.sight, container=None))

    world.measure = engine_down  # type: ignore[method-assign]
    world.play(60)
    assert world.state.verdict.cause is Cause.CONTAINER_ENGINE_DOWN
    world.measure = honest  # type: ignore[method-assign]
    world.runtime, world.container = None, Cause.CONTAINER_EXITED
    world.play(120)
    assert world.applied == [Remedy.START_CONTAINER]


# ---------------------------------------------------------------- evidence


@pytest.mark.parametrize(
    ("after", "started"),
    [(0.0, True), (100.0, True), (-40.0, True), (121.0, False), (-61.0, False), (None, False)],
)
def test_engine_that_was_restarted_between_two_looks_explains_the_end(
    after: float | None, started: bool
) -> None:
    """``after``: from the container's end to the engine's start, by the server's clock."""
    world = healthy(stopped_by_person=None)
    world.ended_at = 1e9
    world.engine_started_at = None if after is None else 1e9 + after
    world.container = Cause.CONTAINER_EXITED
    world.play(300)
    assert world.applied == ([Remedy.START_CONTAINER] if started else [])
    assert world.broken == []


def test_engines_start_explains_no_run_that_was_never_seen_healthy() -> None:
    world = healthy(stopped_by_person=None)
    world.ended_at = world.engine_started_at = 1e9
    world.life += 1
    world.container = Cause.CONTAINER_EXITED
    world.play(300)
    assert world.applied == []


def test_person_who_stopped_it_is_respected_though_the_engine_was_restarted_then() -> None:
    world = healthy(stopped_by_person=True)
    world.ended_at = world.engine_started_at = 1e9
    world.container = Cause.CONTAINER_EXITED
    world.play(300)
    assert world.applied == []


def test_restart_needs_the_newest_word_from_the_server() -> None:
    """The veto lifts when the last conclusive round is old and the runtime answers again."""
    world = healthy(working=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(1200)
    lie(
        world,
        lambda seen: says(
            unknown(seen, ProbeName.RUNTIME_TUNNEL), ProbeName.RUNTIME_SERVER, None, Outcome.OK
        ),
    )
    world.working = False
    world.play(600)
    assert world.applied == []


def test_reading_without_processes_is_no_baseline_for_work() -> None:
    """One unread list in the course of a hang: never is a reading compared with it."""
    for unread_at in (215.0, 275.0, 335.0):
        world = healthy()
        world.runtime = Cause.RUNTIME_HUNG
        world.play(unread_at)
        world.processes_readable = False
        world.play(10.5)
        world.processes_readable = True
        for _ in range(20):
            world.play(5)
            baseline = world.state.life.baseline
            assert baseline is None or baseline.processes is not None


def test_void_round_gives_no_sight() -> None:
    world = healthy().play_until_round_open()
    world.state = replace(world.state, sight=Sight())
    seen = world.measure(Probe(round=world.state.round, deep=True))
    world.take(replace(seen, stalled=True))
    assert world.state.sight == Sight()


def test_failed_remedy_is_not_repeated_on_the_evidence_from_before_it() -> None:
    world = healthy(remedy_result=Result.FAILED)
    world.container = Cause.CONTAINER_EXITED
    while not world.applied:
        world.play(0.5)
    world.play(1.5)
    lie(world, lambda seen: replace(seen, observations=(), sight=Sight()))
    world.play(60)
    assert world.applied == [Remedy.START_CONTAINER]


def test_cooldown_outlives_the_agent() -> None:
    spent = Charge(
        remedy=Remedy.RESTART_CONTAINER,
        key="old",
        wall=1.7e9 + 1000 - 60,
        boot=940.0,
        boot_id="laptop-boot",
    )
    world = World().start(charges=(spent,)).play(300)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]
    assert world.applied_at[0] - 940.0 >= world.policy.cooldown


# ---------------------------------------------------------------- never stuck


def test_name_that_does_not_resolve_does_not_stop_the_dials() -> None:
    """The last good address may answer."""
    world = healthy()
    lie(
        world,
        lambda seen: (
            says(seen, ProbeName.NETWORK, Cause.DNS, Outcome.FAIL) if world.link is None else seen
        ),
    )
    world.dial = Cause.DNS
    world.kill_link().play(120)
    world.dial = None
    world.play(120)
    assert shown(world) is State.UP


@pytest.mark.parametrize("network", [Outcome.OK, Outcome.UNKNOWN])
def test_dial_that_says_offline_against_the_routing_table(network: Outcome) -> None:
    """Shown as it is, without hammering, and dialled on: nothing else can tell when it is over."""
    world = healthy()
    lie(world, lambda seen: says(seen, ProbeName.NETWORK, None, network))
    world.dial = Cause.OFFLINE
    world.kill_link().play(600)
    assert shown(world) is State.OFFLINE
    assert 60 <= len(world.dials) <= 130
    world.dial = None
    world.play(30)
    assert shown(world) is State.UP


def test_round_that_is_never_answered_is_given_up() -> None:
    world = healthy().play_until_round_open()
    world.container = Cause.CONTAINER_EXITED
    world.play(400)
    assert world.applied == [Remedy.START_CONTAINER]


def test_dial_that_is_never_answered_is_given_up() -> None:
    world = healthy()
    honest = world.answer_dial
    world.answer_dial = lambda number: None  # type: ignore[method-assign]
    world.kill_link().play(60)
    world.answer_dial = honest  # type: ignore[method-assign]
    world.play(120)
    assert shown(world) is State.UP


def test_void_rounds_are_not_asked_for_in_a_tight_loop() -> None:
    world = healthy().play_until_round_open()
    seen = world.measure(Probe(round=world.state.round, deep=False))
    lie(world, lambda seen: says(seen, ProbeName.AGENT, Cause.AGENT, Outcome.FAIL))
    world.take(says(seen, ProbeName.RUNTIME_TUNNEL, Cause.RUNTIME_REFUSED, Outcome.FAIL))
    assert world.state.phase is Phase.SUSPECT
    before = world.state.round
    world.play(60)
    assert world.state.round - before < 20


def test_token_is_read_again_also_where_the_server_cannot_be_asked() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_AUTH
    lie(world, lambda seen: unknown(seen, ProbeName.RUNTIME_SERVER))
    world.play(150)
    assert shown(world) is State.UP
    assert world.applied == [Remedy.REFRESH_TOKEN]


# ---------------------------------------------------------------- what is shown and booked


def test_crash_loop_under_the_engines_policy_is_down_and_stays_so() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_RESTARTING
    for _ in range(20):
        world.life += 1
        world.play(60)
    states = [fact.new for fact in world.facts if isinstance(fact, StateChanged)]
    assert states == [State.UNKNOWN, State.DOWN]


def test_new_token_after_a_start_is_read_without_waiting_for_the_grace() -> None:
    world = healthy()
    world.container, mended = Cause.CONTAINER_EXITED, world.effect

    def other_token(remedy: Remedy) -> None:
        mended(remedy)
        if remedy is Remedy.START_CONTAINER:
            world.runtime = Cause.RUNTIME_AUTH

    world.effect = other_token  # type: ignore[method-assign]
    world.play(120)
    assert shown(world) is State.UP
    assert world.applied == [Remedy.START_CONTAINER, Remedy.REFRESH_TOKEN]
    verified = [fact.healthy for fact in world.facts if isinstance(fact, RemedyVerified)]
    assert verified == [True, True]


def test_start_that_the_laptop_could_not_verify_is_no_failed_start() -> None:
    world = healthy()
    world.container, mended = Cause.CONTAINER_EXITED, world.effect

    def then_offline(remedy: Remedy) -> None:
        mended(remedy)
        if remedy is Remedy.START_CONTAINER and world.link is not None:
            world.network = False
            world.post(LinkLost(number=world.link), after=1.5)
            world.link = None

    world.effect = then_offline  # type: ignore[method-assign]
    world.play(600)
    assert shown(world) is State.OFFLINE
    assert world.state.failed_starts == 0
    world.network = True
    world.play(60)
    assert shown(world) is State.UP
    assert world.applied == [Remedy.START_CONTAINER]


def test_clients_are_told_that_only_a_person_can_mend_it() -> None:
    world = healthy()
    told: list[SetAnswer] = []
    obey = world.obey

    def listen(command: object) -> None:
        if isinstance(command, SetAnswer):
            told.append(command)
        obey(command)  # type: ignore[arg-type]

    world.obey = listen  # type: ignore[method-assign]
    world.dial, world.dial_permanent = Cause.HOST_KEY, True
    world.kill_link().play(60)
    assert told[-1] == SetAnswer(cause=Cause.HOST_KEY, retry_after=float("inf"))
