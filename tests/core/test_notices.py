"""What people are told, and when: each rule with a clock that the test turns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.people import People
from tests.core.world import World, healthy
from watchdogd.core.commands import IncidentClosed
from watchdogd.core.events import Ordered, Paused, Started, Unpaused
from watchdogd.core.model import Incident, Policy, TargetState
from watchdogd.core.notices import CALM, Following, News, Told, follow, unwatched
from watchdogd.core.words import Cause, Mode, Phase, Remedy, Result, State

HOUR = 3600.0
AFTER = Policy().told_after
SLOW = Policy(interval=60.0, suspect_interval=60.0)
"""Few rounds: for hours."""
OPENED, RESOLVED, PERSON = News.OPENED, News.RESOLVED, News.PERSON


def followed(**truth: object) -> tuple[World, People]:
    world, people = healthy(**truth), People()
    world.recorder = people
    return world, people


def unreachable(world: World) -> World:
    world.dial = Cause.HOST_UNREACHABLE
    return world.kill_link()


def reachable(world: World) -> World:
    world.dial = None
    return world


def test_health_is_no_news_and_costs_no_record() -> None:
    world, people = followed()
    world.play(HOUR)
    assert people.notices == []
    assert people.known is CALM


def test_the_first_message_comes_after_two_minutes_of_down_and_the_end_is_told() -> None:
    world, people = followed()
    unreachable(world).play_until(State.DOWN)
    since = world.now
    world.play(AFTER - 10)
    assert people.notices == []
    world.play(20)
    assert people.news() == [OPENED]
    (opened,) = people.notices
    assert people.at[0] - since + 10 >= AFTER
    assert opened.opens
    assert (opened.cause, opened.wait) == (Cause.HOST_UNREACHABLE, Policy().told_together)
    assert opened.seconds >= AFTER
    reachable(world).play(300)
    assert world.state.shown is State.UP
    assert people.news() == [OPENED, RESOLVED]
    assert people.notices[1].incident == opened.incident
    assert people.broken() == []
    assert people.known is CALM


def test_what_is_over_before_is_never_told() -> None:
    world, people = followed()
    unreachable(world).play_until(State.DOWN)
    world.play(AFTER / 2)
    reachable(world).play(600)
    assert world.state.shown is State.UP
    assert people.notices == []


def test_the_wait_follows_the_probe_interval() -> None:
    world, people = followed(policy=Policy(suspect_interval=1.0))
    unreachable(world).play_until(State.DOWN)
    world.play(26)
    assert people.news() == [OPENED]


def test_every_four_hours_it_is_told_again_while_it_lasts() -> None:
    world, people = followed(policy=SLOW)
    unreachable(world).play(12.7 * HOUR)
    assert people.news() == [OPENED, *[News.REMINDER] * 3]
    gaps = [later - earlier for earlier, later in zip(people.at, people.at[1:], strict=False)]
    assert all(4 * HOUR <= gap <= 4 * HOUR + 130 for gap in gaps)
    reachable(world).play(HOUR)
    assert people.news()[-1] is RESOLVED
    assert people.broken() == []


def test_a_clock_that_is_set_back_holds_up_no_reminder_for_long() -> None:
    world, people = followed(policy=SLOW)
    unreachable(world).play(HOUR / 2)
    world.set_clock(-100 * HOUR).play(4.2 * HOUR)
    assert people.news() == [OPENED, News.REMINDER]


@pytest.mark.parametrize("works", [True, False])
def test_a_destructive_remedy_is_told_before_and_after_at_once(works: bool) -> None:
    world, people = followed(remedies_work=works)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(1500)
    assert world.applied == [Remedy.RESTART_CONTAINER]
    assert world.state.shown is (State.UP if works else State.DOWN)
    news = people.news()
    assert news[:2] == [OPENED, News.INTENDED]
    intended, outcome = (people.notices[news.index(one)] for one in (News.INTENDED, News.OUTCOME))
    assert people.at[1] == world.applied_at[0]
    assert intended.wait == 0
    assert (intended.remedy, outcome.remedy, outcome.good) == (
        Remedy.RESTART_CONTAINER,
        Remedy.RESTART_CONTAINER,
        works,
    )
    assert people.broken(world.applied) == []


@pytest.mark.parametrize("result", [Result.FAILED, Result.NOTHING])
def test_a_destructive_remedy_without_effect_is_told_too(result: Result) -> None:
    world, people = followed(remedies_work=False, remedy_result=result)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(900)
    assert Remedy.RESTART_CONTAINER in world.applied
    outcomes = [one for one in people.notices if one.news is News.OUTCOME]
    assert outcomes
    assert all(one.good is False for one in outcomes)
    assert people.broken(world.applied) == []


def test_an_ordered_restart_of_a_healthy_target_opens_no_incident() -> None:
    world, people = followed()
    world.play(60)
    world.take(Ordered(remedy=Remedy.RESTART_CONTAINER))
    world.play(HOUR)
    assert people.news() == [News.INTENDED, News.OUTCOME]
    assert not any(one.opens for one in people.notices)
    assert people.known is CALM


def test_a_person_who_is_needed_is_asked_for_at_once_and_once() -> None:
    world, people = followed()
    world.dial, world.dial_permanent = Cause.HOST_KEY, True
    world.kill_link().play(60)
    assert people.news() == [PERSON]
    (asked,) = people.notices
    assert asked.opens
    assert (asked.wait, asked.cause) == (0, Cause.HOST_KEY)
    world.play(1800)
    assert people.news() == [PERSON]


def test_a_proposal_is_told_with_the_remedy_that_waits() -> None:
    world, people = followed(policy=Policy(mode=Mode.ASK))
    world.runtime = Cause.RUNTIME_HUNG
    world.play(900)
    assert people.news() == [OPENED, PERSON]
    asked = people.notices[1]
    assert (asked.remedy, asked.wait, asked.opens) == (Remedy.RESTART_CONTAINER, 0, False)
    assert "person" in asked.detail


def test_resumes_that_are_halted_are_told_once_without_an_incident() -> None:
    from watchdogd.core.resume import Resume

    world, people = followed()
    halted = replace(world.state, resume=Resume(halted=True))
    found = Following()
    for _ in range(3):
        found, due = follow(found, "a100", (), halted, world.policy, world.env())
        people.notices += due
    (one,) = people.notices
    assert (one.news, one.incident, one.mend) == (PERSON, "", "watchdogd reset a100")
    lifted = replace(world.state, resume=Resume())
    assert follow(found, "a100", (), lifted, world.policy, world.env()) == (CALM, ())


def test_while_paused_nothing_is_told() -> None:
    world, people = followed()
    world.take(Paused())
    unreachable(world).play(1800)
    assert people.notices == []
    world.take(Unpaused())
    world.play(300)
    assert people.news() == [OPENED]


def test_offline_is_nobodys_outage() -> None:
    world, people = followed()
    world.network = False
    world.kill_link().play(1800)
    assert world.state.shown is State.OFFLINE
    assert people.notices == []
    world.network = True
    world.play(300)
    assert people.notices == []


def test_a_night_asleep_in_an_incident_brings_one_reminder() -> None:
    world, people = followed()
    unreachable(world).play(300)
    world.sleep(12 * HOUR).play(300)
    assert people.news() == [OPENED, News.REMINDER]
    reachable(world).play(300)
    assert people.news() == [OPENED, News.REMINDER, RESOLVED]


def test_a_killed_agent_opens_nothing_twice_and_ends_what_was_opened() -> None:
    world, people = followed()
    unreachable(world).play(300)
    memory = world.killed()
    people.restarted()
    world.start(memory=memory).play(300)
    assert people.news() == [OPENED]
    reachable(world).play(600)
    assert people.news() == [OPENED, RESOLVED]
    assert people.broken() == []


def test_an_end_that_was_not_told_is_told_by_the_next_agent() -> None:
    """It was killed after the target's memory was written, and before the message was."""
    world, people = followed()
    unreachable(world).play(300)
    told = people.known
    reachable(world).play(600)
    people.known, people.notices = Following(told=told.told), people.notices[:1]
    world.start(memory=world.killed()).play(60)
    assert people.news() == [OPENED, RESOLVED]


def test_a_remedy_whose_agent_was_killed_has_an_unknown_outcome() -> None:
    world, people = followed(remedies_work=False)
    world.runtime = Cause.RUNTIME_HUNG
    world.play_until(State.HEALING)
    memory = world.killed()
    people.restarted()
    world.start(memory=memory, open=(Remedy.RESTART_CONTAINER,)).play(30)
    outcomes = [one for one in people.notices if one.news is News.OUTCOME]
    assert [one.good for one in outcomes] == [None]


def test_an_opening_that_is_not_known_any_more_is_told_again_not_ended() -> None:
    closed = IncidentClosed(
        incident=Incident(id="x", cause=Cause.DNS, opened_wall=0.0, first_failure_boot=0.0),
        duration_seconds=10.0,
    )
    world = World()
    state = TargetState(phase=Phase.STEADY, shown=State.UP)
    assert follow(CALM, "a", (closed,), state, Policy(), world.env()) == (CALM, ())


def test_another_incident_in_its_place_is_the_same_trouble_until_it_is_usable() -> None:
    world, people = followed()
    unreachable(world).play(300)
    people.known = replace(people.known, told=replace(people.known.told, incident="lost"))
    world.play(60)
    assert people.news() == [OPENED]
    reachable(world).play(600)
    assert people.news() == [OPENED, RESOLVED]


def test_a_target_that_is_gone_is_told_if_it_was_opened() -> None:
    assert unwatched(Told(), "a100", 0.0) is None
    notice = unwatched(Told(incident="i", cause=Cause.DNS, since_wall=10.0), "a100", 70.0)
    assert notice is not None
    assert (notice.news, notice.seconds, notice.cause) == (News.UNWATCHED, 60.0, Cause.DNS)


def test_what_was_told_survives_as_text() -> None:
    import json

    from watchdogd.eventlog.codec import decode, encode

    told = Told(
        incident="i", cause=Cause.DNS, since_wall=1.5, act="k", remedy=Remedy.RESTART_KERNEL
    )
    assert decode(Told, json.loads(json.dumps(encode(Told, told)))) == told


def test_started_alone_tells_nothing() -> None:
    people = People()
    world = World(recorder=people)
    world.take(Started())
    assert people.notices == []
