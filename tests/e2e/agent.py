"""The agent as a person starts it: a child process, its log, its answers, its metrics."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from watchdogd.control import NoAgent, NoAnswer, ask, control_path

T = TypeVar("T")

TARGET = "a100"
WATCHDOGD = (sys.executable, "-m", "watchdogd")
DIAL = "reconnect"
STOP_SECONDS = 5.0
"""A signal ends the agent within these."""
LOOK_SECONDS = 0.05
SLOW_LOOK_SECONDS = 0.3
"""For conditions that start a program to look."""


class Agent:
    """One configuration and one state folder; the process may be ended and started again.

    ``before`` goes in front of the command line (``ip netns exec NAME``).
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, object],
        *,
        before: Sequence[str] = (),
        program: Sequence[str] = WATCHDOGD,
    ) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.runtime_dir = folder / "run"
        self.home = folder / "home"
        for made in (self.runtime_dir, self.home):
            made.mkdir(mode=0o700, exist_ok=True)
        self.config = folder / "config.toml"
        self.log = folder / "agent.log"
        self.errors = folder / "agent.err"
        self.listen = str(config["agent.listen"])
        self.before = tuple(before)
        self.program = tuple(program)
        self.process: subprocess.Popen[bytes] | None = None
        self._lives = [0]
        whole = {"agent.state_dir": str(self.state), "agent.log_format": "json", **config}
        # A flat table with dotted keys: every JSON value that is used here is a TOML value too.
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in whole.items()]
        self.config.write_text("".join(lines))

    # ------------------------------------------------------------ life

    @property
    def pid(self) -> int:
        """Of the running agent."""
        assert self.process is not None
        return self.process.pid

    def start(self, *options: str) -> None:
        """Start it; returns at once."""
        assert self.process is None
        self._lives.append(self.mark())
        with self.log.open("ab") as out, self.errors.open("ab") as err:
            self.process = subprocess.Popen(
                self.argv("run", *options),
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def end(self, number: signal.Signals = signal.SIGTERM, within: float = STOP_SECONDS) -> int:
        """Send the signal and wait; returns the exit status. Raises if it does not end in time."""
        assert self.process is not None
        process = self.process
        process.send_signal(number)
        process.wait(within)
        self.process = None
        return process.returncode

    def close(self) -> None:
        """End it somehow, by its pid."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.terminate()
        try:
            process.wait(2 * STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # tells where each thread hangs
            process.wait(STOP_SECONDS)
            raise AssertionError(f"the agent did not end: {self.last_words()}") from None

    def argv(self, verb: str, *options: str) -> list[str]:
        """The command line of any verb on this configuration."""
        return [*self.before, *self.program, "--config", str(self.config), verb, *options]

    def environment(self) -> dict[str, str]:
        """What it is started with: nothing of the tester's own ssh, home and sessions."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("XDG_", "SSH_", "WATCHDOGD_CONFIG", "TMUX", "DOCKER_"))
        }
        own = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime_dir)}
        return kept | own | {"PYTHONFAULTHANDLER": "1"}

    def cli(
        self, verb: str, *options: str, seconds: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run another verb to its end."""
        return subprocess.run(
            self.argv(verb, *options),
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    # ------------------------------------------------------------ what it says

    def status(self) -> dict[str, Any]:
        """Its whole answer. Raises ``NoAgent`` or ``NoAnswer``."""
        path = control_path(str(self.state), {"XDG_RUNTIME_DIR": str(self.runtime_dir)})
        return ask(path, {"verb": "status"}, 5.0)

    def target(self) -> dict[str, Any]:
        """What it says of the one target; empty while it does not answer."""
        try:
            targets: Any = self.status()["targets"]
        except (NoAgent, NoAnswer):
            return {}
        found: dict[str, Any] = targets[0]
        return found

    def url(self) -> str:
        """``watchdogd url``, as the command line prints it."""
        done = self.cli("url")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def page(self, path: str) -> tuple[int, str]:
        """One of its pages: status and body."""
        if self.before:
            return self._page_there(path)
        try:
            with urllib.request.urlopen(f"http://{self.listen}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def _page_there(self, path: str) -> tuple[int, str]:
        """From within the agent's own network."""
        code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"
        done = subprocess.run(
            [*self.before, sys.executable, "-c", code, f"http://{self.listen}{path}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return (200 if done.returncode == 0 else 0), done.stdout

    def metrics(self) -> dict[str, float]:
        """Every sample: ``name{label="value",...}`` without the prefix -> value."""
        _, text = self.page("/metrics")
        found = {}
        for line in text.splitlines():
            if line.startswith("watchdogd_"):
                name, _, value = line.removeprefix("watchdogd_").rpartition(" ")
                found[name] = float(value)
        return found

    def metric(self, name: str, **labels: str) -> float:
        """One sample of the target; 0 if there is no such sample."""
        wanted = {"target": TARGET, **labels}
        inside = ",".join(f'{key}="{wanted[key]}"' for key in sorted(wanted))
        return self.metrics().get(f"{name}{{{inside}}}", 0.0)

    # ------------------------------------------------------------ what it did

    def mark(self) -> int:
        """A place in the log."""
        return self.log.stat().st_size if self.log.exists() else 0

    def records(self, since: int = 0) -> list[dict[str, Any]]:
        """The log's lines from that place on. A line that is no JSON fails the test."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            log.seek(since)
            lines = log.read().split(b"\n")
        return [json.loads(line) for line in lines[:-1]]

    def actions(self, since: int = 0) -> list[str]:
        """The remedies that were begun, in order.

        Compared with the counters: a remedy that only one of the two knows fails the test.
        """
        if self.process is not None and self.process.poll() is None:
            self._agrees()
        return _begun(self.records(since))

    def incidents(self, since: int = 0) -> list[str]:
        """The causes that were confirmed, in order: of incidents opened, or given another cause."""
        told = r"incident(: | is )"
        records = self.records(since)
        return [str(one["cause"]) for one in records if re.match(told, str(one.get("event")))]

    def refusals(self, since: int = 0) -> set[tuple[str, str]]:
        """Each remedy that was passed over, with the reason."""
        found = set()
        for record in self.records(since):
            if "remedy" in record and "reason" in record:
                found.add((str(record["remedy"]), str(record["reason"])))
        return found

    def footprint(self) -> tuple[int, int, int]:
        """Open descriptors, threads and children of the agent now."""
        proc = Path(f"/proc/{self.pid}")
        children = (proc / f"task/{self.pid}/children").read_text().split()
        return len(os.listdir(proc / "fd")), len(os.listdir(proc / "task")), len(children)

    def last_words(self) -> str:
        """For the message of a test that fails."""
        words = ""
        for path in (self.log, self.errors):
            with contextlib.suppress(OSError):
                words += path.read_text(errors="replace")[-4000:]
        return words

    def until(
        self,
        condition: Callable[[], T | None],
        what: str,
        within: float,
        every: float = LOOK_SECONDS,
    ) -> T:
        """Ask until the condition gives something. Fails with what the agent knows."""
        end = time.monotonic() + within
        while True:
            if found := condition():
                return found
            running = self.process is None or self.process.poll() is None
            if not running or time.monotonic() > end:
                why = f"not within {within:.0f} s" if running else "the agent has ended"
                raise AssertionError(f"{why}: {what}\n{_short(self.target())}\n{self.last_words()}")
            time.sleep(every)

    def _agrees(self) -> None:
        """The counters of this life against its log; one that was counted in between is seen again.

        Of a long outage the log has one dial in an hour, the counters each.
        """
        for _ in range(3):
            logged = Counter(_begun(self.records(self._lives[-1])))
            counted = {
                match[1]: int(value)
                for name, value in self.metrics().items()
                if value and (match := re.match(r'remedy_attempts_total{remedy="(\w+)"', name))
            }
            if 0 < logged[DIAL] < counted.get(DIAL, 0):
                counted[DIAL] = logged[DIAL]
            if logged == counted:
                return
        assert logged == counted


def _begun(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(record["remedy"]) for record in records if str(record["event"]).endswith(" begins")]


def _short(target: Mapping[str, Any]) -> str:
    shown = {
        key: target.get(key)
        for key in ("state", "cause", "detail", "phase", "usable", "served", "refusals", "remedy")
    }
    rows = [
        f"{seen['probe']}: {seen['outcome']} {seen['cause']} {seen['detail']}"
        for layer in target.get("layers", [])
        for seen in layer["observations"]
    ]
    return "\n".join((json.dumps(shown), *rows))
