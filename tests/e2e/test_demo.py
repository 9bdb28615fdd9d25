"""The demo as a person starts it: one command, every fault healed, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
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


BARE = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "jupyter_server" else real(name, *more)
from watchdogd.__main__ import main
sys.exit(main())
"""
"""The program where Jupyter is not installed."""


def demo(place: Path, *options: str, path: str = "", bare: bool = False) -> subprocess.Popen[str]:
    program = ["-c", BARE] if bare else ["-m", "watchdogd"]
    return subprocess.Popen(
        [sys.executable, *program, "demo", *options],
        env={**os.environ, "TMPDIR": str(place), "PATH": path or os.environ["PATH"]},
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


@pytest.fixture
def without_tmux(tmp_path: Path) -> str:
    """A PATH on which everything but tmux is found."""
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(folder).glob("*"):
            link = tmp_path / program.name
            link.unlink(missing_ok=True)
            link.symlink_to(program)
    (tmp_path / "tmux").unlink()
    return str(tmp_path)


@pytest.mark.timeout(240)
def test_without_tmux_and_jupyter_it_says_so_heals_the_rest_and_keeps_it(
    place: Path, without_tmux: str
) -> None:
    with demo(place, "--keep", path=without_tmux, bare=True) as running:
        told = read_until(running, "Ctrl-C ends it")
        metrics = re.search(r"http://\S+/metrics", told)
        config = re.search(r"watchdogd url --config (\S+)", told)
        try:
            assert metrics is not None, told
            assert config is not None, told
            with urllib.request.urlopen(metrics.group(), timeout=5) as answer:
                assert b'watchdogd_target_up{target="demo"} 1.0' in answer.read()
            address = watchdogd("url", config.group(1)).strip()
            with urllib.request.urlopen(address.replace("/?", "/api/status?"), timeout=5):
                pass
        finally:
            running.send_signal(signal.SIGINT)
            told += running.communicate(timeout=30)[0]
    assert running.returncode == 130
    for fault in FAULTS.values():
        assert (f"left out: {fault.title}: tmux is not installed" in told) is fault.needs_tmux
        assert (f"{fault.title}: found" in told) is not fault.needs_tmux
    assert "a stand-in that answers like Jupyter" in told
    assert "All healed" in told


def read_until(running: subprocess.Popen[str], mark: str) -> str:
    """What it says up to the line with ``mark``, or all of it. The test's time limit bounds it."""
    lines = []
    assert running.stdout is not None
    for line in running.stdout:
        lines.append(line)
        if mark in line:
            break
    return "".join(lines)


def watchdogd(verb: str, config: str) -> str:
    argv = [sys.executable, "-m", "watchdogd", verb, "--config", config]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_takes_everything_away(place: Path, number: signal.Signals) -> None:
    with demo(place) as running:
        agent_runs = until(SystemClock(), 60, lambda: any(place.glob("*/state/run/control.sock")))
        running.send_signal(number)
        output, _ = running.communicate(timeout=30)
    assert agent_runs, output
    assert running.returncode == 130
