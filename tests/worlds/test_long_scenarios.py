"""Faults that last for hours: the exact list of remedies still, and a state that does not grow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.test_scenarios import HOUR, causes, done, reasons, shown
from tests.core.world import World, healthy
from watchdogd.core.commands import RemedyRefused
from watchdogd.core.events import FilesChanged
from watchdogd.core.model import (
    Charge,
    Policy,
)
from watchdogd.core.words import (
    Cause,
    Mode,
    Refusal,
    Remedy,
    Result,
    State,
)


def test_starts_up_and_stays_up_without_touching_anything() -> None:
    world = World().start().play(4 * HOUR)
    assert shown(world) is State.UP
    assert len(world.dials) == 1
    done(world)


def test_person_who_stopped_the_container_is_respected() -> None:
    world = healthy(stopped_by_person=True)
    world.container = Cause.CONTAINER_EXITED
    world.play(2 * HOUR)
    assert shown(world) is State.DOWN
    assert reasons(world) == {Refusal.OPERATOR}
    done(world)


def test_start_that_fails_is_given_up_after_three() -> None:
    world = healthy(remedy_result=Result.FAILED)
    world.container = Cause.CONTAINER_EXITED
    world.play(4 * HOUR)
    assert Refusal.FAILED_START in reasons(world)
    done(world, *[Remedy.START_CONTAINER] * 3)


def test_work_in_the_container_defers_a_restart_until_it_ends() -> None:
    world = healthy(working=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(4 * HOUR)
    assert world.applied == []
    assert Refusal.VETO in reasons(world)
    world.working = False
    world.play(HOUR)
    done(world, Remedy.RESTART_CONTAINER)


def test_silent_tunnel_alone_never_reaches_a_destructive_remedy() -> None:
    world = healthy(remedies_work=False)
    world.runtime, world.runtime_seen_on_server = Cause.RUNTIME_HUNG, False
    world.play(4 * HOUR)
    assert set(world.applied) == {Remedy.REOPEN_FORWARD, Remedy.RECONNECT}
    assert world.broken == []


def test_no_sight_of_the_server_permits_only_a_reconnect() -> None:
    world = healthy(server_readable=False, remedies_work=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(4 * HOUR)
    assert set(world.applied) == {Remedy.RECONNECT}
    assert world.broken == []


def test_unread_processes_permit_no_restart() -> None:
    world = healthy(processes_readable=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(4 * HOUR)
    assert Refusal.NO_SIGHT in reasons(world)
    done(world)


def test_two_restarts_in_six_hours_and_no_third() -> None:
    world = healthy(policy=Policy(cooldown=60.0))
    for _ in range(3):
        world.runtime = Cause.RUNTIME_HUNG
        world.play(HOUR)
    assert Refusal.BUDGET in reasons(world)
    done(world, Remedy.RESTART_CONTAINER, Remedy.RESTART_CONTAINER)


def test_budget_survives_a_restart_of_the_agent() -> None:
    spent = tuple(
        Charge(
            remedy=Remedy.RESTART_CONTAINER,
            key=f"old:{number}",
            wall=1.7e9 + 1000 - 600,
            boot=400.0,
            boot_id="laptop-boot",
        )
        for number in range(2)
    )
    world = World().start(charges=spent).play(300)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    assert Refusal.BUDGET in reasons(world)
    done(world)


def test_restart_that_does_not_help_halts_after_two() -> None:
    world = healthy(policy=Policy(cooldown=60.0), remedies_work=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(4 * HOUR)
    assert Refusal.HALTED in reasons(world)
    done(world, Remedy.RESTART_CONTAINER, Remedy.RESTART_CONTAINER)


def test_unarmed_generation_is_not_restarted() -> None:
    world = World(runtime=Cause.RUNTIME_HUNG).start().play(2 * HOUR)
    assert Refusal.UNARMED in reasons(world)
    done(world)


def test_observe_changes_nothing_outside() -> None:
    world = healthy(policy=Policy(mode=Mode.OBSERVE))
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    world.runtime, world.container = None, Cause.CONTAINER_EXITED
    world.play(2 * HOUR)
    assert Refusal.OBSERVE in reasons(world)
    done(world)


def test_many_outages_leave_the_state_small() -> None:
    world = healthy()
    for _ in range(4):
        world.dial = Cause.SSHD_DOWN
        world.kill_link().play(HOUR)
        world.dial = None
        world.play(HOUR)
    assert len(repr(world.state)) < 20_000
    assert world.broken == []


def test_unknown_who_stopped_it_permits_nothing() -> None:
    world = healthy(stopped_by_person=None)
    world.container = Cause.CONTAINER_EXITED
    world.play(HOUR)
    assert reasons(world) == {Refusal.NO_SIGHT}
    done(world)


def test_missing_image_is_told_and_never_tried() -> None:
    world = World(container=Cause.CONTAINER_MISSING, image_present=False).start().play(HOUR)
    assert Refusal.FAILED_START in reasons(world)
    done(world)


def test_without_a_journal_the_agent_only_observes() -> None:
    world = World().start(journal_ok=False).play(300)
    world.container = Cause.CONTAINER_EXITED
    world.play(HOUR)
    assert reasons(world) == {Refusal.OBSERVE}
    done(world)


def test_host_key_is_never_dialled_again_until_files_change() -> None:
    world = healthy()
    world.dial, world.dial_permanent = Cause.HOST_KEY, True
    world.kill_link().play(HOUR)
    assert shown(world) is State.DOWN
    assert len(world.dials) == 1
    world.dial = None
    world.take(FilesChanged())
    world.play(60)
    assert shown(world) is State.UP
    assert set(world.applied) <= {Remedy.RECONNECT}


def test_refused_login_is_tried_rarely() -> None:
    world = healthy()
    world.dial, world.dial_permanent = Cause.AUTH, True
    world.kill_link().play(HOUR)
    tries = len(world.dials) + world.applied.count(Remedy.RECONNECT)
    assert 3 <= tries <= 8
    assert world.broken == []


@pytest.mark.parametrize("cause", [Cause.CONTAINER_AMBIGUOUS, Cause.CONTAINER_PAUSED])
def test_what_only_a_person_can_mend_is_told(cause: Cause) -> None:
    world = healthy()
    world.container = cause
    world.play(HOUR)
    assert causes(world) == [cause]
    assert shown(world) is State.DOWN
    done(world)


def test_spent_budget_says_when_it_comes_back() -> None:
    world = healthy()
    spent = tuple(
        Charge(
            remedy=Remedy.START_CONTAINER,
            key=f"old:{number}",
            wall=1.7e9 + world.now - 60.0 * number,
            boot=world.now - 60.0 * number,
            boot_id="laptop-boot",
        )
        for number in range(5)
    )
    world.state = replace(world.state, charges=spent)
    world.container = Cause.CONTAINER_EXITED
    world.play(60)
    told = [fact.detail for fact in world.facts if isinstance(fact, RemedyRefused)]
    assert any("(5 in 1h)" in one and "once more in 5" in one for one in told), told
    world.play(HOUR)
    done(world, Remedy.START_CONTAINER)
