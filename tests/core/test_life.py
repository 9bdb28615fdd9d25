"""Signs of life: each alone defers what would end work, and none that is missing permits it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.world import World, healthy, session_policy
from watchdogd.core.commands import RemedyRefused
from watchdogd.core.life import Rank, signs
from watchdogd.core.model import Policy
from watchdogd.core.sight import GpuTool
from watchdogd.core.words import Cause, Kind, Layer, Outcome, Refusal, Remedy, State

HOUR = 3600.0
TRAINS = Policy(watches_training=True)

ACTIVITY: dict[str, dict[str, Any]] = {
    "cpu": {"working": True},
    "disk": {"reads_disk": True},
    "gpu": {"gpu_busy": True},
    "log": {"log_grows": True},
    "progress": {"steps": 0.1},
}


SAID = {
    "cpu": "uses CPU",
    "disk": "reads or writes its disk",
    "gpu": "computes on a GPU",
    "log": "log grows",
    "progress": "the progress file was written",
}
"""By which sign it is told, though another one may hold as well."""


def reasons(world: World) -> set[Refusal]:
    return {fact.reason for fact in world.facts if isinstance(fact, RemedyRefused)}


def told(world: World, reason: Refusal) -> str:
    return [
        fact.detail
        for fact in world.facts
        if isinstance(fact, RemedyRefused) and fact.reason is reason
    ][-1]


@pytest.mark.parametrize("sign", ACTIVITY)
@pytest.mark.parametrize("cause", [Cause.RUNTIME_HUNG, Cause.RUNTIME_REFUSED])
def test_each_sign_of_life_defers_a_restart_until_it_ends(sign: str, cause: Cause) -> None:
    world = healthy(policy=TRAINS, **ACTIVITY[sign])
    world.runtime = cause
    world.play(3 * HOUR)
    assert world.applied == []
    assert Refusal.VETO in reasons(world)
    assert "waits until the work has ended" in told(world, Refusal.VETO)
    assert SAID[sign] in told(world, Refusal.VETO)
    for name in ACTIVITY[sign]:
        setattr(world, name, False)
    world.play(3 * HOUR)
    # a beacon that was seen to advance and stopped is for a person to judge
    assert world.applied == ([] if sign == "progress" else [Remedy.RESTART_CONTAINER])
    assert world.broken == []


def test_a_kernel_that_was_busy_is_a_sign_for_ten_minutes() -> None:
    world = healthy(kernel_busy=True)
    world.runtime = Cause.RUNTIME_REFUSED  # which is believed after 2 min
    world.play(500)
    assert world.applied == []
    assert Refusal.VETO in reasons(world)
    world.play(600)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_a_busy_kernel_whose_process_is_another_one_is_no_sign() -> None:
    world = healthy(kernel_busy=True)
    state = world.state
    assert [sign.rank for sign in signs(state, world.policy, world.now)] == [Rank.ACTIVITY]
    host = state.sight.host
    assert host is not None
    other = tuple(replace(one, started=one.started + 1) for one in host.processes or ())
    state = replace(state, sight=replace(state.sight, host=replace(host, processes=other)))
    assert signs(state, world.policy, world.now) == ()


def test_idle_memory_of_a_gpu_counts_for_an_hour() -> None:
    world = healthy(gpu_held=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(0.9 * HOUR)
    assert world.applied == []
    assert Refusal.VETO in reasons(world)
    world.play(0.5 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_held_memory_counts_an_hour_from_the_last_other_sign() -> None:
    """A run that waits for data for some minutes, after hours of a hang, is not ended."""
    world = healthy(gpu_held=True, working=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    world.working = False
    world.play(0.9 * HOUR)
    assert world.applied == []
    world.play(0.5 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_a_process_that_worked_and_is_still_there_may_wait_for_data() -> None:
    world = healthy(working=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    world.working = False
    world.play(0.9 * world.policy.hung_after)
    assert world.applied == []
    world.working = True
    world.play(30)
    world.working = False
    world.play(0.9 * world.policy.hung_after)
    assert world.applied == []
    world.play(300)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_a_gpu_that_somebody_else_uses_is_no_sign() -> None:
    world = healthy()  # process 4711 on GPU-1 is none of the runtime's
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


@pytest.mark.parametrize("tool", [GpuTool.FAILED, GpuTool.MISMATCH])
def test_an_unread_gpu_permits_nothing(tool: GpuTool) -> None:
    world = healthy(gpu_tool=tool)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(3 * HOUR)
    assert world.applied == []
    assert world.broken == []


def test_a_gpu_that_was_never_asked_for_permits_nothing() -> None:
    world = healthy(gpu_readable=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(3 * HOUR)
    assert world.applied == []
    assert Refusal.NO_SIGHT in reasons(world)


def test_a_runtime_without_gpus_needs_no_word_on_them() -> None:
    world = healthy(policy=Policy(gpus=False), gpu_readable=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_a_server_without_nvidia_smi_has_no_gpu_to_wait_for() -> None:
    world = healthy(gpu_tool=GpuTool.NONE)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_all_work_that_waits_is_a_hazard() -> None:
    world = healthy(pressure=0.6)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    assert world.applied == []
    assert "waits for memory or its disk" in told(world, Refusal.VETO)


def test_an_overdue_beacon_outranks_a_busy_gpu_and_a_person_is_asked() -> None:
    """F54: a collective that hangs keeps the GPU at 100 %."""
    world = healthy(policy=TRAINS, steps=0.1, gpu_busy=True)
    world.steps = 0.0
    world.play(0.4 * HOUR)
    assert world.state.verdict.cause is None
    world.play(0.3 * HOUR)
    assert world.state.shown is State.DEGRADED
    assert world.state.verdict.cause is Cause.TRAINING_STALLED
    assert world.state.verdict.usable
    world.runtime = Cause.RUNTIME_HUNG
    world.play(3 * HOUR)
    assert world.applied == []
    assert world.state.refusals == ((Remedy.RESTART_CONTAINER, Refusal.ASK),)


def test_a_stalled_training_ends_when_it_moves_again() -> None:
    world = healthy(policy=TRAINS, steps=0.1, gpu_busy=True)
    world.steps = 0.0
    world.play_until(State.DEGRADED)
    world.steps = 0.1
    world.play_until(State.UP, most=300)
    assert (Layer.TRAINING, Outcome.FAIL) not in world.state.verdict.layers


def test_signs_of_training_that_are_not_read_any_more_permit_nothing() -> None:
    """Only a log is configured, and it cannot be read since the hang: what it showed then is no sight."""
    world = healthy(policy=TRAINS, log_grows=True)
    read = world.training
    world.training = lambda: None  # type: ignore[method-assign]
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    assert world.applied == []
    assert "signs of progress" in told(world, Refusal.NO_SIGHT)
    world.log_grows = False
    world.training = read  # type: ignore[method-assign]
    world.play(HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


@pytest.mark.parametrize(
    "ended",
    [{"training_total": 10.0}, {"gpu_busy": False}, {"gpu_busy": False, "gpu_held": True}],
    ids=["at-its-total", "all-gone", "only-its-memory-is-held"],
)
def test_a_training_that_ended_is_not_stalled(ended: dict[str, object]) -> None:
    world = healthy(policy=TRAINS, steps=0.1, gpu_busy=True)
    world.steps = 0.0
    for name, value in ended.items():
        setattr(world, name, value)
    world.play(3 * HOUR)
    assert world.state.shown is State.UP


def test_an_old_progress_file_of_a_former_run_is_no_stall() -> None:
    world = World(policy=TRAINS, gpu_busy=True, stepped_at=1000.0 - 100 * HOUR, step=5.0).start()
    world.play(3 * HOUR)
    assert world.state.shown is State.UP
    world.gpu_busy = False


def test_a_long_checkpoint_is_given_three_times_the_time() -> None:
    """F53: no step for 20 min and more, in phase ``checkpoint``."""
    world = healthy(policy=TRAINS, steps=0.1, gpu_busy=True, training_phase="checkpoint")
    world.steps = 0.0
    world.play(1.4 * HOUR)
    assert world.state.shown is State.UP
    world.play(0.3 * HOUR)
    assert world.state.verdict.cause is Cause.TRAINING_STALLED


def test_slow_steps_set_their_own_deadline() -> None:
    """A checkpoint an hour, and nothing else to see: its usual gap is what counts."""
    policy = replace(TRAINS, stall_after=600.0)
    world = World(policy=policy, gpu_busy=True).start()
    world.play(60)
    for _ in range(4):  # a step an hour
        world.step, world.stepped_at = world.step + 1, world.now
        world.play(HOUR)
    assert world.state.life.progress is not None
    assert len(world.state.life.progress.gaps) >= 2
    assert world.state.verdict.cause is None


def test_a_progress_file_from_the_future_is_fresh_and_hides_no_other_sign() -> None:
    world = healthy(policy=TRAINS)
    world.stepped_at, world.step = world.now + 10 * HOUR, 1.0
    world.play(120)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(0.4 * HOUR)
    assert world.applied == []
    beacon = world.state.life.progress
    assert beacon is not None
    assert beacon.advanced <= world.now


def test_a_fresh_checkpoint_is_told_as_a_good_moment_and_never_used() -> None:
    world = healthy(policy=TRAINS, steps=1.0, checkpoints=True)
    world.play(2 * HOUR)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    texts = [fact.detail for fact in world.facts if isinstance(fact, RemedyRefused)]
    assert any("watchdogd heal" in text for text in texts)
    assert any("waits until" in text and "watchdogd heal" not in text for text in texts)
    assert world.applied == []


def test_signs_of_before_a_sleep_or_another_run_do_not_count() -> None:
    world = healthy(working=True, reads_disk=True)
    assert signs(world.state, world.policy, world.now)
    world.working = world.reads_disk = False
    world.sleep(60)
    assert signs(world.state, world.policy, world.now) == ()
    assert world.state.life.baseline is None


def test_a_session_may_use_gpus_too() -> None:
    world = healthy(policy=session_policy(), gpu_busy=True)
    assert world.policy.kind is Kind.SESSION
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    assert world.applied == []
