"""``why`` tells what ``choose`` decides, and when the next remedy can come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.world import World, healthy
from watchdogd.core.choose import choose
from watchdogd.core.events import Paused, Reset
from watchdogd.core.holds import NEVER, ONCE
from watchdogd.core.model import Policy
from watchdogd.core.unaided import unaided
from watchdogd.core.why import Why, why
from watchdogd.core.words import Cause, Mode, Refusal, Remedy

HOUR = 3600.0
RESTART = Remedy.RESTART_CONTAINER


def told(world: World) -> Why:
    return why(world.state, world.policy, world.env())


def commands(world: World) -> list[str]:
    return [way.verb for way in told(world).answer.ways]


def hung(seconds: float, **truth: object) -> World:
    world = healthy(**truth)
    world.runtime = Cause.RUNTIME_HUNG
    return world.play(seconds)


def test_every_refusal_has_what_would_change_it() -> None:
    assert set(ONCE) | set(NEVER) == set(Refusal)
    assert not set(ONCE) & set(NEVER)


def test_of_a_healthy_target_there_is_nothing_to_tell() -> None:
    found = told(healthy())
    assert found.answer.says == "nothing is wrong"
    assert found.answer.ways == ()
    assert found.rungs == ()


def test_a_hang_is_counted_and_dated() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    world.play(200)
    found = told(world)
    (rung,) = found.rungs
    assert (rung.remedy, rung.refusal) == (RESTART, Refusal.GRACE)
    assert (found.needed_fails, found.needed_seconds) == (20, 600.0)
    assert 0 < found.seconds < 200
    assert rung.earliest is not None
    assert rung.budget == 2
    assert found.answer.remedy is RESTART
    assert found.answer.then.startswith("yes, in 7m 5s at the earliest")
    began = world.now
    world.play(HOUR)
    # an estimate: rounds of a hung runtime take longer than the pause between them
    assert world.applied_at[0] - began == pytest.approx(rung.earliest, rel=0.35)


@pytest.mark.parametrize("seconds", [60, 100])
def test_where_the_count_of_looks_is_what_locks_it_is_what_is_estimated(seconds: float) -> None:
    world = hung(seconds, policy=Policy(hung_after=6.0))
    found = told(world)
    (rung,) = found.rungs
    assert rung.earliest is not None
    assert found.seconds > found.needed_seconds
    began = world.now
    world.play(HOUR)
    # each look takes its timeout, 10 s, and 5 s pass until the next one
    assert world.applied_at[0] - began == pytest.approx(rung.earliest, rel=0.1)


def test_it_says_the_same_as_the_choice() -> None:
    for truth in ({}, {"working": True}, {"gpu_readable": False}, {"pressure": 0.9}):
        world = healthy(**truth)
        world.runtime = Cause.RUNTIME_HUNG
        for _ in range(30):
            world.play(60)
            choice = choose(world.state, world.policy, world.env())
            rungs = told(world).rungs
            if world.state.intent is None:
                assert [
                    (one.remedy, one.refusal, one.detail) for one in rungs if one.refusal
                ] == list(choice.refusals)


def test_work_and_what_cannot_be_read_are_no_matter_of_time() -> None:
    for truth, reason in (
        ({"working": True}, Refusal.VETO),
        ({"gpu_readable": False}, Refusal.NO_SIGHT),
    ):
        world = healthy(**truth)
        world.runtime = Cause.RUNTIME_HUNG
        world.play(HOUR)
        (rung,) = told(world).rungs
        assert (rung.refusal, rung.earliest) == (reason, None)
        assert told(world).answer.says.endswith(rung.detail)
        assert told(world).answer.then.startswith("yes, once ")
        assert commands(world) == ["pause", "heal"]
        assert ("KILLS the work" in told(world).answer.ways[1].does) is (reason is Refusal.VETO)
        assert bool(told(world).signs) is (reason is Refusal.VETO)


def test_a_spent_budget_says_when_age_gives_one_back() -> None:
    world = healthy(policy=Policy(destructive_per_6h=1))
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    assert world.applied == [RESTART]
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    (rung,) = told(world).rungs
    assert (rung.refusal, rung.budget) == (Refusal.BUDGET, 0)
    assert 3 * HOUR < rung.next_budget < 6 * HOUR
    assert rung.earliest == pytest.approx(rung.next_budget)
    assert rung.window == (1, 6 * HOUR)
    assert told(world).answer.then.startswith("yes, in 4h ")
    assert "docker logs --tail 50 colab" in told(world).answer.yours


def test_modes_and_pauses_are_told() -> None:
    world = healthy(policy=Policy(mode=Mode.ASK))
    world.runtime = Cause.RUNTIME_HUNG
    world.play(200)
    assert told(world).answer.then == "never: a person is asked, in 7m 5s at the earliest"
    assert (told(world).answer.yours, commands(world)) == ("nothing to do", ["heal"])
    world.play(HOUR)
    assert told(world).waits_for_person is RESTART
    assert commands(world) == ["approve"]
    assert told(world).answer.then.startswith("never: ")
    world.take(Paused())
    assert told(world).answer.says.startswith("the target is paused by a person: nothing but ")
    assert commands(world) == ["resume"]
    observing = healthy(policy=Policy(mode=Mode.OBSERVE))
    observing.runtime = Cause.RUNTIME_HUNG
    observing.play(HOUR)
    assert told(observing).answer.then.startswith("never: ")
    assert commands(observing) == ["heal"]


def test_what_is_missing_is_told_and_not_what_is_there() -> None:
    world = hung(200)
    streak = world.state.streak
    for fails, seconds, missing in (
        (4, 100.0, "for 1m 40s of the 10m that are needed (4 of 20 looks)"),
        (40, 100.0, "for 1m 40s of the 10m that are needed"),
        (4, 601.0, "in 4 of the 20 looks that are needed"),
    ):
        world.state = replace(
            world.state, streak=replace(streak, fails=fails, observed_seconds=seconds)
        )
        (rung,) = told(world).rungs
        assert rung.detail == f"it was seen failing {missing}"


def test_what_holds_it_back_after_its_clocks_is_told_beforehand() -> None:
    world = healthy(working=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(300)
    (rung,) = told(world).rungs
    assert (rung.refusal, rung.earliest) == (Refusal.GRACE, None)
    assert rung.after is not None
    assert rung.after[0] is Refusal.VETO
    assert rung.after[1] in told(world).answer.says
    assert told(world).answer.then.startswith("yes, when both hold: 5m")
    assert "the work has ended" in told(world).answer.then


def test_what_the_last_look_forbade_is_told_while_it_holds() -> None:
    world = healthy()
    world.runtime = Cause.RUNTIME_HUNG
    world.forbids = (Refusal.PAUSED, "PAUSE exists on the server")
    while world.state.last_look is None:
        world.play(10)
    world.play(5)
    (rung,) = told(world).rungs
    assert (rung.remedy, rung.refusal) == (RESTART, Refusal.PAUSED)
    assert rung.detail.startswith("PAUSE exists on the server, and that file forbids restarts")
    assert told(world).answer.then.startswith("not while that file is there; ")
    assert commands(world) == ["pause"]  # PAUSE stops an order of a person as well


def test_a_remedy_that_runs_is_what_comes_next() -> None:
    world = healthy()
    world.container = Cause.CONTAINER_EXITED
    while world.state.intent is None:
        world.play(0.5)
    assert told(world).answer.says == "start_container is being done now"


def test_held_memory_of_a_gpu_is_a_matter_of_time_and_that_time_is_right() -> None:
    world = hung(0.7 * HOUR, gpu_held=True)
    (rung,) = told(world).rungs
    assert rung.refusal is Refusal.VETO
    assert rung.earliest is not None
    began = world.now
    world.play(HOUR)
    assert world.applied_at[0] - began == pytest.approx(rung.earliest, rel=0.1)


def test_a_reset_in_vain_is_not_offered_and_one_that_helps_does_what_is_said() -> None:
    world = hung(3 * HOUR, remedies_work=False)
    before = len(world.applied)
    world.take(Reset())
    world.play(3 * HOUR)
    assert len(world.applied) == before  # the limit of 2 in 6h holds for 3h 10m
    world.play(0.5 * HOUR)
    assert len(world.applied) == before + 1


def test_what_was_looked_at_is_named_and_what_was_not() -> None:
    world = hung(200, policy=Policy(watches_training=True))
    found = told(world)
    assert found.looked_at == ("processes", "disk use", "GPU", "training files")
    assert found.not_looked_at == ("kernels",)
    seen = hung(HOUR, working=True)
    assert told(seen).processes == (42,)


@pytest.mark.parametrize("cause", Cause)
def test_a_cause_without_a_remedy_is_explained(cause: Cause) -> None:
    bare = unaided(cause, "", "")
    assert all(bare)
    assert bare.yours != "nothing to do"
    full = unaided(cause, "what was found", "a command")
    assert full.says.endswith("(what was found)")
    assert full.yours.endswith("; the command stands below")


def test_a_restart_that_comes_by_itself_tells_its_cost_and_what_prevents_it() -> None:
    world = hung(200)
    assert "loses every kernel's variables" in told(world).answer.yours
    assert commands(world) == ["pause", "heal"]
    world.take(Paused())
    world.play(3 * HOUR)
    assert world.applied == []


def test_a_training_that_stands_still_is_named_with_its_time() -> None:
    world = healthy(policy=Policy(watches_training=True), steps=1.0)
    world.steps = 0.0
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    says = told(world).answer.says
    assert "the training stands still (the progress file last advanced 2h ago)" in says
    assert "approve" in commands(world)


def test_in_mode_ask_an_approval_is_not_offered_before_it_counts() -> None:
    world = hung(HOUR, policy=Policy(mode=Mode.ASK), working=True)
    assert told(world).waits_for_person is None
    assert commands(world) == ["heal"]
    world.working = False
    world.play(HOUR)
    assert commands(world) == ["approve"]


def test_what_is_given_time_is_named() -> None:
    world = healthy()
    world.life += 1
    world.runtime = Cause.RUNTIME_HUNG
    world.play(50)
    says = told(world).answer.says
    assert "not seen it healthy since its container was started anew" in says
    assert "what runs there was started, or first seen, " in says
    again = hung(HOUR, working=True)
    again.state = replace(again.state, grace_until=again.env().run + 10)
    assert "for another 10s" in told(again).answer.says


def test_a_paused_target_is_told_as_of_the_last_look_on_its_server() -> None:
    world = healthy(working=True)
    world.take(Paused())
    world.play(HOUR + 40)
    found = told(world)
    assert found.looked_ago > 0
    assert "could not be read" not in found.unread
    assert told(healthy()).looked_ago == 0


def test_only_hazards_that_would_have_been_seen_are_named() -> None:
    assert told(hung(HOUR)).hazards_looked_for == ("disk", "load", "a fresh boot", "GPU driver")
    blind = told(hung(HOUR, gpu_readable=False))
    assert blind.hazards_looked_for == ("disk", "load", "a fresh boot")


def test_what_nothing_holds_back_is_next_and_says_when() -> None:
    world = hung(HOUR, fleet=5)
    found = why(world.state, world.policy, replace(world.env(), fleet=0)).answer
    assert found.says == f"nothing holds {RESTART} back; it is next"
    assert found.then.startswith("yes, at the next look, within about 15s")
    assert [way.verb for way in found.ways] == ["pause"]


def test_without_a_link_the_next_dial_is_told_and_not_the_pause_of_a_remedy() -> None:
    world = healthy()
    world.dial = Cause.SSHD_DOWN
    answer = told(world.kill_link().play(55)).answer
    assert answer.says.startswith(
        "there is no SSH link (sshd_down); the next dial is in 3.2s, after "
    )
    assert answer.then == "yes: it is dialed again and again, until the server lets it in"
    assert "at the earliest" not in answer.then


@pytest.mark.parametrize(
    ("cause", "offered"), [(Cause.HOST_UNREACHABLE, ["heal"]), (Cause.SSHD_REJECTS, [])]
)
def test_a_dial_by_hand_is_offered_but_not_to_who_counts_them(
    cause: Cause, offered: list[str]
) -> None:
    world = healthy()
    world.dial = cause
    assert commands(world.kill_link().play(455)) == offered


def test_a_refused_key_is_a_person_s_part_and_then_it_is_dialed_at_once() -> None:
    world = healthy()
    world.dial, world.dial_permanent = Cause.AUTH, True
    answer = told(world.kill_link().play(30)).answer
    assert "the key was refused); the next dial is in" in answer.says
    assert answer.then.startswith("not before a key is accepted")
    assert "accept this laptop's key" in answer.yours
    assert [(way.verb, way.remedy) for way in answer.ways] == [("heal", Remedy.RECONNECT)]
