"""This laptop's own network: captive portals, changes, wakes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.core.world import World, healthy
from watchdogd.core import dialing
from watchdogd.core.commands import AskLink, Dial, IncidentOpened
from watchdogd.core.dialing import (
    CROWDED_DIALS,
    CROWDED_SECONDS,
    EASED_SECONDS,
    NEVER,
    PORTAL_DIAL_SECONDS,
    UNAUTHENTICATED_SECONDS,
)
from watchdogd.core.events import (
    DialFailed,
    LinkSilent,
    LinkSpeaking,
    LinkUp,
    NetworkChanged,
    Resumed,
)
from watchdogd.core.link import Dialing
from watchdogd.core.machine import step
from watchdogd.core.network import UNTOLD_SECONDS
from watchdogd.core.words import Cause, Phase, Remedy, State

ANOTHER, GONE = NetworkChanged(routed=True), NetworkChanged(routed=False)


def behind_a_portal(**truth: object) -> World:
    world = healthy(**truth)
    world.portal = True
    return world.kill_link().play(20)


def refusing(cause: Cause) -> World:
    """A healthy target to whose server no further dial succeeds; back-offs are as long as they get."""
    world = healthy(chance=0.99)
    world.dial, world.dial_permanent = cause, cause is Cause.HOST_KEY
    return world


def told(world: World) -> list[Cause]:
    return [fact.incident.cause for fact in world.facts if isinstance(fact, IncidentOpened)]


# ---------------------------------------------------------------- a captive portal


def test_a_portals_host_key_is_no_word_of_the_server() -> None:
    world = behind_a_portal()
    assert (world.state.shown, told(world)) == (State.OFFLINE, [])
    assert world.state.dialing.stopped_by is None


def test_once_logged_in_it_connects_at_once_and_nobody_has_to_mend_a_key() -> None:
    world = behind_a_portal()
    before = len(world.dials)
    world.portal = False
    world.play(6)
    assert len(world.dials) == before + 1
    world.play_until(State.UP, 10)
    assert told(world) == []


def test_behind_a_portal_one_dial_in_15_minutes() -> None:
    world = behind_a_portal()
    world.dials.clear()
    world.play(PORTAL_DIAL_SECONDS - 30)
    assert world.dials == []
    world.play(4 * PORTAL_DIAL_SECONDS)
    assert len(world.dials) == 4


def test_the_first_round_that_meets_a_portal_holds_the_dials() -> None:
    world = refusing(Cause.HOST_UNREACHABLE)
    world.kill_link().play(0.1)
    world.portal, world.dial = True, None
    world.play_until_round_open()
    world.take(world.measure_deep(world.state.round))
    world.dials.clear()
    world.take(replace(ANOTHER))
    assert world.dials == []


def test_a_dial_in_spite_of_a_portal_that_is_none_ends_it() -> None:
    """The canary is what is wrong: a link proves more than any page."""
    world = healthy()
    world.portal = True
    world.kill_link()
    world.take(DialFailed(number=99, cause=Cause.LINK_LOST, permanent=False, reached=False))
    world.play(20)
    world.post(LinkUp(number=100))
    world.play_until(State.UP, 30)


def test_a_key_that_was_refused_long_before_the_portal_stays_refused() -> None:
    world = refusing(Cause.HOST_KEY)
    world.kill_link().play(600)
    assert world.state.dialing.stopped_by is Cause.HOST_KEY
    world.dials.clear()
    world.portal = True
    world.play(600)
    world.portal = False
    world.play(3600)
    assert world.dials == []
    assert world.state.verdict.cause is Cause.HOST_KEY


def test_without_a_portal_a_refused_key_is_told_within_the_next_round() -> None:
    world = refusing(Cause.HOST_KEY)
    world.kill_link().play(5)
    assert told(world) == [Cause.HOST_KEY]


def test_a_round_from_before_the_refusal_says_nothing_of_the_key() -> None:
    """Its canaries were asked before the portal was there, its ssh probe saw the refused key."""
    world = refusing(Cause.HOST_KEY)
    world.kill_link().play_until_round_open()
    early = world.measure_deep(world.state.round)
    world.now += 0.5
    refused = DialFailed(number=2, cause=Cause.HOST_KEY, permanent=True, reached=True)
    world.take(refused)
    world.take(early)
    assert world.state.verdict.cause is not Cause.HOST_KEY
    assert told(world) == []


def test_where_no_canary_answers_a_refused_key_is_told_a_little_later() -> None:
    world = refusing(Cause.HOST_KEY)
    world.network_untold = True
    world.kill_link().play(UNTOLD_SECONDS - 5)
    assert (told(world), len(world.dials)) == ([], 1)
    world.play(15)
    assert told(world) == [Cause.HOST_KEY]


def test_a_portal_that_first_drops_all_and_then_shows_itself_is_no_changed_key() -> None:
    world = healthy()
    world.portal, world.network_untold = True, True
    world.kill_link().play(10)
    world.network_untold = False
    world.play(30)
    assert (told(world), world.state.shown) == ([], State.OFFLINE)


def test_a_key_that_was_told_where_no_canary_answered_stays_refused_behind_a_portal() -> None:
    world = refusing(Cause.HOST_KEY)
    world.network_untold = True
    world.kill_link().play(UNTOLD_SECONDS + 30)
    assert told(world) == [Cause.HOST_KEY]
    world.refused.clear()
    world.network_untold, world.portal = False, True
    world.play(120)
    world.portal = False
    world.play(3600)
    assert (world.refused, world.state.dialing.stopped_by) == ([], Cause.HOST_KEY)
    assert world.state.verdict.cause is Cause.HOST_KEY


@pytest.mark.parametrize(("seconds", "untold"), [(0.1, False), (10.0, True)])
def test_a_portal_that_was_left_before_it_was_known_stops_no_later_dial(
    seconds: float, untold: bool
) -> None:
    """A link dialled beside the silent one met its key; back home the old one speaks again, for a while."""
    world = healthy()
    world.portal, world.network_untold = True, untold
    world.freeze_link().play(seconds)
    assert world.state.dialing.stopped_by is Cause.HOST_KEY
    world.portal = world.network_untold = world.portal_key = world.silent = False
    world.take(LinkSpeaking(number=world.link or 0))
    world.play(120)
    world.kill_link().play(30)
    assert (world.state.shown, told(world)) == (State.UP, [])


def test_a_portal_does_not_lift_the_pause_of_who_knocked_too_often() -> None:
    world = World()
    times = tuple(world.now - 20 + second for second in range(CROWDED_DIALS + 2))
    stopped = Dialing(charged=times, stopped_by=Cause.HOST_KEY, host_key_after=times[-1])
    known = dialing.portal_seen(stopped, world.now, world.env())
    assert known.stopped_by is None
    assert known.next_at == world.now + CROWDED_SECONDS
    assert dialing.reset(known, world.env()).next_at == known.next_at


def test_a_portal_is_no_verdict_on_the_runtime_and_no_remedy_runs() -> None:
    world = behind_a_portal(working=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(3600)
    assert (world.applied, told(world), world.broken) == ([], [], [])
    assert world.state.phase is Phase.BLIND


def test_after_a_wake_behind_a_portal_it_is_found_again() -> None:
    world = behind_a_portal()
    world.sleep(3600).play(30)
    assert (world.state.shown, told(world)) == (State.OFFLINE, [])
    world.portal = False
    world.play_until(State.UP, 30)


# ---------------------------------------------------------------- another network


def test_a_link_that_speaks_is_asked_and_nothing_is_dialled() -> None:
    world = healthy()
    world.take(ANOTHER)
    world.play(30)
    assert (world.asked, world.dials) == ([world.link], [])
    assert world.state.shown is State.UP


def test_where_it_stays_silent_a_link_is_dialled_beside_at_once() -> None:
    world = healthy()
    world.take(ANOTHER)
    at = world.now + 1.25
    world.post(LinkSilent(number=world.link or 0), after=1.25)
    world.play(5)
    assert world.dials == [at]


def test_a_silent_link_is_not_asked_and_the_next_is_dialled_at_once() -> None:
    world = refusing(Cause.HOST_UNREACHABLE)
    world.freeze_link().play(6.5)
    assert world.state.dialing.next_at > world.now
    world.dial = None
    world.dials.clear()
    world.take(ANOTHER)
    assert (world.asked, world.dials) == ([], [world.now])


@pytest.mark.parametrize("cause", [Cause.HOST_UNREACHABLE, Cause.DNS, Cause.SSHD_DOWN])
def test_without_a_link_there_is_a_dial_at_once_whatever_the_back_off_says(cause: Cause) -> None:
    world = refusing(cause)
    world.kill_link().play(900)
    world.dial = None
    world.take(ANOTHER)
    world.play(2)
    assert world.link is not None
    world.play_until(State.UP, 15)


def test_back_from_offline_it_dials_before_any_round_has_said_so() -> None:
    world = healthy()
    world.network = False
    world.kill_link().play(120)
    assert world.state.shown is State.OFFLINE
    world.network = True
    world.dials.clear()
    world.take(ANOTHER)
    assert world.dials == [world.now]


def test_without_a_way_nothing_is_dialled_and_it_is_looked_at_once() -> None:
    world = healthy()
    world.network = False
    rounds = world.state.round
    world.take(GONE)
    assert (world.asked, world.dials) == ([], [])
    assert world.state.round == rounds + 1


def test_a_refused_key_stays_refused_in_any_network() -> None:
    world = refusing(Cause.HOST_KEY)
    world.kill_link().play(60)
    world.dials.clear()
    for _ in range(5):
        world.take(ANOTHER)
        world.play(30)
    assert world.dials == []


def test_a_network_that_comes_and_goes_does_not_hammer_on_sshd() -> None:
    world = refusing(Cause.SSHD_REJECTS)
    world.kill_link()
    for _ in range(600):
        world.take(ANOTHER)
        world.play(1)
    assert len(world.dials) <= CROWDED_DIALS + 12


def test_networks_that_change_each_2_s_bring_no_dial_sooner_than_sshd_forgives() -> None:
    world = refusing(Cause.SSHD_REJECTS)
    world.kill_link()
    for _ in range(60):
        world.take(ANOTHER)
        world.play(2)
    gaps = [later - one for one, later in pairwise(world.refused)]
    assert len(gaps) >= 4
    assert min(gaps) >= UNAUTHENTICATED_SECONDS


def dialing_beside() -> World:
    """A silent link, and a dial beside it that takes long."""
    world = healthy()
    world.dial_seconds = 25.0
    return world.freeze_link()


@pytest.mark.parametrize("event", [ANOTHER, Resumed(slept=60.0)])
def test_a_dial_on_its_way_begins_anew_on_another_network(
    event: NetworkChanged | Resumed,
) -> None:
    world = dialing_beside()
    number = world.state.dialing.dialing
    world.play(1)
    world.take(event)
    assert world.started_over == [world.now]
    assert len(world.dials) == 1
    assert world.state.dialing.dialing == number  # its end is awaited as before


def test_a_remedys_dial_does_as_well() -> None:
    world = refusing(Cause.HOST_UNREACHABLE)
    world.kill_link().play_until(State.HEALING)
    intent = world.state.intent
    assert intent is not None
    assert intent.remedy is Remedy.RECONNECT
    world.take(ANOTHER)
    assert world.started_over == [world.now]


def test_none_begins_anew_without_a_way_or_without_a_dial() -> None:
    world = dialing_beside().play(1)
    world.take(GONE)
    assert world.started_over == []
    world = healthy()
    world.take(ANOTHER)
    assert world.started_over == []


def test_no_dial_begins_anew_sooner_than_sshd_forgives_the_last() -> None:
    world = refusing(Cause.SSHD_REJECTS)
    world.dial_seconds = 0.5
    world.kill_link()
    for _ in range(600):
        world.take(ANOTHER)
        world.play(1)
    for began in world.started_over:
        refused = [at + world.dial_seconds for at in world.refused]
        since = [began - at for at in refused if at <= began]
        assert min(since, default=UNAUTHENTICATED_SECONDS) >= UNAUTHENTICATED_SECONDS


def test_none_begins_anew_while_sshd_was_knocked_at_too_often() -> None:
    world = World()
    often = tuple(world.now - 300.0 + n for n in range(CROWDED_DIALS + 1))
    assert not dialing.may_start_over(Dialing(charged=often), world.env())
    assert dialing.may_start_over(Dialing(charged=often[1:]), world.env())


# ---------------------------------------------------------------- a wake


def test_after_a_wake_the_link_is_asked_at_once() -> None:
    world = healthy()
    state, commands = step(world.state, Resumed(slept=60.0), world.policy, world.env())
    assert AskLink(number=world.link or 0) in commands
    assert not any(isinstance(command, Dial) for command in commands)
    assert state.phase is Phase.BLIND


def failed(reached: bool = False) -> DialFailed:
    return DialFailed(number=1, cause=Cause.HOST_UNREACHABLE, permanent=False, reached=reached)


def test_failures_within_a_minute_of_a_wake_do_not_lengthen_the_back_off() -> None:
    world = World(chance=0.99)
    known = dialing.reset(Dialing(attempt=9), world.env())
    for _ in range(20):
        known = dialing.dial_failed(known, failed(), world.env())
        assert known.next_at - world.now <= 1.0
    world.now += EASED_SECONDS
    for _ in range(20):
        known = dialing.dial_failed(known, failed(), world.env())
    assert known.next_at - world.now > 30


def test_after_a_wake_a_server_that_answers_refused_is_not_hammered() -> None:
    world = healthy()
    world.dial = Cause.SSHD_DOWN
    world.sleep(3600).kill_link().play(30)
    assert 3 <= len(world.refused) <= 10


def test_but_a_server_that_was_reached_is_knocked_at_no_oftener() -> None:
    world = World()
    known = dialing.reset(Dialing(), world.env())
    for _ in range(4):
        known = dialing.dial_failed(known, failed(reached=True), world.env())
    assert known.next_at - world.now >= 15


def test_wi_fi_that_needs_a_minute_costs_seconds_once_it_is_there() -> None:
    world = refusing(Cause.HOST_UNREACHABLE)
    world.sleep(3600).kill_link().play(50)
    world.dial = None
    at = world.now
    while world.link is None:
        world.play(0.1)
    assert world.now - at <= 1.2


def test_what_is_doubted_ends_with_a_link() -> None:
    world = World()
    doubted = Dialing(host_key_after=NEVER)
    assert dialing.link_up(doubted, LinkUp(number=3), world.env()).host_key_after == 0.0
