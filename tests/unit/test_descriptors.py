"""The limit of open files, as the system plays it."""

from __future__ import annotations

import logging
import resource

import pytest

from watchdogd.app.descriptors import MOST, raise_limit, warn_if_few


class System:
    """``resource``'s two calls, with a kernel that refuses what is above ``most``."""

    def __init__(self, soft: int, hard: int, most: int = 10**9) -> None:
        self.limits, self._most = (soft, hard), most

    def play(self, monkeypatch: pytest.MonkeyPatch) -> System:
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.limits)
        monkeypatch.setattr(resource, "setrlimit", self._set)
        return self

    def _set(self, _: int, limits: tuple[int, int]) -> None:
        if limits[0] > self._most or limits[1] != self.limits[1]:
            raise ValueError("current limit exceeds maximum limit")
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "most", "after"),
    [
        (1024, 4096, 10**9, 4096),
        (1024, 1 << 20, 10**9, MOST),
        (256, resource.RLIM_INFINITY, 10_240, 10_240),
        (100_000, 1 << 20, 10**9, 100_000),
        (512, 512, 10**9, 512),
        (256, resource.RLIM_INFINITY, 0, 256),
    ],
)
def test_it_is_raised_as_far_as_the_system_allows_and_never_lowered(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int, after: int
) -> None:
    system = System(soft, hard, most).play(monkeypatch)
    assert raise_limit() == after
    assert system.limits == (after, hard)


def test_no_limit_at_all_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    System(resource.RLIM_INFINITY, resource.RLIM_INFINITY).play(monkeypatch)
    assert raise_limit() == MOST


def test_too_few_for_the_targets_is_said_once_and_enough_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_if_few(4096, 200)
        assert caplog.text == ""
        warn_if_few(1024, 200)
    assert "200 targets may need 3264" in caplog.text
    assert "LimitNOFILE" in caplog.text
