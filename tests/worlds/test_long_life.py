"""Signs of life over hours: a restart waits as long as they last, and what was never seen permits none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.test_life import HOUR, TRAINS, reasons, told
from tests.core.world import World, healthy, session_policy
from watchdogd.core.commands import RemedyRefused
from watchdogd.core.sight import GpuTool
from watchdogd.core.words import Cause, Kind, Refusal, Remedy, State

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


def test_signs_of_training_that_are_not_read_any_more_permit_nothing() -> None:
    """Only a log is configured, and it cannot be read since the hang: what it showed then is no sight."""
    world = healthy(policy=TRAINS, log_grows=True)
    read = world.training
    world.training = lambda: None  # type: ignore[method-assign]
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    assert world.applied == []
    assert "the training's progress could not be read" in told(world, Refusal.NO_SIGHT)
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


def test_a_fresh_checkpoint_is_told_as_a_good_moment_and_never_used() -> None:
    world = healthy(policy=TRAINS, steps=1.0, checkpoints=True)
    world.play(2 * HOUR)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    texts = [fact.detail for fact in world.facts if isinstance(fact, RemedyRefused)]
    assert any("watchdogd heal" in text for text in texts)
    assert any("waits until" in text and "watchdogd heal" not in text for text in texts)
    assert world.applied == []


def test_a_session_may_use_gpus_too() -> None:
    world = healthy(policy=session_policy(), gpu_busy=True)
    assert world.policy.kind is Kind.SESSION
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    assert world.applied == []


def test_idle_memory_of_a_gpu_counts_for_an_hour() -> None:
    world = healthy(gpu_held=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(0.9 * HOUR)
    assert world.applied == []
    assert Refusal.VETO in reasons(world)
    world.play(0.5 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]


def test_a_long_checkpoint_is_given_three_times_the_time() -> None:
    """F53: no step for 20 min and more, in phase ``checkpoint``."""
    world = healthy(policy=TRAINS, steps=0.1, gpu_busy=True, training_phase="checkpoint")
    world.steps = 0.0
    world.play(1.4 * HOUR)
    assert world.state.shown is State.UP
    world.play(0.3 * HOUR)
    assert world.state.verdict.cause is Cause.TRAINING_STALLED
