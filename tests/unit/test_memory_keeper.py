"""What must survive the agent goes to the journal when it changes, and never holds up the loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from tests.lab.local_link import until
from watchdogd.core.events import Woke
from watchdogd.core.model import Env, Memory, Pause, TargetState
from watchdogd.sinks.memory import MemoryKeeper

ENV = Env(run=1.0, boot=1.0, wall=1.0, boot_id="b", chance=0.0)


@dataclass
class Disk:
    """Keeps, fails, or hangs until it is let go."""

    kept: list[tuple[str, Memory]] = field(default_factory=list)
    fails: bool = False
    free: threading.Event = field(default_factory=threading.Event)

    def keep(self, target: str, memory: Memory, env: Env) -> None:
        self.free.wait(10)
        if self.fails:
            raise OSError(28, "no space left")
        self.kept.append((target, memory))


@pytest.fixture
def disk() -> Disk:
    disk = Disk()
    disk.free.set()
    return disk


@pytest.fixture
def keeper(disk: Disk) -> Iterator[MemoryKeeper]:
    keeper = MemoryKeeper(disk.keep)
    yield keeper
    disk.free.set()
    keeper.close(5)


def tell(keeper: MemoryKeeper, state: TargetState, target: str = "a") -> None:
    keeper.told(target, Woke(), (), state, ENV)


def paused(number: float) -> TargetState:
    return TargetState(pause=Pause(since_wall=number))


def test_only_changes_are_written(keeper: MemoryKeeper, disk: Disk) -> None:
    keeper.start()
    for _ in range(3):
        tell(keeper, paused(1.0))
    tell(keeper, replace(paused(1.0), oks=7))
    until(lambda: len(disk.kept) == 1)
    tell(keeper, paused(2.0))
    tell(keeper, paused(2.0), "b")
    assert keeper.close(5)
    assert [(target, one.pause and one.pause.since_wall) for target, one in disk.kept] == [
        ("a", 1.0),
        ("a", 2.0),
        ("b", 2.0),
    ]


def test_while_the_disk_hangs_the_newest_waits(keeper: MemoryKeeper, disk: Disk) -> None:
    disk.free.clear()
    keeper.start()
    for number in range(50):
        tell(keeper, paused(float(number + 1)))
    disk.free.set()
    assert keeper.close(5)
    assert disk.kept[-1][1].pause == Pause(since_wall=50.0)
    assert len(disk.kept) < 50


def test_a_disk_without_room_is_said_once_and_tried_again(
    keeper: MemoryKeeper, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.fails = True
    keeper.start()
    tell(keeper, paused(1.0))
    until(lambda: "cannot be kept" in caplog.text)
    tell(keeper, paused(2.0))
    disk.fails = False
    tell(keeper, paused(3.0))
    until(lambda: bool(disk.kept))
    assert keeper.close(5)
    assert disk.kept[-1][1].pause == Pause(since_wall=3.0)
    assert caplog.text.count("cannot be kept") == 1


def test_it_ends_though_the_disk_does_not_answer(keeper: MemoryKeeper, disk: Disk) -> None:
    disk.free.clear()
    keeper.start()
    tell(keeper, paused(1.0))
    assert not keeper.close(0.1)


def test_a_journal_that_cannot_be_used_is_left_alone(keeper: MemoryKeeper, disk: Disk) -> None:
    keeper.start()
    tell(keeper, TargetState(pause=Pause(since_wall=1.0), journal_ok=False))
    assert keeper.close(5)
    assert disk.kept == []
