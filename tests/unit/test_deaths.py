"""Listening to a container engine: what is handed on, what is not, and how it goes on after a break."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters.container_facts import answered_at, death_notices
from watchdogd.core.events import ContainerDied
from watchdogd.core.words import Cause
from watchdogd.deaths import DeathWatch
from watchdogd.errors import Transient
from watchdogd.ports import DeathNotice, LinkStatus

SOON = 10.0
A, B = "a" * 64, "b" * 64


def died(ident: str, at: float) -> bytes:
    event = {
        "Action": "die",
        "Type": "container",
        "Actor": {"ID": ident},
        "timeNano": int(at * 1e9),
    }
    return json.dumps(event).encode() + b"\n"


def test_events_are_read_whatever_the_pieces_they_come_in() -> None:
    stream = died(A, 5.0) + died(B, 6.5)
    pieces = [stream[at : at + 7] for at in range(0, len(stream), 7)]
    found = list(death_notices(pieces))
    assert found == [DeathNotice(at=5.0, container=A), DeathNotice(at=6.5, container=B)]


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"[]\n",
        b'{"Action": "start", "Actor": {"ID": "' + A.encode() + b'"}, "timeNano": 1}\n',
        b'{"Action": "die", "Actor": {"ID": "../../x"}, "timeNano": 1}\n',
        b'{"Action": "die", "Actor": {"ID": "' + A.encode() + b'"}, "timeNano": "x"}\n',
        b"\n",
    ],
)
def test_what_is_no_death_is_passed_over(line: bytes) -> None:
    assert [one.container for one in death_notices([line, died(B, 1.0)])] == [B]


def test_a_line_without_an_end_is_given_up() -> None:
    endless = (b"x" * 10_000 for _ in range(10**9))
    assert list(death_notices(endless)) == []


def test_the_engines_time_is_that_of_its_answer() -> None:
    assert answered_at("Fri, 27 Nov 2026 05:00:00 GMT") == 1_795_755_600.0
    assert answered_at("soon") == 0.0


class Engine:
    """Plays one script a stream: notices, or an error; then it says nothing until the end."""

    def __init__(self, *scripts: list[DeathNotice] | Exception) -> None:
        self.scripts = iter(scripts)
        self.asked: queue.Queue[float] = queue.Queue()
        self.closed = threading.Event()

    def deaths(self, since: float, seconds: float) -> Iterator[DeathNotice]:
        self.asked.put(since)
        script = next(self.scripts, None)
        if isinstance(script, Exception):
            raise script
        yield from script or ()
        if script is None:
            self.closed.wait(SOON)


Begin = Callable[..., tuple[DeathWatch, Engine, "queue.Queue[ContainerDied]"]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    made: list[tuple[DeathWatch, Engine]] = []

    def start(
        *scripts: list[DeathNotice] | Exception, link: object = "a link"
    ) -> tuple[DeathWatch, Engine, queue.Queue[ContainerDied]]:
        engine, posted = Engine(*scripts), queue.Queue[ContainerDied]()
        status = LinkStatus(
            link=link,  # type: ignore[arg-type] # only whether there is one matters
            number=1,
            silent=False,
            dialing=False,
            failure=None,
            failure_detail="",
            failure_mend="",
        )
        watch = DeathWatch(
            engine,  # type: ignore[arg-type] # all that it uses of the port
            lambda: status,
            FakeClock(),
            posted.put,
            first_pause=0.001,
        )
        watch.start()
        made.append((watch, engine))
        return watch, engine, posted

    yield start
    for watch, engine in made:
        watch.stop()
        engine.closed.set()
        watch.join(SOON)


def test_each_end_is_told_once_and_a_broken_stream_is_taken_up_where_it_ended(begin: Begin) -> None:
    _, engine, posted = begin(
        [DeathNotice(at=100.0), DeathNotice(at=110.5, container=A)],
        Transient(Cause.LINK_LOST, "gone"),
        [
            DeathNotice(at=120.0),
            DeathNotice(at=110.5, container=A),
            DeathNotice(at=105.0, container=B),
        ],
    )
    assert posted.get(timeout=SOON) == ContainerDied(container=A, at=110.5)
    assert posted.get(timeout=SOON) == ContainerDied(container=B, at=105.0)
    assert [engine.asked.get(timeout=SOON) for _ in range(4)] == [0.0, 110.5, 110.5, 120.0]
    assert posted.empty()


def test_without_a_link_nobody_is_asked(begin: Begin) -> None:
    watch, engine, _ = begin(link=None)
    watch.stop()
    watch.join(SOON)
    assert engine.asked.empty()


def test_after_its_stop_nothing_is_told(begin: Begin) -> None:
    watch, engine, posted = begin()
    engine.asked.get(timeout=SOON)
    watch.stop()
    engine.closed.set()
    watch.join(SOON)
    assert posted.empty()
