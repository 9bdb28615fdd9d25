"""When the next dial is due, failure by failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.world import World, healthy
from watchdogd.core.dialing import (
    AUTH_DIALS,
    AUTH_GAP_SECONDS,
    AUTH_REST_SECONDS,
    CAP_SECONDS,
    REJECT_CAP_SECONDS,
    YOUNG_CAP_SECONDS,
    YOUNG_SECONDS,
    dial_failed,
    link_up,
)
from watchdogd.core.events import DialFailed, LinkSpeaking, LinkUp
from watchdogd.core.link import Dialing
from watchdogd.core.words import Cause

ENV = replace(World().env(), chance=0.999)


def failing(known: Dialing, cause: Cause) -> Dialing:
    """That dial failed, told at second 0."""
    reached = cause is not Cause.SSHD_DOWN
    event = DialFailed(number=1, cause=cause, permanent=cause is Cause.AUTH, reached=reached)
    return dial_failed(known, event, ENV)


def pause(known: Dialing) -> float:
    return known.next_at - ENV.run


def test_a_refused_key_has_its_three_tries_whatever_failed_before() -> None:
    known = Dialing(up_since=ENV.run)
    for _ in range(5):
        known = failing(known, Cause.SSHD_DOWN)
    pauses = []
    for _ in range(AUTH_DIALS + 1):
        known = failing(known, Cause.AUTH)
        pauses.append(pause(known))
    assert pauses == [AUTH_GAP_SECONDS] * 2 + [AUTH_REST_SECONDS] * 2


def test_a_link_gives_the_tries_back() -> None:
    known = Dialing()
    for _ in range(AUTH_DIALS):
        known = failing(known, Cause.AUTH)
    known = link_up(known, LinkUp(number=2), ENV)
    assert pause(failing(replace(known, up=None), Cause.AUTH)) == AUTH_GAP_SECONDS


def test_a_server_that_closes_the_door_is_asked_after_15_s_and_then_ever_more_rarely() -> None:
    known, pauses = Dialing(), []
    for _ in range(9):
        known = failing(known, Cause.SSHD_REJECTS)
        pauses.append(pause(known))
    assert pauses[:6] == [15.0, 30.0, 60.0, 120.0, 240.0, 480.0]
    assert set(pauses[6:]) == {REJECT_CAP_SECONDS}


def test_a_server_that_boots_is_asked_every_few_seconds_and_one_that_is_gone_rarely() -> None:
    young = old = Dialing(lost_at=ENV.run)
    old = replace(old, lost_at=ENV.run - YOUNG_SECONDS)
    for _ in range(12):
        young, old = failing(young, Cause.SSHD_DOWN), failing(old, Cause.SSHD_DOWN)
    assert pause(young) == pytest.approx(YOUNG_CAP_SECONDS, rel=0.01)
    assert pause(old) == pytest.approx(CAP_SECONDS, rel=0.01)


def stalling(cause: Cause, seconds: float) -> World:
    """Ten minutes of a link that stalls and speaks again, while each dial beside it is refused for good."""
    world = healthy()
    world.dial, world.dial_permanent = cause, True
    end = world.now + 600
    while world.now < end:
        world.freeze_link().play(seconds)
        world.silent = False
        world.take(LinkSpeaking(number=world.link or 0))
        world.play(seconds)
    return world


@pytest.mark.parametrize("seconds", [5.0, 20.0])
def test_a_refused_key_keeps_its_pause_however_often_a_link_stalls(seconds: float) -> None:
    world = stalling(Cause.AUTH, seconds)
    assert len(world.refused) == AUTH_DIALS
    assert world.state.dialing.denied == AUTH_DIALS


@pytest.mark.parametrize("seconds", [5.0, 20.0])
def test_a_changed_host_key_is_met_once_however_often_a_link_stalls(seconds: float) -> None:
    world = stalling(Cause.HOST_KEY, seconds)
    world.kill_link().play(60)
    assert len(world.refused) == 1
    assert world.state.dialing.stopped_by is Cause.HOST_KEY


def test_nor_is_it_met_more_than_once_a_minute_where_no_stall_lasts_until_it_is_told() -> None:
    world = stalling(Cause.HOST_KEY, 0.1)
    assert len(world.refused) <= 10
