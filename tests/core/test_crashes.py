"""Which starts of the agent are a crash loop, and what it does in one."""

from __future__ import annotations

from tests.core.world import World
from watchdogd.core.crashes import Start, observes_until
from watchdogd.core.model import Env
from watchdogd.core.words import Cause, Refusal, Remedy

NOW = Env(run=1.0, boot=5000.0, wall=1.7e9, boot_id="b", chance=0.5)


def start(ago: float, *, asked: bool = False, until: float = 0.0, boot_id: str = "b") -> Start:
    return Start(boot=5000.0 - ago, boot_id=boot_id, asked=asked, observes_until=until)


def test_the_third_start_within_10_minutes_observes_for_10() -> None:
    assert observes_until((start(300), start(5)), NOW) == 5600.0
    assert observes_until((start(599), start(300)), NOW) == 5600.0


def test_fewer_older_asked_or_former_boots_starts_are_no_crash_loop() -> None:
    for earlier in (
        (),
        (start(5),),
        (start(601), start(300)),
        (start(300, asked=True), start(5)),
        (start(300), start(5, asked=True)),
        (start(300, boot_id="a"), start(5)),
    ):
        assert observes_until(earlier, NOW) == 0.0, earlier


def test_a_restart_keeps_what_is_left_to_observe_and_a_crash_begins_it_anew() -> None:
    crashed = (start(400), start(300))
    assert observes_until((*crashed, start(200, asked=True, until=5400.0)), NOW) == 5400.0
    assert observes_until((*crashed, start(200, until=5400.0)), NOW) == 5600.0
    assert observes_until((start(700, asked=True, until=4900.0),), NOW) == 0.0


def test_while_it_observes_it_says_why_and_ends_nothing() -> None:
    world = World().start(observe_seconds=600.0).play(60)
    world.container = Cause.CONTAINER_EXITED
    world.play(500)
    assert world.applied == []
    assert world.state.refusals == ((Remedy.START_CONTAINER, Refusal.OBSERVE),)
    world.play(60)
    assert world.applied == [Remedy.START_CONTAINER]


def test_the_tunnel_is_kept_up_meanwhile() -> None:
    world = World().start(observe_seconds=600.0).play(60)
    link = world.link
    world.kill_link().play(30)
    assert world.link is not None
    assert world.link != link


def test_the_laptops_sleep_is_no_life() -> None:
    world = World().start(observe_seconds=600.0).play(60)
    world.container = Cause.CONTAINER_EXITED
    world.sleep(3600.0).play(300)
    assert Remedy.START_CONTAINER not in world.applied
