"""Signs of life: each alone defers what would end work, and none that is missing permits it."""

from __future__ import annotations

from dataclasses import replace

from tests.core.world import World, healthy
from watchdogd.core.commands import RemedyRefused
from watchdogd.core.life import Rank, signs
from watchdogd.core.model import Policy
from watchdogd.core.sight import GpuTool
from watchdogd.core.words import Cause, Layer, Outcome, Refusal, Remedy, State

HOUR = 3600.0
TRAINS = Policy(watches_training=True)


def reasons(world: World) -> set[Refusal]:
    return {fact.reason for fact in world.facts if isinstance(fact, RemedyRefused)}


def told(world: World, reason: Refusal) -> str:
    return [
        fact.detail
        for fact in world.facts
        if isinstance(fact, RemedyRefused) and fact.reason is reason
    ][-1]


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
    assert "so it may only be slow, not hung" in told(world, Refusal.VETO)


def test_a_stalled_training_ends_when_it_moves_again() -> None:
    world = healthy(policy=TRAINS, steps=0.1, gpu_busy=True)
    world.steps = 0.0
    world.play_until(State.DEGRADED)
    world.steps = 0.1
    world.play_until(State.UP, most=300)
    assert (Layer.TRAINING, Outcome.FAIL) not in world.state.verdict.layers


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


def test_signs_of_before_a_sleep_or_another_run_do_not_count() -> None:
    world = healthy(working=True, reads_disk=True)
    assert signs(world.state, world.policy, world.now)
    world.working = world.reads_disk = False
    world.sleep(60)
    assert signs(world.state, world.policy, world.now) == ()
    assert world.state.life.baseline is None
