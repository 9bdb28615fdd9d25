"""What goes wrong rarely, and then for hours: nothing is tried without end, and nothing is forgiven by time."""

from __future__ import annotations

from dataclasses import replace

from tests.core.test_hard_cases import HOUR, boot_of, lie, reasons, says, shown, unknown
from tests.core.world import World, healthy
from watchdogd.core.events import Observed
from watchdogd.core.model import Policy
from watchdogd.core.words import (
    Cause,
    Outcome,
    ProbeName,
    Refusal,
    Remedy,
    State,
)


def test_healthy_without_a_known_identity_arms_nothing() -> None:
    world = World(server_readable=False).start().play(300)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(660)
    world.server_readable = True
    world.play(2 * HOUR)
    assert Remedy.RESTART_CONTAINER not in world.applied
    assert Refusal.UNARMED in reasons(world)


def test_second_death_for_want_of_memory_is_not_forgiven_by_time() -> None:
    world = healthy()
    for _ in range(2):
        world.container = Cause.CONTAINER_OOM
        world.play(300)
    world.play(4 * HOUR)
    assert world.applied == [Remedy.START_CONTAINER]


def test_restart_after_which_it_never_was_healthy_needs_a_person() -> None:
    world = healthy(policy=Policy(cooldown=60.0))
    world.runtime, mended = Cause.RUNTIME_HUNG, world.effect

    def in_vain(remedy: Remedy) -> None:
        mended(remedy)
        world.runtime = Cause.RUNTIME_HUNG

    world.effect = in_vain  # type: ignore[method-assign]
    world.play(4 * HOUR)
    assert world.applied == [Remedy.RESTART_CONTAINER]
    assert world.state.refusals == ((Remedy.RESTART_CONTAINER, Refusal.HALTED),)


def test_an_answer_through_the_tunnel_is_life_whatever_the_server_saw() -> None:
    world = healthy(remedies_work=False)
    world.runtime = Cause.RUNTIME_HUNG
    cause = Cause.RUNTIME_AUTH
    lie(world, lambda seen: says(seen, ProbeName.RUNTIME_TUNNEL, cause, Outcome.FAIL))
    world.play(2 * HOUR)
    assert set(world.applied) == {Remedy.REFRESH_TOKEN}


def test_sshd_that_rejects_is_asked_ever_more_rarely() -> None:
    world = healthy()
    world.dial = Cause.SSHD_REJECTS
    world.kill_link().play(3 * HOUR)
    gaps = [b - a for a, b in zip(world.applied_at, world.applied_at[1:], strict=False)]
    assert [round(gap) for gap in gaps[:6]] == [30, 60, 120, 240, 480, 900]
    assert {round(gap) for gap in gaps[6:]} == {900}


def test_hours_of_reconnects_leave_the_state_small() -> None:
    world = healthy(server_readable=False, remedies_work=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(6 * HOUR)
    assert len(repr(world.state)) < 20_000
    assert len(world.state.harmless) < 100


def test_person_who_stopped_it_is_respected_after_a_reboot_of_the_server() -> None:
    """A reboot takes the engine's events along, not what was seen of them."""
    world = healthy(stopped_by_person=True)
    world.container = Cause.CONTAINER_EXITED
    world.play(600)
    world.stopped_by_person = None
    lie(world, lambda seen: boot_of(seen, "second-boot"))
    world.play(HOUR)
    assert reasons(world) == {Refusal.OPERATOR}
    assert world.applied == []


def test_person_who_removed_it_is_respected_when_the_engine_forgot() -> None:
    world = healthy()
    world.container, forgot = Cause.CONTAINER_MISSING, False

    def removed(seen: Observed) -> Observed:
        container = seen.sight.container
        if container is None or container.id is not None:
            return seen
        word = replace(container, stopped_by_person=None if forgot else True)
        return replace(seen, sight=replace(seen.sight, container=word))

    lie(world, removed)
    world.play(300)
    forgot = True
    world.play(HOUR)
    assert world.applied == []


def test_nothing_is_created_while_a_runtime_answers_on_the_server() -> None:
    world = World(container=Cause.CONTAINER_MISSING)
    lie(
        world,
        lambda seen: says(
            unknown(seen, ProbeName.RUNTIME_TUNNEL), ProbeName.RUNTIME_SERVER, None, Outcome.OK
        ),
    )
    world.start().play(HOUR)
    assert world.applied == []


def test_causes_that_take_turns_are_an_outage_too() -> None:
    world = healthy()
    turn = 0

    def another(seen: Observed) -> Observed:
        nonlocal turn
        turn += 1
        cause = (Cause.RUNTIME_ERROR, Cause.RUNTIME_REFUSED)[turn % 2]
        for probe in (ProbeName.RUNTIME_TUNNEL, ProbeName.RUNTIME_SERVER):
            seen = says(seen, probe, cause, Outcome.FAIL)
        return seen

    lie(world, another)
    world.play(120)
    assert shown(world) is State.DOWN
    world.play(HOUR)
    assert shown(world) is State.DOWN
    assert world.applied == []


def test_reconnects_without_sight_grow_rare() -> None:
    world = healthy(server_readable=False, remedies_work=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)
    gaps = [b - a for a, b in zip(world.applied_at, world.applied_at[1:], strict=False)]
    assert set(world.applied) == {Remedy.RECONNECT}
    assert min(gaps[-5:]) > 60
