"""The resume hook: once for each generation after a proved repair, and nothing worse ever comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.world import World, healthy, session_policy
from watchdogd.core import resuming
from watchdogd.core.commands import (
    HookBegan,
    HookEnded,
    RemedyVerified,
    ResumeEnded,
    ResumeHalted,
    ResumeWithheld,
)
from watchdogd.core.events import HookFinished, Ordered, Paused, Reset, SettingsChanged, Unpaused
from watchdogd.core.machine import at_rest
from watchdogd.core.model import Policy
from watchdogd.core.operating import memory
from watchdogd.core.resume import Trial
from watchdogd.core.sight import Generation
from watchdogd.core.words import Cause, Mode, Phase, Refusal, Remedy, Result, State

RESUMES = Policy(resumes=True, watches_training=True, watches_progress=True)
BLIND_RESUMES = Policy(resumes=True)
"""Without a progress file."""
START = Remedy.START_CONTAINER


def training(**truth: object) -> World:
    """A target whose training makes a step a second, and is resumed at that pace."""
    known: dict[str, object] = {"policy": RESUMES, "steps": 1.0, "resumes_at": 1.0}
    return healthy(**known | truth)


def crash(world: World, cause: Cause = Cause.CONTAINER_EXITED) -> World:
    """The container ends, and the training with it; it is started again."""
    world.steps = 0.0
    world.container = cause
    return world


def crash_at(world: World, step: float) -> World:
    """It trains so far, and no further; if it runs at all."""
    if world.steps:
        world.play(max(0.0, step - world.step))
        world.train()
        world.step = step
    return crash(world)


def repaired(world: World) -> World:
    return world.play(60).play_until(State.UP).play(120)


def told(world: World, kind: type) -> list[object]:
    return [fact for fact in world.facts if isinstance(fact, kind)]


def ended(world: World) -> list[tuple[bool, int]]:
    return [(one.moved, one.failures) for one in world.facts if isinstance(one, ResumeEnded)]


def withheld(world: World) -> list[Refusal]:
    return [one.reason for one in world.facts if isinstance(one, ResumeWithheld)]


# ---------------------------------------------------------------- when it runs


def test_a_started_container_is_resumed_once_and_the_training_goes_on() -> None:
    world = training()
    repaired(crash(world))
    world.play(3600)
    assert world.applied == [START]
    (hook,) = world.hooks
    assert (hook.attempt, hook.back, hook.generation.started) == (1, 0, "life-2")
    assert hook.step == pytest.approx(world.step, rel=1.0)
    assert hook.incident
    assert ended(world) == [(True, 0)]
    assert at_rest(world.state)
    assert world.broken == []


def test_it_runs_after_health_was_proved_and_not_before() -> None:
    world = training()
    repaired(crash(world))
    kinds = [type(fact) for fact in world.facts]
    assert kinds.index(RemedyVerified) < kinds.index(HookBegan) < kinds.index(HookEnded)


@pytest.mark.parametrize("policy", [RESUMES, BLIND_RESUMES])
def test_a_new_link_resumes_nothing(policy: Policy) -> None:
    world = training(policy=policy)
    world.freeze_link().play(300)
    world.kill_link().play(300)
    world.dial = Cause.SSHD_DOWN
    world.kill_link().play(300)
    world.dial = None
    world.play_until(State.UP).play(300)
    assert Remedy.RECONNECT in world.applied
    assert world.hooks == []


def test_without_a_command_nothing_is_remembered() -> None:
    world = training(policy=Policy(watches_training=True, watches_progress=True))
    repaired(crash(world))
    assert world.applied == [START]
    assert world.hooks == []
    assert world.state.resume is None
    assert memory(world.state).resume is None


def test_a_restart_by_a_person_is_resumed_by_that_person() -> None:
    world = training()
    world.steps, world.life = 0.0, world.life + 1
    world.play(600)
    assert (world.hooks, withheld(world)) == ([], [])


def test_a_session_that_was_started_is_resumed_too() -> None:
    world = training(policy=session_policy(**{"resumes": True}))
    world.container = Cause.SESSION_MISSING
    world.runtime = Cause.RUNTIME_REFUSED
    world.play(900)
    assert Remedy.START_SESSION in world.applied
    assert [one.generation.container for one in world.hooks] == [f"9:{world.life}"]


def test_a_restart_that_a_person_ordered_is_resumed() -> None:
    world = training()
    world.steps = 0.0
    world.take(Ordered(remedy=Remedy.RESTART_CONTAINER))
    world.play(600)
    assert len(world.hooks) == 1


def test_a_repair_that_found_nothing_to_do_resumes_nothing() -> None:
    world = training(forbids=(Refusal.VETO, "somebody was faster"))
    crash(world)
    world.play(60)
    assert world.applied == [START]
    world.container, world.life = None, world.life + 1  # whoever was faster
    world.play(900)
    assert (world.hooks, world.broken) == ([], [])


def test_what_was_not_replaced_goes_on_and_is_not_resumed() -> None:
    world = training(policy=BLIND_RESUMES, remedies_work=False, remedy_result=Result.UNKNOWN)
    crash(world).play(60)
    assert world.applied == [START]
    world.container, world.steps = None, 1.0  # it had been there all the time
    world.play(600)
    assert world.state.shown is State.UP
    assert world.hooks == []


def test_health_that_comes_late_is_still_the_repairs() -> None:
    world = training(policy=replace(RESUMES, start_grace=60.0))
    crash(world)
    world.remedies_work = False
    world.play(30)
    world.container, world.life, world.runtime = None, world.life + 1, Cause.RUNTIME_REFUSED
    world.play(120)
    assert world.state.phase is Phase.HELD
    world.runtime = None
    world.play(120)
    assert [one.generation.started for one in world.hooks] == ["life-2"]


def test_after_a_repair_that_failed_what_a_person_starts_is_that_persons() -> None:
    world = training(policy=replace(RESUMES, start_grace=60.0), remedies_work=False)
    crash(world)
    world.play(100)
    assert world.state.phase is not Phase.ACTING
    world.play(400)
    world.take(Paused())
    world.container, world.life = None, world.life + 1
    world.play(300)
    world.take(Unpaused())
    world.play(300)
    assert world.state.shown is State.UP
    assert world.hooks == []


def failed_start(policy: Policy = RESUMES) -> World:
    """The first repair failed, and nothing runs yet."""
    world = training(policy=replace(policy, start_grace=60.0), remedies_work=False)
    world.remedy_result = Result.FAILED
    crash(world)
    while not world.applied:
        world.play(0.5)
    return world.play(1.5)


def working_again(world: World) -> World:
    """From here on a repair does what it should."""
    world.remedies_work, world.remedy_result = True, Result.DONE
    return world


@pytest.mark.parametrize("policy", [RESUMES, BLIND_RESUMES])
def test_a_repair_that_was_held_back_after_one_that_failed_takes_no_persons_run_for_its_own(
    policy: Policy,
) -> None:
    world = failed_start(policy)
    world.forbids = (Refusal.PAUSED, "PAUSE is there")
    while len(world.applied) < 2:
        world.play(0.5)
    world.play(2)
    world.container, world.life = None, world.life + 1  # who made the file PAUSE
    world.play(600)
    assert (world.applied, world.state.shown) == ([START, START], State.UP)
    assert (world.hooks, world.broken) == ([], [])


def test_a_repair_that_works_after_one_that_failed_is_resumed() -> None:
    world = working_again(failed_start())
    world.play(600)
    assert world.applied == [START, START]
    assert [one.generation.started for one in world.hooks] == ["life-2"]


def test_killed_in_a_repair_after_one_that_failed_it_is_resumed_as_well() -> None:
    world = working_again(failed_start())
    while len(world.applied) < 2:
        world.play(0.5)
    world.start(memory=world.killed(), open=(START,)).play(600)
    assert [one.generation.started for one in world.hooks] == ["life-2"]


@pytest.mark.parametrize("policy", [RESUMES, BLIND_RESUMES])
@pytest.mark.parametrize("sign", ["kernel_busy", "gpu_held"])
def test_what_works_after_days_of_sleep_is_a_persons_and_is_left_alone(
    policy: Policy, sign: str
) -> None:
    world = training(policy=policy)
    crash(world)
    while world.state.phase is not Phase.VERIFYING:
        world.play(0.5)
    world.sleep(2 * 86400)
    world.link, world.life = None, world.life + 1
    setattr(world, sign, True)
    world.play(400)
    assert world.state.shown is State.UP
    assert (world.hooks, withheld(world)) == ([], [Refusal.VETO])


@pytest.mark.parametrize("unread", [5.0, 300.0])
def test_a_gpu_that_may_be_anybodys_withholds_nothing(unread: float) -> None:
    """The container that was just started cannot be asked for its processes; a neighbour holds a GPU."""
    world = training()
    crash(world)
    while world.state.phase is not Phase.VERIFYING:
        world.play(0.5)
    world.processes_readable = False
    world.play(unread)
    world.processes_readable = True
    world.play(300)
    assert [one.generation.started for one in world.hooks] == ["life-2"]
    assert withheld(world) == []


def test_before_it_was_read_what_runs_the_debt_is_neither_paid_nor_forgotten() -> None:
    world = training(policy=BLIND_RESUMES)
    crash(world)
    while world.state.phase is not Phase.ACTING:
        world.play(0.5)
    world.server_readable = False
    world.play(300)
    assert (world.state.shown, world.hooks) == (State.UP, [])
    world.server_readable = True
    world.play(300)
    assert [one.generation.started for one in world.hooks] == ["life-2"]


def test_a_training_that_goes_on_by_itself_gets_no_second_one() -> None:
    world = training()
    crash(world).steps = 1.0  # the image starts it
    repaired(world)
    assert world.hooks == []
    assert withheld(world) == [Refusal.VETO]
    assert world.state.shown is State.UP


# ---------------------------------------------------------------- when it must not


def test_a_repair_proved_in_a_pause_is_not_resumed_then_nor_later() -> None:
    world = training()
    crash(world)
    while world.state.phase is not Phase.ACTING:
        world.play(0.5)
    world.take(Paused())
    world.play(600)
    assert withheld(world) == [Refusal.PAUSED]
    world.take(Unpaused())
    world.play(600)
    assert (world.hooks, world.broken) == ([], [])
    assert world.state.shown is State.UP


def test_in_observe_a_person_may_restart_it_and_nothing_is_resumed() -> None:
    world = training(policy=replace(RESUMES, mode=Mode.OBSERVE))
    world.steps = 0.0
    world.take(Ordered(remedy=Remedy.RESTART_CONTAINER))
    world.play(600)
    assert Remedy.RESTART_CONTAINER in world.applied
    assert (world.hooks, withheld(world), world.broken) == ([], [Refusal.OBSERVE], [])


def test_in_ask_it_runs_as_it_ends_nothing() -> None:
    world = training(policy=replace(RESUMES, mode=Mode.ASK))
    repaired(crash(world))
    assert len(world.hooks) == 1


def test_an_agent_that_crashed_again_and_again_waits_with_it() -> None:
    world = training()
    crash(world)
    while not world.hooks and world.state.phase is not Phase.VERIFYING:
        world.play(0.5)
    world.start(memory=world.killed(), observe_seconds=600.0).play(590)
    assert world.state.shown is State.UP
    assert world.hooks == []
    world.play(120)
    assert len(world.hooks) == 1


# ---------------------------------------------------------------- what becomes of it


@pytest.mark.parametrize("result", [Result.FAILED, Result.UNKNOWN, None])
@pytest.mark.parametrize("policy", [RESUMES, BLIND_RESUMES])
def test_a_hook_that_fails_or_hangs_is_told_and_nothing_else_is_done(
    policy: Policy, result: Result | None
) -> None:
    world = training(policy=policy, hook_result=result)
    repaired(crash(world))
    world.play(3600)
    assert ended(world) == [(False, 1)]
    assert world.applied == [START]
    assert len(world.hooks) == 1
    assert world.state.shown is State.UP
    assert world.broken == []


def test_no_answer_is_given_up_after_the_time_that_its_end_takes() -> None:
    world = training(hook_result=None)
    repaired(crash(world))
    (end,) = told(world, HookEnded)
    assert isinstance(end, HookEnded)
    assert end.result is Result.UNKNOWN
    most = resuming.HOOK_SECONDS + resuming.ENDING_SECONDS
    assert end.seconds == pytest.approx(most, abs=1.0)
    world.take(HookFinished(key=world.hooks[0].key, result=Result.DONE))
    assert ended(world) == [(False, 1)]


def test_without_progress_in_ten_minutes_the_resume_failed() -> None:
    world = training(resumes_at=0.0)
    repaired(crash(world))
    began = world.now
    while not ended(world):
        world.play(5)
        assert world.now - began < 1200
    assert ended(world) == [(False, 1)]
    (end,) = told(world, HookEnded)
    assert world.now - began > resuming.PROGRESS_SECONDS - 200
    world.play(3600)
    assert (world.applied, len(world.hooks)) == ([START], 1)
    assert isinstance(end, HookEnded)
    assert end.result is Result.DONE


def test_what_could_not_be_read_is_no_failure() -> None:
    world = training(resumes_at=0.0)
    crash(world)
    while not world.hooks:
        world.play(1)
    world.server_readable = False
    world.play(1800)
    assert ended(world) == []
    world.steps, world.server_readable = 1.0, True
    world.play(300)
    assert ended(world) == [(True, 0)]


def test_lost_at_the_same_step_twice_it_goes_back_one_checkpoint_and_then_halts() -> None:
    world = training()
    for _ in range(5):
        repaired(crash_at(world, 1050.0)).play(600)
    assert [(one.attempt, one.back, one.step) for one in world.hooks] == [
        (1, 0, 1050.0),
        (2, 0, 1050.0),
        (3, 1, 1050.0),
    ]
    (halted,) = told(world, ResumeHalted)
    assert halted == ResumeHalted(step=1050.0, failures=3)
    assert withheld(world) == [Refusal.HALTED, Refusal.HALTED]
    assert world.state.shown is State.UP, "its tunnel and its container are kept all the same"
    assert world.applied == [START] * 5
    assert world.broken == []


def test_what_moved_and_tells_no_step_is_resumed_as_often_as_it_is_lost() -> None:
    world = training(tells_step=False)
    for _ in range(5):
        repaired(crash(world)).play(4000)
    assert [(one.attempt, one.back, one.step) for one in world.hooks] == [(1, 0, None)] * 5
    assert (ended(world), withheld(world)) == ([(True, 0)] * 5, [])


def test_what_breaks_while_the_hook_runs_is_owed_one_of_its_own() -> None:
    world = training(hook_result=None)
    crash(world)
    while not world.hooks:
        world.play(0.5)
    world.hook_result = Result.DONE
    crash(world).play(600)
    assert world.applied == [START, START]
    assert [one.generation.started for one in world.hooks] == ["life-2", "life-3"]


def test_a_crash_soon_after_the_resume_is_resumed_as_soon() -> None:
    world = training()
    for _ in range(2):
        crash(world).play(120)
    assert [one.attempt for one in world.hooks] == [1, 1]


def test_a_reset_lets_the_next_repair_resume_again() -> None:
    world = training(hook_result=Result.FAILED)
    for _ in range(4):
        repaired(crash(world)).play(4000)
    assert len(world.hooks) == 3
    assert world.state.resume is not None
    assert world.state.resume.halted
    world.take(Reset())
    world.play(600)
    assert len(world.hooks) == 3, "one generation has one hook, whatever a person resets"
    repaired(crash(world))
    assert [(one.attempt, one.back) for one in world.hooks[3:]] == [(1, 0)]


def test_another_step_is_another_matter() -> None:
    world = training()
    for step in (1000.0, 2000.0, 3000.0, 4000.0):
        repaired(crash_at(world, step))
        world.play(300)
    assert [one.attempt for one in world.hooks] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, None, True),
        (None, 5.0, False),
        (0.0, 0.0, True),
        (0.0, 1.0, False),
        (10_000.0, 10_010.0, True),
        (10_000.0, 10_011.0, False),
        (500.0, 10_000.0, False),
    ],
)
def test_what_the_same_step_is(one: float | None, other: float | None, same: bool) -> None:
    assert resuming.same_step(one, other) is same
    assert resuming.same_step(other, one) is same


# ---------------------------------------------------------------- what survives


def test_killed_while_it_runs_it_is_not_repeated_and_its_progress_is_watched() -> None:
    world = training(hook_result=None)
    crash(world)
    while not world.hooks:
        world.play(0.5)
    world.start(memory=world.killed(), hook=world.hooks[0].generation)
    world.steps = 1.0
    world.play(1200)
    assert len(world.hooks) == 1
    assert ended(world) == [(True, 0)]


def test_killed_after_the_repair_and_before_its_proof_it_is_not_forgotten() -> None:
    world = training()
    crash(world)
    while world.state.phase is not Phase.VERIFYING:
        world.play(0.5)
    world.start(memory=world.killed()).play(600)
    assert len(world.hooks) == 1


def test_killed_before_the_decision_was_kept_the_open_intent_is_enough() -> None:
    world = training()
    kept = memory(world.state)
    crash(world)
    while world.state.phase is not Phase.ACTING:
        world.play(0.5)
    world.killed()
    world.container = None
    world.life += 1
    world.start(memory=kept, open=(START,)).play(600)
    assert len(world.hooks) == 1


def test_a_hook_that_the_journal_could_not_keep_is_tried_again() -> None:
    world = training(hook_result=Result.NOTHING)
    crash(world)
    while not world.hooks:
        world.play(0.5)
    world.play(10)
    assert world.state.hook is None
    world.hooks.clear()
    world.hook_result = Result.DONE
    world.play(120)
    assert len(world.hooks) == 1
    assert ended(world) == [(True, 0)]


def test_another_runtime_behind_the_tunnel_owes_nothing() -> None:
    world = training(hook_result=Result.FAILED)
    repaired(crash(world))
    world.take(SettingsChanged(runtime=True))
    assert world.state.resume is not None
    assert (world.state.resume.failures, world.state.resume.trial) == (0, Trial.NONE)
    assert world.state.resume.ran == world.hooks[0].generation
    world.play(900)
    assert len(world.hooks) == 1


def test_no_longer_wanted_it_is_not_run() -> None:
    world = training()
    crash(world)
    while world.state.phase is not Phase.VERIFYING:
        world.play(0.5)
    world.policy = replace(RESUMES, resumes=False)
    world.play(600)
    assert world.hooks == []
    assert world.state.resume is not None
    assert world.state.resume.lost is None


def test_a_generation_is_the_run_of_the_runtime_whatever_is_known_of_the_server() -> None:
    one = Generation(boot_id="b", container="c", started="t")
    assert resuming.same_run(one, replace(one, boot_id=None))
    assert not resuming.same_run(one, replace(one, started="u"))
    assert not resuming.same_run(None, one)
