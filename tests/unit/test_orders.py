"""The operator's verbs on the control socket: what is handed to the loop, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.core.world import World, healthy
from watchdogd.control import Orders
from watchdogd.core.events import Approved, Event, LinkLost, Ordered, Paused, Reset, Unpaused
from watchdogd.core.model import Policy, View
from watchdogd.core.words import Cause, Mode, Remedy


class Desk:
    """One target of a world, and the operator's door."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.posted: list[Event] = []
        self.orders = Orders(
            lambda: View(targets={"a": world.state}),
            {"a": world.policy},
            lambda target, event: self.posted.append(event),
            world.env,
        )

    def ask(self, verb: str, **request: object) -> Mapping[str, object]:
        return self.orders(verb, "a", request)

    def refused(self, verb: str, **request: object) -> tuple[str, str]:
        error = self.ask(verb, **request)["error"]
        assert isinstance(error, dict)
        assert self.posted == []
        return error["code"], error["message"]


@pytest.fixture
def desk() -> Desk:
    return Desk(healthy())


def test_a_pause_has_an_end_an_actor_and_a_reason(desk: Desk) -> None:
    answer = desk.ask("pause", seconds=7200, actor="me\x1b[2J", reason="x" * 999)
    (event,) = desk.posted
    assert isinstance(event, Paused)
    assert event.until_wall == pytest.approx(desk.world.env().wall + 7200)
    assert (event.actor, len(event.reason)) == ("me [2J", 200)
    assert answer["done"] is True
    assert answer["schema"] == "watchdogd.order/1"
    assert desk.ask("pause")["until"] is None


@pytest.mark.parametrize("seconds", ["2h", -1, 0, 1e12, float("nan"), float("inf"), []])
def test_a_pause_of_no_sensible_length_is_refused(desk: Desk, seconds: object) -> None:
    assert desk.refused("pause", seconds=seconds)[0] == "bad_request"


def test_resume_and_reset(desk: Desk) -> None:
    assert desk.refused("resume") == ("refused", "a is not paused")
    desk.world.take(Paused())
    desk.ask("resume", actor="me")
    desk.ask("reset", actor="me")
    assert desk.posted == [Unpaused(actor="me"), Reset(actor="me")]


def test_approve_is_for_what_waits() -> None:
    world = healthy(policy=Policy(mode=Mode.ASK))
    desk = Desk(world)
    assert desk.refused("approve")[0] == "refused"
    world.runtime = Cause.RUNTIME_HUNG
    world.play(7200)
    assert desk.ask("approve", actor="me")["remedy"] == "restart_container"
    assert desk.posted == [Approved(actor="me")]


def test_heal_says_what_it_would_be_done_to_and_does_it() -> None:
    desk = Desk(healthy(working=True))
    plan = desk.ask("heal", remedy="restart_container", dry_run=True)
    assert desk.posted == []
    assert (plan["done"], plan["harm"], plan["container"]) == (False, "destructive", "c" * 64)
    assert plan["signs"] == ["a kernel or a program other than Jupyter itself uses CPU"]
    desk.ask("heal", remedy="restart_container", actor="me")
    assert desk.posted == [Ordered(remedy=Remedy.RESTART_CONTAINER, actor="me")]


@pytest.mark.parametrize("remedy", ["pray", None, "restart_session", "replace_container", 7])
def test_a_remedy_that_this_target_cannot_get_is_named(desk: Desk, remedy: object) -> None:
    code, message = desk.refused("heal", remedy=remedy)
    assert code == "bad_request"
    assert "restart_container" in message


@pytest.mark.parametrize("remedy", ["replace_container", "restart_kernel", "unpause_container"])
def test_a_planned_remedy_is_said_to_be_not_built(desk: Desk, remedy: str) -> None:
    assert desk.refused("heal", remedy=remedy)[1].startswith(f"{remedy} is not built yet; there")


def test_a_dry_run_without_a_link_says_that_nothing_could_be_sent() -> None:
    world = healthy()
    world.take(LinkLost(number=world.state.dialing.up or 0, detail="gone"))
    desk = Desk(world)
    plan = desk.ask("heal", remedy="restart_container", dry_run=True)
    assert "no SSH link" in str(plan["impossible"])
    assert desk.ask("heal", remedy="reconnect", dry_run=True)["impossible"] == ""


def test_heal_without_sight_is_refused() -> None:
    desk = Desk(World(server_readable=False).start().play(60))
    code, message = desk.refused("heal", remedy="restart_container")
    assert code == "refused"
    assert "does not see" in message
    plan = desk.ask("heal", remedy="restart_container", dry_run=True)
    assert plan["impossible"]


def test_a_target_that_is_not_there_yet_is_asked_for_again() -> None:
    orders = Orders(View, {}, lambda target, event: None, World().env)
    assert "error" in orders("pause", "a", {})
