"""The recorder: every step, by a thread of its own, without secrets; no failure reaches the loop."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.core.recorded import lines_of
from tests.core.world import World
from tests.lab.waiting import SOON, until
from watchdogd.adapters.event_files import NOW, EventFiles, raw_lines
from watchdogd.core.events import DialFailed, Observed, SettingsChanged, Started
from watchdogd.core.machine import anew, first
from watchdogd.core.model import Observation, Policy
from watchdogd.core.words import Cause, Layer, Outcome, ProbeName, Vantage
from watchdogd.eventlog import Began, Missed, Opened, Retuned, Stepped, numbered
from watchdogd.settings import Secret
from watchdogd.sim import replay
from watchdogd.sinks.recorder import Recorder

TOKEN = "s3cr3t-t0ken-of-the-runtime"


class Disk:
    """Files in memory, that fail, begin anew and stand still as told."""

    def __init__(self) -> None:
        self.text = b""
        self.error: Exception | None = None
        self.fresh = True
        self.texts = 0
        self.full_at = 0
        """A new file begins after so many texts."""
        self.open = threading.Event()
        self.open.set()
        self.closed = False

    def begin(self) -> bool:
        return self.fresh

    def append(self, text: bytes) -> None:
        assert self.open.wait(SOON)
        if self.error is not None:
            raise self.error
        self.text += text
        self.texts += 1
        self.fresh = self.texts == self.full_at

    def close(self) -> None:
        self.closed = True

    def kinds(self) -> list[str]:
        return [type(one.line).__name__ for one in lines_of(self.text)] if self.text else []


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def make(disk: Disk) -> Iterator[Callable[..., Recorder]]:
    made: list[Recorder] = []

    def one(*secrets: str, queued: int = 2000) -> Recorder:
        held = [Secret(text) for text in secrets]
        made.append(Recorder(disk, lambda target: held, version="1.2", queued=queued))
        return made[-1]

    yield one
    disk.open.set()
    for each in made:
        assert each.close(SOON)


def test_every_step_is_written_after_what_it_needs(
    disk: Disk, make: Callable[..., Recorder]
) -> None:
    recorder = make()
    recorder.start()
    world = World(recorder=recorder).start()
    world.play(60)
    world.policy = replace(world.policy, interval=60.0)
    world.take(SettingsChanged())
    world.state = anew(world.state, world.env())
    world.take(Started())
    assert recorder.close(SOON)
    lines = [line for _, line in lines_of(disk.text)]
    assert isinstance(lines[0], Opened)
    assert (lines[0].version, lines[0].wall) == ("1.2", 1.7e9 + 1000.0)
    assert lines[1] == Began(target="a100", policy=Policy(), state=first(World().env()))
    (changed,) = [line for line in lines if isinstance(line, Retuned)]
    assert changed.policy.interval == 60.0
    assert isinstance(lines[-2], Began)
    assert lines[-2].policy.interval == 60.0
    assert lines[-2].state.round == 0
    assert all(taken.same() for taken in replay(lines_of(disk.text)))
    assert (disk.closed, recorder.lost()) == (True, 0)


def test_each_file_replays_by_itself(tmp_path: Path) -> None:
    files = EventFiles(tmp_path, file_bytes=60_000)
    recorder = Recorder(files, lambda target: (), version="1")
    world = World(recorder=recorder).start()
    for _ in range(20):  # a busy disk is not what is looked at: the queue never overflows
        world.play(300)
    recorder.start()
    assert recorder.close(SOON)
    logs = sorted(tmp_path.iterdir())
    assert len(logs) >= 5
    steps = 0
    for log in logs:
        taken = list(replay(numbered(raw_lines(str(log)), lambda number: None)))
        assert all(one.same() for one in taken)
        steps += len(taken)
    assert recorder.lost() == 0
    assert steps > 500


def test_no_secret_is_in_it_wherever_it_stood(disk: Disk, make: Callable[..., Recorder]) -> None:
    recorder = make(TOKEN)
    disk.full_at = 10
    recorder.start()
    world = World(recorder=recorder).start()
    seen = Observation(
        probe=ProbeName.RUNTIME_TUNNEL, layer=Layer.RUNTIME, vantage=Vantage.TUNNEL,
        outcome=Outcome.FAIL, cause=Cause.RUNTIME_ERROR, started=world.now, ended=world.now,
        detail=f"GET /?token=abcdefgh12345678 said {TOKEN}", mend=f"curl -H 'token {TOKEN}'",
    )  # fmt: skip
    world.take(DialFailed(number=1, cause=Cause.AUTH, permanent=False, reached=True,
                          detail=f"password=hunter22222 {TOKEN}", mend=TOKEN))  # fmt: skip
    world.play(5)
    world.take(Observed(round=world.state.round, started=world.now, observations=(seen,)))
    world.play(30)
    assert recorder.close(SOON)
    for secret in (TOKEN, "abcdefgh12345678", "hunter22222"):
        assert secret.encode() not in disk.text
    assert b"***" in disk.text
    assert disk.kinds().count("Began") == 2  # the state holds such texts as well
    assert all(taken.same() for taken in replay(lines_of(disk.text)))


def test_a_token_that_changes_is_masked_from_then_on(disk: Disk) -> None:
    held: list[Secret] = []
    recorder = Recorder(disk, lambda target: held, version="1")
    recorder.start()
    world = World(recorder=recorder)
    said = DialFailed(number=1, cause=Cause.AUTH, permanent=False, reached=True, detail=TOKEN)
    world.take(said)
    until(lambda: disk.kinds().count("Stepped") == 1, "the first line")
    assert disk.text.count(TOKEN.encode()) == 1  # nobody knew that it is one
    held.append(Secret(TOKEN))
    world.take(replace(said, number=2))
    assert recorder.close(SOON)
    assert disk.kinds().count("Stepped") == 2
    assert disk.text.count(TOKEN.encode()) == 1


def test_a_full_disk_is_said_once_and_the_log_tells_what_is_missing(
    disk: Disk, make: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    recorder = make()
    recorder.start()
    world = World(recorder=recorder).start()
    caplog.set_level(logging.INFO)
    world.play(60)
    until(lambda: disk.kinds().count("Stepped") > 5, "steps on the disk")
    disk.error = OSError(errno.ENOSPC, "No space left on device")
    world.play(60)
    until(lambda: recorder.lost() > 3, "lost steps")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text
    assert "healing goes on" in caplog.text
    until(recorder._queue.empty, "an empty queue")
    disk.error = None
    world.play(60)
    assert recorder.close(SOON)
    kinds = disk.kinds()
    (missed,) = [one.line for one in lines_of(disk.text) if isinstance(one.line, Missed)]
    assert missed.steps == recorder.lost()
    assert kinds[kinds.index("Missed") + 1] == "Began"
    assert f"{missed.steps} are missing" in caplog.text
    assert all(taken.same() for taken in replay(lines_of(disk.text)))


def test_a_disk_that_stands_still_holds_nobody_up(
    disk: Disk, make: Callable[..., Recorder]
) -> None:
    recorder = make(queued=10)
    recorder.start()
    disk.open.clear()
    World(recorder=recorder).start().play(300)
    assert recorder.lost() > 20
    assert not recorder.close(0.01)
    disk.open.set()
    assert recorder.close(SOON)
    assert disk.kinds().count("Stepped") in (10, 11)  # those that waited, and the one on its way


def test_steps_that_were_lost_to_a_full_queue_are_counted_in_the_log(
    disk: Disk, make: Callable[..., Recorder]
) -> None:
    recorder = make(queued=10)
    world = World(recorder=recorder).start()
    world.play(300)
    lost = recorder.lost()
    assert lost > 20
    recorder.start()
    until(recorder._queue.empty, "an empty queue")
    world.take(SettingsChanged())
    assert recorder.close(SOON)
    lines = [line for _, line in lines_of(disk.text)]
    assert sum(line.steps for line in lines if isinstance(line, Missed)) == lost
    assert isinstance(lines[-2], Began)
    assert all(taken.same() for taken in replay(lines_of(disk.text)))


def test_a_defect_in_it_is_told_with_its_traceback_and_ends_nothing(
    disk: Disk, make: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    recorder = make()
    recorder.start()
    disk.error = ZeroDivisionError("odd")
    World(recorder=recorder).start().play(900)
    assert recorder.close(SOON)
    assert recorder.lost() > 100
    (record,) = caplog.records
    assert record.exc_info is not None


def test_closed_before_it_began_it_leaves_nothing(make: Callable[..., Recorder]) -> None:
    assert make().close(0.0)


def test_the_file_is_there_for_its_owner_only(tmp_path: Path) -> None:
    recorder = Recorder(EventFiles(tmp_path / "events"), lambda target: (), version="1")
    recorder.start()
    World(recorder=recorder).start().play(5)
    assert recorder.close(SOON)
    assert (tmp_path / "events").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "events" / NOW).stat().st_mode & 0o777 == 0o600
    assert any(
        isinstance(one.line, Stepped) for one in lines_of((tmp_path / "events" / NOW).read_bytes())
    )
