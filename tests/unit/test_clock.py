"""The real clocks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from watchdogd.adapters import clock as module
from watchdogd.adapters.clock import SystemClock


def test_the_three_clocks_agree_with_the_system() -> None:
    clock = SystemClock()
    assert abs(clock.run() - time.monotonic()) < 1
    assert abs(clock.wall() - time.time()) < 1
    assert clock.boot() >= clock.run() - 1


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
