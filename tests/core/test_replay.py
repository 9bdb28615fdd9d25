"""A recorded run, decided again: the same, or the first difference; and what other settings would do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.core.recorded import Tape, lines_of, outages
from tests.core.world import World, session_policy
from watchdogd.core.commands import Apply, RemedyRefused, Wake
from watchdogd.core.events import ContainerDied, DialFailed, SettingsChanged, Started
from watchdogd.core.machine import anew
from watchdogd.core.model import Policy
from watchdogd.core.words import Cause, Mode, Refusal, Remedy
from watchdogd.eventlog import Began, Missed, Numbered, Opened, Stepped, Unreadable, numbered
from watchdogd.sim import News, Other, Taken, Unplayable, replay, what_if


def applied(steps: Iterable[Taken]) -> list[Remedy]:
    return [
        command.intent.remedy
        for taken in steps
        for command in taken.commands
        if isinstance(command, Apply)
    ]


@pytest.mark.parametrize(
    "policy",
    [Policy(), Policy(mode=Mode.OBSERVE), session_policy(), Policy(hung_after=60.0)],
    ids=["container", "observe", "session", "impatient"],
)
def test_a_recorded_run_is_decided_the_same_again(policy: Policy) -> None:
    tape = outages(policy)
    taken = list(replay(tape.read_back()))
    assert len(taken) == sum(isinstance(line, Stepped) for line in tape.lines)
    assert [one.line for one in taken if not one.same()] == []
    assert all(one.differences() == ([], []) for one in taken)
    assert taken[-1].after == tape.last["a100"][0]
    assert applied(taken) != [] or policy.mode is Mode.OBSERVE


def test_what_is_met_seldom_is_decided_the_same_again() -> None:
    tape = Tape()
    world = World(recorder=tape, dial=Cause.HOST_KEY, dial_permanent=True).start()
    world.play(300)
    world.dial = None
    world.take(DialFailed(number=9, cause=Cause.AUTH, permanent=False, reached=True, detail="no"))
    world.play(600).tell_death().tell_death("d" * 64)
    world.policy = replace(world.policy, interval=60.0)
    world.take(SettingsChanged(runtime=True))
    world.play(120)
    world.state = anew(world.state, world.env())
    world.take(Started(journal_ok=False))
    world.play(120)
    assert any(isinstance(line, Stepped) and isinstance(line.event, ContainerDied) for line in tape.lines)  # fmt: skip
    assert sum(isinstance(line, Began) for line in tape.lines) == 2
    assert all(taken.same() for taken in replay(tape.read_back()))


def test_a_log_that_begins_in_the_middle_is_decided_the_same() -> None:
    whole = outages()
    states = {one.line: one.after for one in replay(whole.read_back())}
    middle = len(whole.lines) // 2
    began = Began(target="a100", policy=Policy(), state=states[middle])
    part = Tape(lines=[whole.lines[0], Missed(steps=7), began, *whole.lines[middle:]])
    assert all(taken.same() for taken in replay(part.read_back()))


def test_the_first_difference_is_found_with_both_decisions() -> None:
    tape = outages()
    number, line = next(
        (number, line)
        for number, line in enumerate(tape.lines)
        if isinstance(line, Stepped) and any(isinstance(command, Apply) for command in line.did)
    )
    assert isinstance(line, Stepped)
    tape.lines[number] = replace(line, did=(Wake(at=1.0),))
    different = [taken for taken in replay(tape.read_back()) if not taken.same()]
    assert [one.line for one in different] == [number + 1]
    recorded, now = different[0].differences()
    assert recorded == [{"type": "Wake", "at": 1.0}]
    assert "Apply" in [command["type"] for command in now]


def test_another_order_is_a_difference_that_shows_all() -> None:
    tape = outages()
    number = next(
        number
        for number, line in enumerate(tape.lines)
        if isinstance(line, Stepped) and len(line.did) > 1
    )
    line = tape.lines[number]
    assert isinstance(line, Stepped)
    tape.lines[number] = replace(line, did=line.did[::-1])
    (taken,) = [taken for taken in replay(tape.read_back()) if not taken.same()]
    recorded, now = taken.differences()
    assert recorded == now[::-1]
    assert len(now) == len(line.did)


def test_a_step_of_a_target_that_never_began_is_no_log() -> None:
    tape = outages()
    del tape.lines[1]
    with pytest.raises(Unplayable, match="line 2: how a100 began is missing"):
        list(replay(tape.read_back()))


def test_a_refusal_that_lasts_is_news_once() -> None:
    tape = outages(Policy(mode=Mode.OBSERVE))
    taken, news = list(replay(tape.read_back())), News()
    facts = [fact for one in taken for fact in one.facts()]
    told = [fact for one in taken for fact in news.of(one)]
    assert len(told) < len(facts)
    refusals = [fact for fact in told if isinstance(fact, RemedyRefused)]
    assert {fact.reason for fact in refusals} >= {Refusal.OBSERVE}
    assert [fact for fact in told if fact not in refusals] == [
        fact for fact in facts if not isinstance(fact, RemedyRefused)
    ]


# ---------------------------------------------------------------- what if


def both(tape: Tape, policy: Policy) -> list[Other]:
    return list(what_if(tape.read_back(), {"a100": policy}))


@pytest.mark.parametrize("policy", [Policy(), session_policy(), Policy(interval=60.0)])
def test_the_same_settings_decide_the_same(policy: Policy) -> None:
    for other in both(outages(policy), policy):
        assert other.instead == (replace(other.recorded, policy=policy),)


def test_less_patience_restarts_earlier() -> None:
    tape = outages()
    found = both(tape, Policy(hung_after=120.0))
    then = [other.recorded.env.run for other in found if applied([other.recorded])]
    now = [one.env.run for other in found for one in other.instead if applied([one])]
    assert applied(other.recorded for other in found).count(Remedy.RESTART_CONTAINER) == 1
    assert Remedy.RESTART_CONTAINER in applied(one for other in found for one in other.instead)
    assert now[0] == then[0]  # the container that exited
    assert now[1] < then[1] - 200


def test_observing_would_have_done_nothing() -> None:
    found = both(outages(), Policy(mode=Mode.OBSERVE))
    assert Remedy.START_CONTAINER in applied(other.recorded for other in found)
    now = applied(one for other in found for one in other.instead)
    assert set(now) <= {Remedy.RECONNECT, Remedy.REOPEN_FORWARD}


def test_another_rhythm_takes_the_recorded_rounds_for_its_own() -> None:
    """It asks for rounds at other times, and the answers still count."""
    found = both(outages(), Policy(interval=40.0, hung_after=400.0))
    now = applied(one for other in found for one in other.instead)
    assert Remedy.RESTART_CONTAINER in now


def test_timers_of_the_other_settings_fire_though_nothing_was_recorded_then() -> None:
    found = both(outages(Policy(interval=60.0)), Policy(interval=15.0))
    assert any(len(other.instead) > 1 for other in found)
    for other in found:
        times = [one.env.run for one in other.instead]
        assert times == sorted(times)
        assert other.instead[-1].env == other.recorded.env
        assert len(times) < 100


def test_only_targets_with_other_settings_are_decided_twice() -> None:
    assert list(what_if(outages().read_back(), {"h200": Policy()})) == []


# ---------------------------------------------------------------- reading


def test_half_a_line_at_the_end_is_left_out_and_told() -> None:
    text = outages().text()
    halves: list[int] = []
    lines = text[:-20].splitlines(keepends=True)
    found = list(numbered(lines, halves.append))
    assert halves == [len(lines)]
    assert len(found) == len(lines) - 1


def test_a_last_line_that_lacks_only_its_end_counts() -> None:
    text = outages().text()
    halves: list[int] = []
    found = list(numbered(text[:-1].splitlines(keepends=True), halves.append))
    assert (halves, len(found)) == ([], text.count(b"\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "it is empty"),
        (b"garbage", "line 1: no JSON"),
        (b'{"type":"Missed","steps":1}\n', "line 1: no recorded log begins like this"),
    ],
    ids=["empty", "garbage", "headless"],
)
def test_what_is_no_log_says_where(text: bytes, said: str) -> None:
    with pytest.raises(Unreadable) as refused:
        lines_of(text)
    assert said in str(refused.value)


def test_a_line_of_a_kind_that_nobody_knows_says_where() -> None:
    text = outages().text()[:3000].rpartition(b"\n")[0] + b'\n{"type":"Boom"}\n{}\n'
    with pytest.raises(Unreadable, match="'Boom'"):
        lines_of(text)


def test_two_agents_one_after_the_other_in_one_file() -> None:
    one, two = outages(), outages(session_policy())
    tape = Tape(lines=[*one.lines, *two.lines])
    found = [line for _, line in tape.read_back() if isinstance(line, Opened)]
    assert len(found) == 2
    taken = list(replay(tape.read_back()))
    assert all(each.same() for each in taken)
    assert isinstance(tape.read_back()[0], Numbered)
