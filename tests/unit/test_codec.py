"""Records to plain values and back, for all that the core knows, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.recorded import outages
from watchdogd.core.commands import Command, Publish, Wake
from watchdogd.core.events import Event, Observed, RemedyFinished, Woke
from watchdogd.core.model import Account, Charge, Env, Policy, TargetState
from watchdogd.core.sight import ContainerSight, HostSight, ProcessCpu, Sight
from watchdogd.core.words import Layer, Mode, Remedy, Result, State
from watchdogd.eventlog import (
    SCHEMA,
    Began,
    Line,
    Missed,
    Opened,
    Retuned,
    Stepped,
    Unfit,
    decode,
    encode,
    read,
    without_words,
    written,
)


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of that type, optional fields included."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return st.one_of([of(each) for each in args])
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(of(args[0]), max_size=2).map(tuple)
    if origin is frozenset:
        return st.frozensets(of(args[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*map(of, args))
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(of(args[0]), of(args[1]), max_size=2)
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        kind: Any = hint
        return st.builds(kind, **{each.name: of(hints[each.name]) for each in fields(hint)})
    if hint is float:
        return st.floats(allow_nan=False)
    return st.from_type(hint)


def there_and_back(hint: Any, value: Any) -> Any:
    return decode(hint, json.loads(json.dumps(encode(hint, value), allow_nan=False)))


@pytest.mark.parametrize("kind", [*get_args(Event), *get_args(Command), TargetState, Policy])
def test_whatever_happens_or_is_wished_comes_back_as_it_was(kind: Any) -> None:
    hint = next((each for each in (Event, Command) if kind in get_args(each)), kind)

    @settings(max_examples=15, deadline=None, database=None,
              suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    @given(of(kind))
    def check(value: Any) -> None:
        assert there_and_back(hint, value) == value

    check()


def test_a_whole_run_comes_back_as_it_was() -> None:
    tape = outages()
    for number, line in tape.read_back():
        kept = tape.lines[number - 1]
        if isinstance(kept, Stepped):
            assert isinstance(line, Stepped)
            assert (line.target, line.event, line.env) == (kept.target, kept.event, kept.env)
            assert without_words(line.did) == without_words(kept.did)
        else:
            assert line == kept


def test_what_is_empty_takes_no_room_and_numbers_always_stand() -> None:
    finished = RemedyFinished(key="k", result=Result.DONE)
    assert encode(Event, finished) == {"type": "RemedyFinished", "key": "k", "result": "done"}
    assert encode(Event, Woke()) == {"type": "Woke"}
    assert encode(Policy, Policy()).keys() == {each.name for each in fields(Policy)}


def test_an_empty_value_that_is_not_the_default_is_written() -> None:
    seen = ContainerSight(read_at=0.0, restart_policy="", exit_code=0)
    plain = encode(ContainerSight, seen)
    assert (plain["restart_policy"], plain["exit_code"]) == ("", 0)
    host = HostSight(read_at=0.0, processes=())
    assert decode(HostSight, encode(HostSight, host)) == host


def test_numbers_without_end_are_words_and_not_broken_json() -> None:
    for at in (math.inf, -math.inf):
        assert encode(Command, Wake(at=at)) == {"type": "Wake", "at": str(at)}
        assert there_and_back(Command, Wake(at=at)) == Wake(at=at)
    assert math.isnan(there_and_back(Command, Wake(at=math.nan)).at)


def test_enums_keys_and_pairs() -> None:
    account = Account(seconds={State.UP: 1.5}, booked_until=2.0)
    assert encode(Account, account) == {"seconds": {"up": 1.5}, "booked_until": 2.0}
    state = TargetState(not_before=((Remedy.RECONNECT, 3.0),), answer=(None, 1.0))
    plain = encode(TargetState, state)
    assert plain["not_before"] == [["reconnect", 3.0]]
    assert encode(Layer, Layer.SSH) == "SSH"  # its number is no name


def test_equal_sets_look_the_same() -> None:
    words = [chr(65 + number) * 9 for number in range(20)]
    one, other = frozenset(words), frozenset(reversed(words))
    assert encode(frozenset[str], one) == encode(frozenset[str], other) == words


def test_texts_are_passed_on_with_the_name_of_their_field() -> None:
    told = []

    def texts(name: str, text: str) -> str:
        told.append((name, text))
        return text.upper()

    plain = encode(Event, RemedyFinished(key="k", result=Result.DONE, detail="d"), texts)
    assert (plain["key"], plain["detail"], plain["result"]) == ("K", "D", "done")
    assert ("detail", "d") in told
    assert all(text != "done" for _, text in told)


@pytest.mark.parametrize(
    ("hint", "data", "said"),
    [
        (Event, {"type": "Exploded"}, "'Exploded' is not known"),
        (Event, {"no": "type"}, "None is not known"),
        (Event, {"type": ["Woke"]}, "is not known"),
        (Event, "Woke", "'Woke' is not that"),
        (Event, {"type": "Woke", "why": 1, "at": 2}, "Woke has no at, why"),
        (Event, {"type": "LinkUp"}, "no number"),
        (Event, {"type": "LinkUp", "number": True}, ".number: True is not of type int"),
        (Event, {"type": "LinkUp", "number": 1.0}, ".number: 1.0 is not of type int"),
        (Event, {"type": "Resumed", "slept": "long"}, ".slept: 'long' is not a number"),
        (Event, {"type": "Resumed", "slept": False}, "is not a number"),
        (Policy, {"mode": "loud"}, ".mode: 'loud' is not a Mode"),
        (Policy, {"mode": 1}, "is not a Mode"),
        (Policy, [], "[] is not Policy"),
        (Sight, {"host": {"read_at": 1, "processes": [{"pid": 1}]}}, ".host"),
        (TargetState, {"answer": [None]}, ".answer: [None] is not a list of 2"),
        (TargetState, {"ooms": 3}, ".ooms: 3 is not a list"),
        (Account, {"seconds": []}, ".seconds: [] is not an object"),
        (Account, {"seconds": {"asleep?": 1}}, "is not a State"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(hint: Any, data: Any, said: str) -> None:
    with pytest.raises(Unfit) as refused:
        decode(hint, data)
    assert said in str(refused.value)


def test_a_record_with_a_new_field_or_event_needs_nothing_but_its_hints() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Tomorrow:
        charges: tuple[Charge, ...] = ()
        modes: frozenset[Mode] = frozenset()
        mode: Mode | None = None
        size: int | float = 0

    for value in (Tomorrow(), Tomorrow(mode=Mode.ASK, size=1.5), Tomorrow(modes=frozenset(Mode))):
        assert there_and_back(Tomorrow | Woke, value) == value


@pytest.mark.parametrize("hint", [set[int], Mapping[int, str], bytes, object])
def test_hints_of_other_kinds_are_a_defect_that_shows_at_once(hint: Any) -> None:
    with pytest.raises(TypeError):
        encode(hint, None)


def test_no_record_of_the_log_has_a_field_called_type() -> None:
    @dataclass(frozen=True)
    class Typed:
        type: str = ""

    with pytest.raises(TypeError, match="must not be called"):
        encode(Typed, Typed())


# ---------------------------------------------------------------- lines


LINES: tuple[Line, ...] = (
    Opened(schema=SCHEMA, version="1", wall=1.0),
    Began(target="a", policy=Policy(), state=TargetState()),
    Retuned(target="a", policy=Policy(mode=Mode.OBSERVE)),
    Missed(steps=3),
    Stepped(
        target="a",
        event=Observed(
            round=1,
            started=0.5,
            observations=(),
            sight=Sight(
                host=HostSight(
                    read_at=1.0, processes=(ProcessCpu(pid=1, started=2, cpu_seconds=3.0),)
                )
            ),
        ),
        env=Env(run=1.0, boot=2.0, wall=3.0, boot_id="b", chance=0.5),
        did=(Wake(at=1.0),),
    ),
)


@pytest.mark.parametrize("line", LINES, ids=lambda line: type(line).__name__)
def test_each_kind_of_line_comes_back(line: Line) -> None:
    text = written(line)
    assert text.count(b"\n") == 1
    assert text.endswith(b"\n")
    assert read(text) == line


def test_every_default_of_the_policy_stands_in_the_log() -> None:
    """A default that changes must not change what was recorded."""
    assert all(each.default is not MISSING for each in fields(Policy))
    assert b'"deep_every":4' in written(LINES[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no JSON"),
        (b"\x00\x00", "no JSON"),
        (b"\xff\xfe\xfd", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"type":"Opened","schema":"watchdogd.events/2","new":1}', "'watchdogd.events/2'"),
        (b'{"type":"Opened"}', "its schema is None"),
        (b'{"type":"Closed"}', "'Closed' is not known"),
    ],
)  # fmt: skip
def test_what_is_no_line_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(Unfit) as refused:
        read(text)
    assert said in str(refused.value)


def test_texts_of_commands_are_no_decision() -> None:
    tape = outages()
    steps = [line for line in tape.lines if isinstance(line, Stepped)]
    facts = [
        command.fact
        for line in steps
        for command in line.did
        if isinstance(command, Publish) and "detail" in encode(type(command.fact), command.fact)
    ]
    assert facts
    assert all("detail" not in each["fact"] for each in without_words([Publish(fact=facts[0])]))
