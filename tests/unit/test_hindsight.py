"""What ``status`` says of the shadow score: a sentence a remedy, and silence where there is nothing."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from watchdogd.cli import status
from watchdogd.cli.hindsight import hindsight
from watchdogd.core.words import Mode

SCORES = [
    {"remedy": "restart_container", "right": 3, "false_alarms": 6},
    {"remedy": "start_container", "right": 1, "false_alarms": 0},
]
OPEN = {"remedy": "restart_container", "cause": "runtime_hung", "reason": "ask"}
NONE: dict[str, object] = {"open": None, "scores": []}


@pytest.mark.parametrize(
    ("mode", "shadow", "told"),
    [
        (
            Mode.AUTO,
            {"open": None, "scores": SCORES},
            [
                "restart_container would have been right 3 of 9 times",
                "start_container would have been right 1 of 1 time",
            ],
        ),
        (
            Mode.ASK,
            {"open": OPEN, "scores": []},
            ["would do restart_container (ask); whether that is right shows soon"],
        ),
        (
            Mode.OBSERVE,
            NONE,
            ["observes only: so far there was nothing that it would have done"],
        ),
        (Mode.AUTO, NONE, []),
        (Mode.OBSERVE, None, []),
    ],
)
def test_hindsight_in_sentences(mode: Mode, shadow: object, told: list[str]) -> None:
    assert list(hindsight({"mode": str(mode), "shadow": shadow})) == told


def test_an_older_agent_keeps_no_score() -> None:
    assert list(hindsight({"mode": "observe"})) == []


def test_a_targets_status_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    target = {
        "name": "a100",
        "state": "up",
        "mode": "observe",
        "shadow": {"open": None, "scores": SCORES},
    }
    monkeypatch.setattr(status, "ask_agent", lambda verb, name: {"targets": [target]})
    for arguments in (["a100"], ["a100", "--why"]):
        done = CliRunner().invoke(status.status, arguments)
        assert "restart_container would have been right 3 of 9 times" in done.output, arguments
