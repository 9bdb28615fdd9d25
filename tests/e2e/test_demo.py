"""The demo as a person starts it: one command, every fault healed, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import needs
from watchdogd.adapters.clock import SystemClock
from watchdogd.demo.faults import FAULTS
from watchdogd.demo.sight import until

pytestmark = pytest.mark.real
LIMIT = 180.0
"""Under three minutes."""


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the demo's temporary folder goes; empty again afterwards, or the test fails."""
    needs.programs("tmux", "ssh")
    # short: unix sockets are made in it
    made = Path("/tmp") / f"wd-e2e-{os.getpid()}"
    made.mkdir(mode=0o700)
    yield made
    left = [path.name for path in made.iterdir()]
    assert left == []
    made.rmdir()


def demo(place: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "watchdogd", "demo", *options],
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.timeout(300)
def test_every_fault_is_found_named_and_healed(place: Path) -> None:
    began = time.monotonic()
    with demo(place) as running:
        output, _ = running.communicate(timeout=LIMIT + 60)
    assert running.returncode == 0, output
    assert time.monotonic() - began < LIMIT
    lines = output[output.index("to heal") :].splitlines()[1:]
    assert len(lines) == len(FAULTS), output
    for fault, line in zip(FAULTS.values(), lines, strict=True):
        assert line.startswith(fault.title)
        assert line.endswith("healed")
        assert any(str(cause) in line for cause in fault.causes)
        assert len(re.findall(r"\d s\b", line)) == 2
    assert "Shortened for this demonstration: " in output
    assert "left out" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_takes_everything_away(place: Path, number: signal.Signals) -> None:
    with demo(place) as running:
        agent_runs = until(SystemClock(), 60, lambda: any(place.glob("*/state/run/control.sock")))
        running.send_signal(number)
        output, _ = running.communicate(timeout=30)
    assert agent_runs, output
    assert running.returncode == 130
