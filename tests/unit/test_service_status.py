"""One line for the service manager: every target, in plain words, told when it changes."""

from __future__ import annotations

import time

import pytest

from watchdogd.core.events import Woke
from watchdogd.core.model import Env, TargetState, Verdict
from watchdogd.core.words import Cause, Layer, Outcome, Phase, State
from watchdogd.sinks.service_status import ServiceStatus

NOON = 1_800_014_400.0
UP = TargetState(shown=State.UP, phase=Phase.STEADY, shown_since_boot=100.0)
KEY = TargetState(
    shown=State.DOWN,
    phase=Phase.HELD,
    shown_since_boot=100.0,
    verdict=Verdict(
        outcome=Outcome.FAIL,
        cause=Cause.HOST_KEY,
        layer=Layer.SSH,
        detail="the key is unknown",
        mend="ssh-keyscan h",
    ),
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def env(boot: float = 100.0) -> Env:
    return Env(run=boot, boot=boot, wall=NOON + boot, boot_id="b", chance=0.5)


def test_every_target_in_order_and_only_what_is_new() -> None:
    lines: list[str] = []
    status = ServiceStatus(lines.append, ["a", "b"])
    status.told("b", Woke(), (), UP, env())
    assert lines == ["a not looked at yet; b up since 15 Jan 12:01"]
    status.told("b", Woke(), (), UP, env(5000.0))
    assert len(lines) == 1
    status.told("a", Woke(), (), KEY, env())
    assert lines[-1].startswith(
        "a down: host_key since 15 Jan 12:01 (the key is unknown), try: ssh-keyscan h; b up"
    )


def test_targets_come_and_go_and_a_refusal_comes_first() -> None:
    lines: list[str] = []
    status = ServiceStatus(lines.append, ["a", "b"])
    status.told("a", Woke(), (), UP, env())
    status.keep(["c", "a"])
    assert lines[-1] == "c not looked at yet; a up since 15 Jan 12:01"
    status.refused(True)
    status.refused(True)
    assert lines[-1].startswith("the changed configuration is refused (watchdogd config check); c ")
    status.refused(False)
    assert lines[-1].startswith("c not")
    assert len(lines) == 4
