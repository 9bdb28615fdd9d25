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
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab import needs
from watchdogd.adapters.clock import SystemClock
from watchdogd.demo.faults import FAULTS
from watchdogd.demo.sight import look, until

pytestmark = pytest.mark.real
LIMIT = 180.0
"""Under three minutes."""


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the demo's temporary folder goes; empty again afterwards, or the test fails."""
    needs.programs("tmux", "ssh")
    # short: unix sockets are made in it
    made = Path("/tmp") / f"wd-demo-{os.getpid()}"
    made.mkdir(mode=0o700)
    yield made
    until(SystemClock(), 2, lambda: not processes_in(made))
    assert processes_in(made) == []
    assert [path.name for path in made.iterdir()] == []
    made.rmdir()


def processes_in(place: Path) -> list[str]:
    """The command lines of all processes that have to do with that folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if f"{place}/".encode() in told:
                found.append(told.replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


BARE = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "jupyter_server" else real(name, *more)
from watchdogd.__main__ import main
sys.exit(main())
"""
"""The program where Jupyter is not installed."""


OBSERVING = """
import sys
from watchdogd.demo import configuration, director
from watchdogd.demo.faults import FAULTS, FaultName
configuration.SHORTENED = {**configuration.SHORTENED, "mode": ("observe", "auto")}
played = (FaultName.PORT_TAKEN_AT_START, FaultName.RUNTIME_KILLED, FaultName.SESSION_KILLED)
director.FAULTS = {name: FAULTS[name] for name in played}
director.HEAL_SECONDS, director.CALM_SECONDS = 10.0, 15.0
from watchdogd.__main__ import main
sys.exit(main())
"""
"""The program with an agent that only looks on, and little patience."""


def demo(place: Path, *options: str, path: str = "", program: str = "") -> subprocess.Popen[str]:
    started = ["-c", program] if program else ["-m", "watchdogd"]
    return subprocess.Popen(
        [sys.executable, *started, "demo", *options],
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
    lines = output[output.index("to heal") :].splitlines()[1 : 1 + len(FAULTS)]
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
    with demo(place, "--keep", path=without_tmux, program=BARE) as running:
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
    """What it says up to and with ``mark``, or all of it. The test's time limit bounds it."""
    told = ""
    assert running.stdout is not None
    while mark not in told and (more := running.stdout.read(1)):
        told += more
    return told


def watchdogd(verb: str, config: str) -> str:
    argv = [sys.executable, "-m", "watchdogd", verb, "--config", config]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout


def test_an_agent_that_does_not_repair_fails_the_demo(place: Path) -> None:
    with demo(place, program=OBSERVING) as running:
        told, _ = running.communicate(timeout=110)
    assert running.returncode == 1
    assert re.search(r"runtime killed .*NOT healed", told), told
    assert "    expected start_session" in told
    assert "what is left is not played" in told
    assert "tmux session killed:" not in told
    assert re.search(r"only observing|observe", told[told.index("last words") :])


@pytest.mark.parametrize(
    ("number", "during"),
    [(signal.SIGTERM, "a stranger holds"), (signal.SIGINT, "SSH link frozen")],
)
def test_interrupted_it_takes_everything_away(
    place: Path, number: signal.Signals, during: str
) -> None:
    with demo(place) as running:
        told = read_until(running, during)
        frozen = until(SystemClock(), 10, lambda: during not in FROZEN or stopped_in(place))
        running.send_signal(number)
        told += running.communicate(timeout=30)[0]
    assert frozen
    assert running.returncode == 130, told
    assert told.endswith("everything is taken away again\n")


FROZEN = ("SSH link frozen",)


def stopped_in(place: Path) -> bool:
    """True if a process of the demo is stopped."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    seen = [process for pid in pids if (process := look(pid)) and process.state == "T"]
    return any(
        f"{place}/".encode() in Path(f"/proc/{one.pid}/cmdline").read_bytes() for one in seen
    )
