"""Dials beside a silent link: at once, and still within a budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watchdogd.core import dialing
from watchdogd.core.events import DialFailed, LinkLost, LinkSilent, LinkUp
from watchdogd.core.link import Dialing
from watchdogd.core.model import Env
from watchdogd.core.words import Cause

EVERY = 40.0
"""Seconds between two stalls: longer than a link must live to be replaced at once."""


def at(run: float) -> Env:
    return Env(run=run, boot=run, wall=run, boot_id="boot", chance=0.5)


def stalled(times: int) -> tuple[Dialing, float]:
    """A line that stalled so often, each time answered by a link beside; and the time after the last."""
    known = dialing.link_up(Dialing(), LinkUp(number=1), at(0.0))
    for number in range(2, times + 2):
        run = (number - 1) * EVERY
        known = dialing.link_silent(known, LinkSilent(number=number - 1), at(run))
        assert dialing.due(known, at(run)), number
        known = replace(known, dialing=number)
        known = dialing.link_up(known, LinkUp(number=number), at(run + 1.0))
    return known, times * EVERY + 1.0


def test_a_line_that_stalls_again_and_again_is_not_answered_by_a_login_each_time() -> None:
    known, last = stalled(dialing.CROWDED_DIALS + 1)
    now = last + 20.0
    known = dialing.link_silent(known, LinkSilent(number=known.up or 0), at(now))
    assert not dialing.due(known, at(now))
    assert dialing.due(known, at(last + dialing.CROWDED_SECONDS))


@pytest.mark.parametrize("again", [20.0, 59.0])
def test_a_link_that_ends_meanwhile_is_replaced_at_once(again: float) -> None:
    known, last = stalled(dialing.CROWDED_DIALS + 1)
    number = known.up or 0
    known = dialing.link_silent(known, LinkSilent(number=number), at(last + 15.0))
    known = dialing.link_lost(known, LinkLost(number=number), at(last + again))
    assert dialing.due(known, at(last + again))


def test_a_change_of_network_does_not_lift_it() -> None:
    known, last = stalled(dialing.CROWDED_DIALS + 1)
    known = dialing.link_silent(known, LinkSilent(number=known.up or 0), at(last + 15.0))
    known = dialing.reset(known, at(last + 16.0))
    assert not dialing.due(known, at(last + 16.0))
    assert dialing.due(known, at(last + dialing.CROWDED_SECONDS))


def test_links_that_end_at_once_are_made_again_soon_and_then_once_a_minute() -> None:
    known, run, waits = Dialing(), 0.0, []
    for number in range(1, 16):
        known = dialing.link_up(known, LinkUp(number=number), at(run))
        known = dialing.link_lost(known, LinkLost(number=number), at(run + 1.0))
        waits.append(known.next_at - (run + 1.0))
        run = known.next_at
    few = dialing.CROWDED_DIALS
    assert max(waits[:few]) <= dialing.YOUNG_CAP_SECONDS
    assert min(waits[few:]) > dialing.YOUNG_CAP_SECONDS
    assert max(waits) <= dialing.CAP_SECONDS


@pytest.mark.parametrize(("lived", "attempt"), [(29.0, 7), (30.0, 0)])
def test_what_is_lost_after_a_link_that_lived_is_another_fault(lived: float, attempt: int) -> None:
    known = replace(dialing.link_up(Dialing(), LinkUp(number=1), at(0.0)), attempt=7)
    known = dialing.link_lost(known, LinkLost(number=1), at(lived))
    assert (known.attempt, known.next_at) == (attempt, lived)


def test_ten_minutes_later_it_is_forgotten() -> None:
    known, last = stalled(dialing.CROWDED_DIALS + 1)
    later = last + dialing.FORGET_SECONDS
    known = dialing.link_silent(known, LinkSilent(number=known.up or 0), at(later))
    assert dialing.due(known, at(later))


def cut_in_the_key_exchange(cause: Cause, times: int) -> list[float]:
    """The pause after each of so many dials that reached sshd and ended so."""
    known, run, pauses = Dialing(lost_at=0.0), 0.0, []
    for number in range(1, times + 1):
        told = DialFailed(number=number, cause=cause, permanent=False, reached=True)
        known = dialing.dial_failed(known, told, at(run))
        pauses.append(known.next_at - run)
        run = known.next_at
    return pauses


def test_a_few_dials_that_were_cut_behind_an_open_door_are_made_again_soon() -> None:
    spare = dialing.SPARE_DIALS
    pauses = cut_in_the_key_exchange(Cause.HOST_UNREACHABLE, dialing.CROWDED_DIALS + 4)
    assert max(pauses[:spare]) < dialing.UNAUTHENTICATED_SECONDS
    assert min(pauses[spare:]) >= dialing.UNAUTHENTICATED_SECONDS
    assert min(pauses[dialing.CROWDED_DIALS :]) >= dialing.CROWDED_SECONDS


def test_a_closed_door_is_never_tried_again_so_soon() -> None:
    pauses = cut_in_the_key_exchange(Cause.SSHD_REJECTS, dialing.SPARE_DIALS)
    assert min(pauses) >= dialing.UNAUTHENTICATED_SECONDS
