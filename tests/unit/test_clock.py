"""The real clocks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters import clock as module
from watchdogd.adapters.clock import SleepByWall, SystemClock
from watchdogd.core.events import Resumed
from watchdogd.loop import ClockWatch


def test_the_three_clocks_agree_with_the_system() -> None:
    clock = SystemClock()
    assert abs(clock.run() - time.monotonic()) < 1
    assert abs(clock.wall() - time.time()) < 1
    assert clock.boot() >= clock.run() - 1


class TestSleepByWall:
    """Elsewhere than on Linux; on a clock that misses sleep, and one that counts it."""

    def test_what_the_wall_clock_gained_was_sleep(self) -> None:
        fake = FakeClock()
        boot = SleepByWall(fake.run, fake.wall)
        assert boot() == fake.run()
        fake.pass_by(5)
        fake.sleep(3600)
        assert boot() == fake.run() + 3600
        fake.pass_by(60)
        fake.sleep(30)
        assert boot() == fake.run() + 3630

    def test_a_monotonic_clock_that_counts_sleep_itself_counts_it_once(self) -> None:
        fake = FakeClock()
        boot = SleepByWall(fake.run, fake.wall)
        fake.pass_by(3600)
        assert boot() == fake.run()

    def test_slewing_and_a_clock_that_is_set_back_are_none(self) -> None:
        fake = FakeClock()
        boot = SleepByWall(fake.run, fake.wall)
        for by in (0.5, -0.5, 1.9, -3600.0):
            fake.set_wall(by)
            fake.pass_by(1)
            assert boot() == fake.run()

    def test_the_loop_takes_it_for_sleep_and_for_no_step_of_the_clock(self) -> None:
        fake = FakeClock()
        boot = SleepByWall(fake.run, fake.wall)
        fake.boot = boot  # type: ignore[method-assign]
        watch = ClockWatch(fake, 15.0)
        fake.pass_by(5)
        fake.sleep(3600)
        assert watch.look() == (Resumed(slept=3600.0),)


def test_waiting_passes_time_and_a_negative_wait_none() -> None:
    clock = SystemClock()
    begun = clock.run()
    clock.wait(-5)
    clock.wait(0.02)
    assert 0.02 <= clock.run() - begun < 2


def test_the_boot_id_stays() -> None:
    clock = SystemClock()
    assert clock.boot_id() == clock.boot_id() != ""


def test_chance_is_a_fraction() -> None:
    clock = SystemClock()
    drawn = {clock.chance() for _ in range(50)}
    assert all(0 <= one < 1 for one in drawn)
    assert len(drawn) > 1


def test_without_a_boot_id_one_is_derived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_BOOT_ID", tmp_path / "none")
    assert SystemClock().boot_id().startswith("booted-")
