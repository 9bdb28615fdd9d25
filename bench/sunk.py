"""The simulated agent with the real sinks: log, metrics, recorder, journal and workers, on a real disk.

For long runs: what does a month of trouble leave on the disk, and does the process itself stay as it was?
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.event_files import EventFiles
from watchdogd.adapters.journal import SqliteJournal
from watchdogd.core.commands import Apply, Command, Probe, Publish
from watchdogd.core.events import Event, Observed, RemedyFinished
from watchdogd.core.machine import step
from watchdogd.core.model import Policy, View
from watchdogd.probes import DECLARED_CAUSES
from watchdogd.sim.agent import Agent
from watchdogd.sinks import log
from watchdogd.sinks.memory import MemoryKeeper
from watchdogd.sinks.metrics import MetricsSink
from watchdogd.sinks.recent import RecentFacts
from watchdogd.sinks.recorder import Recorder
from watchdogd.sinks.series import TunnelFacts
from watchdogd.workers import Answer, Workers

TARGET = "a100"
BEHIND = 500
"""Steps that the recorder may be behind: the simulation waits for the disk, as real time would."""
PATIENCE = 60.0
LOOK_SECONDS = 2.0
"""Deadline of a look. The pool keeps each job's record until then, and thousands of looks begin in a
minute here: with a long one the process would not be warm before it had passed."""
RENDERED_EVERY = 100
"""Rounds between two scrapes of the metrics."""


class CountedFiles(EventFiles):
    """Tells how many steps were written."""

    def __init__(self, folder: Path, *, file_bytes: int, total_bytes: int) -> None:
        super().__init__(folder, file_bytes=file_bytes, total_bytes=total_bytes)
        self.steps = 0
        self.changed = threading.Condition()

    def append(self, text: bytes) -> None:
        super().append(text)
        with self.changed:
            self.steps += 1
            self.changed.notify()

    def await_steps(self, number: int) -> None:
        """Until so many are written."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.steps >= number, PATIENCE), self.steps


class Sunk(Agent):
    """Plays every round, and tells the real sinks of each step. ``close`` ends their threads."""

    def __init__(
        self,
        folder: Path,
        policy: Policy | None = None,
        *,
        file_bytes: int = 8 << 20,
        total_bytes: int = 64 << 20,
    ) -> None:
        super().__init__(policy, skip=False)
        self.steps = 0
        self.journal = SqliteJournal(str(folder / "journal.sqlite"))
        self.files = CountedFiles(folder / "events", file_bytes=file_bytes, total_bytes=total_bytes)
        self.recorder = Recorder(self.files, lambda target: (), version="0.0")
        self.memory = MemoryKeeper(self.journal.remember)
        self.metrics = MetricsSink(
            {TARGET: self.policy}, probes=DECLARED_CAUSES, started_wall=1.0, version="0.0"
        )
        self.metrics.show(self._view, lambda: {}, lambda name: TunnelFacts(), self.env)
        self.workers = Workers(SystemClock(), 1)
        self._sinks = (log.LogSink(), self.metrics, RecentFacts(), self.memory)
        self._looked = threading.Event()
        self.recorder.start()
        self.memory.start()

    def close(self) -> None:
        """Everything is written, and every thread of this agent has ended."""
        assert self.workers.close(PATIENCE) == ()
        assert self.recorder.close(PATIENCE)
        assert self.memory.close(PATIENCE)
        self.journal.close()

    def take(self, event: Event) -> None:
        """One step, told as the loop tells it: the state is replaced first, the sinks are told, then the
        commands are carried out."""
        if isinstance(event, Observed) and event.started <= self._disturbed:
            event = replace(event, stalled=True)
        before, env = self.state, self.env()
        self.state, commands = step(before, event, self.policy, env)
        facts = [one.fact for one in commands if isinstance(one, Publish)]
        for sink in self._sinks:
            sink.told(TARGET, event, facts, self.state, env)
        if isinstance(event, RemedyFinished):
            self.journal.finish(TARGET, event.key, event.result)
        state = self.state
        for command in commands:
            self._carry(command)
        self.recorder.stepped(TARGET, before, event, self.policy, env, state, commands)
        self.steps += 1
        self.files.await_steps(self.steps - BEHIND)

    def _carry(self, command: Command) -> None:
        if isinstance(command, Apply) and command.intent.charged:
            self.journal.intend(TARGET, command.intent, self.state.charges[-1])
        super()._carry(command)

    def _probe(self, command: Probe) -> None:
        """A worker looks, as a worker would; some of them break."""
        breaks = self.rounds_played % 7 == 0
        self._looked.clear()
        self.workers.submit("look", lambda: 1 // (not breaks), LOOK_SECONDS, self._answered)
        assert self._looked.wait(PATIENCE)
        if self.rounds_played % RENDERED_EVERY == 0:
            self.metrics.render("")
        super()._probe(command)

    def _answered(self, answer: Answer[int]) -> None:
        self._looked.set()

    def _view(self) -> View:
        return View(targets={TARGET: self.state}, started_wall=1.0, last_round_wall=1.0)


@contextmanager
def logging_to(stream: TextIO) -> Iterator[None]:
    """The process's log goes there, as an agent's would; afterwards as before."""
    root, own = logging.getLogger(), logging.getLogger("watchdogd")
    before = (list(root.handlers), root.level, own.level)
    root.handlers[:] = []  # a test's own would keep every line in memory
    log.configure("json", "info", tuple, stream=stream, environ={})
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        own.setLevel(before[2])
        logging.captureWarnings(capture=False)


def bytes_below(folder: Path) -> int:
    """Of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of this process."""

    resident_kib: int
    descriptors: int
    threads: int
    children: int
    """That live, or ended and were not waited for."""

    def __str__(self) -> str:
        return (
            f"{self.resident_kib} KiB resident, {self.descriptors} descriptors, "
            f"{self.threads} threads, {self.children} children"
        )


def footprint() -> Footprint:
    """As it is now."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    tasks = list(Path("/proc/self/task").iterdir())
    return Footprint(
        resident_kib=resident >> 10,
        descriptors=len(os.listdir("/proc/self/fd")),
        threads=len(tasks),
        children=sum(map(_children, tasks)),
    )


def _children(task: Path) -> int:
    try:
        return len((task / "children").read_text().split())
    except OSError:  # that thread ended meanwhile
        return 0
