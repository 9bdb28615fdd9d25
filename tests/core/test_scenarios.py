"""Faults against the core: the exact list of remedies, not only the recovery."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.world import World, healthy, session_policy
from watchdogd.core.choose import choose
from watchdogd.core.commands import (
    IncidentClosed,
    IncidentOpened,
    Reconnected,
    RemedyRefused,
    RemedyVerified,
)
from watchdogd.core.events import Observed
from watchdogd.core.judge import judge
from watchdogd.core.ladders import BY_KIND
from watchdogd.core.model import (
    Observation,
)
from watchdogd.core.words import (
    Cause,
    Kind,
    Layer,
    Outcome,
    Phase,
    ProbeName,
    Refusal,
    Remedy,
    Result,
    State,
    Vantage,
)

HOUR = 3600.0


def shown(world: World) -> State:
    return world.state.shown


def reasons(world: World) -> set[Refusal]:
    return {fact.reason for fact in world.facts if isinstance(fact, RemedyRefused)}


def causes(world: World) -> list[Cause]:
    return [fact.incident.cause for fact in world.facts if isinstance(fact, IncidentOpened)]


def done(world: World, *remedies: Remedy) -> None:
    """The remedies applied are exactly these, and no invariant was broken on the way."""
    assert world.applied == list(remedies)
    assert world.broken == []


def test_lost_link_is_dialled_again_at_once_and_is_no_incident() -> None:
    world = healthy().kill_link().play(60)
    assert shown(world) is State.UP
    assert len(world.dials) == 1
    reconnects = [fact for fact in world.facts if isinstance(fact, Reconnected)]
    assert [fact.cause for fact in reconnects] == [Cause.LINK_LOST]
    assert reconnects[0].seconds < 0.2
    assert causes(world) == []
    done(world)


def test_silent_link_gets_a_second_one_beside_it() -> None:
    world = healthy().freeze_link().play(60)
    assert shown(world) is State.UP
    assert len(world.dials) == 1
    done(world)


def test_dial_that_ends_after_the_outage_was_confirmed_is_not_dialled_over() -> None:
    world = healthy(dial_seconds=25.0)
    world.freeze_link().play_until(State.DOWN, 25)
    world.play(60)
    assert shown(world) is State.UP
    assert len(world.dials) == 1
    done(world)


def test_server_gone_for_ten_minutes_is_reconnected_only() -> None:
    world = healthy()
    world.dial = Cause.SSHD_DOWN
    world.kill_link().play(600)
    assert world.state.shown in (State.DOWN, State.HEALING)
    assert causes(world) == [Cause.LINK_LOST] or causes(world) == [Cause.SSHD_DOWN]
    world.dial = None
    world.play(180)
    assert shown(world) is State.UP
    assert set(world.applied) == {Remedy.RECONNECT}
    assert world.broken == []


def test_container_that_exited_is_started_after_two_reads() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    began = world.now
    world.play(120)
    assert shown(world) is State.UP
    assert world.applied_at[0] - began >= world.policy.read_gap
    assert causes(world) == [Cause.CONTAINER_EXITED]
    done(world, Remedy.START_CONTAINER)


def test_incident_closes_after_stable_health() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    world.play(300)
    closed = [fact for fact in world.facts if isinstance(fact, IncidentClosed)]
    assert len(closed) == 1
    assert 10 < closed[0].duration_seconds < 60
    assert world.state.incident is None


def test_engines_own_restart_policy_is_left_to_do_it() -> None:
    world = healthy(own_policy=True)
    world.container = Cause.CONTAINER_EXITED
    world.play(45)
    assert reasons(world) <= {Refusal.COOLDOWN}
    world.container, world.life = None, 2
    world.play(120)
    assert shown(world) is State.UP
    done(world)


def test_missing_container_is_created_after_the_grace() -> None:
    world = World(container=Cause.CONTAINER_MISSING).start().play(120)
    assert shown(world) is State.UP
    assert world.applied_at[0] >= 1000 + world.policy.wake_grace
    done(world, Remedy.CREATE_CONTAINER)


def test_second_death_for_want_of_memory_within_an_hour_halts() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_OOM
    world.play(300)
    assert world.applied == [Remedy.START_CONTAINER]
    world.container = Cause.CONTAINER_OOM
    world.play(3 * 600)
    assert Refusal.HALTED in reasons(world)
    done(world, Remedy.START_CONTAINER)


def test_hung_runtime_is_restarted_once_after_hung_after() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    began = world.now
    world.play(HOUR)
    assert shown(world) is State.UP
    assert world.applied_at[0] - began >= world.policy.hung_after
    done(world, Remedy.RESTART_CONTAINER)


def test_refused_runtime_is_restarted_after_two_minutes() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_REFUSED
    began = world.now
    world.play(HOUR)
    assert 120 <= world.applied_at[0] - began < 600
    done(world, Remedy.RESTART_CONTAINER)


def test_container_swapped_at_the_last_moment_gets_its_own_time() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    began = world.now
    world.play(0.9 * world.policy.hung_after)
    fails = world.state.streak.fails
    world.life += 1
    world.play(60)
    assert world.state.streak.fails < fails
    world.play(0.5 * world.policy.hung_after)
    assert world.applied == [], world.applied_at[0] - began
    assert world.broken == []


def test_offline_laptop_touches_nothing_and_dials_nothing() -> None:
    world = healthy()
    world.network = False
    world.kill_link().play(600)
    assert shown(world) is State.OFFLINE
    assert len(world.dials) <= 2
    done(world)
    world.network = True
    world.play(30)
    assert shown(world) is State.UP
    assert causes(world) == []


def test_eight_hours_of_sleep_are_booked_asleep_and_harm_nobody() -> None:
    world = healthy(working=True)
    world.sleep(8 * HOUR).kill_link().play(120)
    assert shown(world) is State.UP
    assert world.state.account.seconds[State.ASLEEP] == pytest.approx(8 * HOUR)
    assert State.DOWN not in world.state.account.seconds
    done(world)


def test_sleep_brings_no_restart_forward() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    world.play(300).sleep(HOUR).play(0.8 * world.policy.hung_after)
    done(world)


def test_missing_view_is_opened_while_the_target_stays_usable() -> None:
    world = healthy()
    world.view = False
    world.play(150)
    assert shown(world) is State.UP
    done(world, Remedy.OPEN_SESSION)


@pytest.mark.parametrize("lost", [Cause.CONTAINER_MISSING, Cause.CONTAINER_EXITED])
def test_container_started_without_its_view_counts_as_healed_at_once(lost: Cause) -> None:
    """What is usable and lacks but its view is not waited for, is no failed start, and is never down."""
    world = healthy()
    world.container, world.view = lost, False
    while world.state.phase is not Phase.VERIFYING:
        world.play(1)
    restored = world.now
    while Remedy.OPEN_SESSION not in world.applied:
        assert shown(world) in (State.HEALING, State.DEGRADED)
        world.play(1)
    assert world.now - restored < 30
    assert world.state.failed_starts == 0
    world.play(150)
    assert shown(world) is State.UP
    done(world, BY_KIND[Kind.CONTAINER][lost][0], Remedy.OPEN_SESSION)
    verified = [fact.healthy for fact in world.facts if isinstance(fact, RemedyVerified)]
    assert verified == [True, True]


def test_what_could_not_be_looked_at_is_told_with_what_mends_it() -> None:
    def seen(probe: ProbeName, layer: Layer, outcome: Outcome, **more: Any) -> Observation:
        place: dict[str, Any] = {"vantage": Vantage.SERVER, "started": 0.0, "ended": 0.0}
        return Observation(probe=probe, layer=layer, outcome=outcome, **place, **more)

    refused: dict[str, Any] = {"cause": Cause.RUNTIME_REFUSED, "detail": "the port is closed"}
    verdict = judge(
        [
            seen(
                ProbeName.CONTAINER,
                Layer.CONTAINER,
                Outcome.UNKNOWN,
                detail="there is no docker program",
                mend="install docker",
            ),
            seen(ProbeName.RUNTIME_TUNNEL, Layer.RUNTIME, Outcome.FAIL, **refused),
            seen(ProbeName.RUNTIME_SERVER, Layer.RUNTIME, Outcome.FAIL, **refused),
        ],
        Kind.CONTAINER,
    )
    assert verdict.cause is Cause.RUNTIME_REFUSED
    assert verdict.detail == "the port is closed; there is no docker program"
    assert verdict.mend == "install docker"


def test_runtime_that_refuses_the_token_gets_it_read_again() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_AUTH
    world.play(150)
    assert shown(world) is State.UP
    done(world, Remedy.REFRESH_TOKEN)


def test_session_that_ended_is_started() -> None:
    world = healthy(policy=session_policy())
    world.container = Cause.SESSION_MISSING
    world.play(120)
    assert shown(world) is State.UP
    done(world, Remedy.START_SESSION)


def test_hung_session_is_restarted() -> None:
    world = healthy(policy=session_policy())
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    done(world, Remedy.RESTART_SESSION)


def test_lost_result_is_verified_not_repeated() -> None:
    world = healthy(remedy_result=Result.UNKNOWN)
    world.container = Cause.CONTAINER_EXITED
    world.play(200)
    assert world.applied == [Remedy.START_CONTAINER]
    world.container, world.life = None, 2
    world.play(120)
    assert shown(world) is State.UP
    done(world, Remedy.START_CONTAINER)


def test_nothing_done_gives_the_charge_back() -> None:
    world = healthy(remedy_result=Result.NOTHING)
    world.container = Cause.CONTAINER_EXITED
    world.play(60)
    assert world.state.charges == ()
    assert world.broken == []


def test_late_round_that_began_before_a_remedy_ended_is_not_counted() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    world.play_until(State.HEALING)
    while world.state.phase is Phase.ACTING:
        world.play(0.1)
    before = world.state
    late = Observed(
        round=before.round,
        started=before.ignore_before - 1.0,
        observations=(world.one(ProbeName.RUNTIME_TUNNEL, Cause.RUNTIME_REFUSED, Vantage.TUNNEL),),
    )
    world.take(late)
    assert world.state.streak == before.streak


def test_refusal_is_told_again_every_minute_while_it_lasts() -> None:
    world = healthy(stopped_by_person=True)
    world.container = Cause.CONTAINER_EXITED
    world.play(300)
    world.state = replace(
        world.state, round_open=True
    )  # a round that hangs must not end the telling
    world.queue.clear()
    world.facts.clear()
    world.play(300)
    told = [fact for fact in world.facts if isinstance(fact, RemedyRefused)]
    assert 4 <= len(told) <= 6


def test_unknown_rounds_neither_raise_nor_clear_a_counter() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    world.play(120)
    before = world.state.streak
    world.play_until_round_open()
    world.take(Observed(round=world.state.round, started=world.now, observations=()))
    assert before.fails > 3
    assert world.state.streak.fails in (before.fails, before.fails + 1)
    assert world.state.streak.cause is Cause.RUNTIME_HUNG


def test_restart_needs_the_server_to_show_the_fault() -> None:
    """All other locks open, only the server's word is another one."""
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    world.play(590)
    ready = replace(
        world.state,
        streak=replace(world.state.streak, fails=99, observed_seconds=9999.0),
        destructive_grace_until=0.0,
    )
    assert choose(ready, world.policy, world.env()).remedy is Remedy.RESTART_CONTAINER
    served = replace(ready, verdict=replace(ready.verdict, served=True))
    choice = choose(served, world.policy, world.env())
    assert choice.remedy is None
    assert [reason for _, reason, _ in choice.refusals] == [Refusal.NO_SIGHT]


def test_reconnect_after_an_outage_is_counted_by_what_caused_it() -> None:
    world = healthy()
    world.dial = Cause.SSHD_DOWN
    world.kill_link().play(30)
    world.dial = None
    world.play(120)
    assert shown(world) is State.UP
    told = [fact.cause for fact in world.facts if isinstance(fact, Reconnected)]
    assert told == [Cause.SSHD_DOWN]
