"""The agent is killed (SIGKILL) at every step of a resume hook and at every write of its journal: the hook is
never run twice, and a training that nobody resumed is told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.world import World, healthy
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.journal import SqliteJournal
from watchdogd.core.commands import ResumeEnded
from watchdogd.core.model import Policy
from watchdogd.core.resume import Hook
from watchdogd.core.words import Cause, State
from watchdogd.eventlog.codec import encode
from watchdogd.loop import env_of

pytestmark = pytest.mark.real

POINTS = (
    "before the intent",
    "within the intent",
    "after the intent",
    "before the act",
    "after the act",
    "before the result",
    "within the result",
    "after the result",
)
"""In the order in which they are passed; "within": after the write, before its commit."""
CHILD = """
import json, os, signal, sys, threading
from pathlib import Path
from tests.fakes_reach import reach_with
from watchdogd.adapters import journal as module
from watchdogd.adapters.clock import SystemClock
from watchdogd.carrying.executor import Executor
from watchdogd.core.commands import RunHook
from watchdogd.core.resume import Hook
from watchdogd.core.words import Result
from watchdogd.eventlog.codec import decode
from watchdogd.loop import env_of
from watchdogd.ports import Outcome
from watchdogd.workers import Workers

folder, point = Path(sys.argv[1]), sys.argv[2]
wanted = decode(Hook, json.loads((folder / "hook").read_text()))
ended = threading.Event()

def die(here):
    if here == point:
        os.kill(os.getpid(), signal.SIGKILL)

class Journal(module.SqliteJournal):
    writing = ""
    def intend_hook(self, *words):
        die("before the intent"); self.writing = "within the intent"
        super().intend_hook(*words)
        die("after the intent")
    def finish_hook(self, *words):
        die("before the result"); self.writing = "within the result"
        super().finish_hook(*words)
        die("after the result")
        ended.set()
    def _open(self):
        return Watched(super()._open(), self)

class Watched:
    def __init__(self, real, owner):
        self.real, self.owner = real, owner
    def execute(self, text, *words):
        if text == "COMMIT":
            die(self.owner.writing)
        return self.real.execute(text, *words)

def run(target, hook, deadline):
    die("before the act")
    with (folder / "acts").open("a") as acts:
        acts.write(hook.key + "\\n"); acts.flush(); os.fsync(acts.fileno())
    die("after the act")
    return Outcome(result=Result.DONE)

clock = SystemClock()
workers = Workers(clock, 4)
journal = Journal(str(folder / "journal.sqlite"))
executor = Executor(
    reach_with(clock), None, workers, lambda event: None, laptop={}, tunnel={}, server={},
    remedies={}, journal=journal, hook=run,
)
executor.carry(RunHook(hook=wanted), env_of(clock))
assert ended.wait(20)
workers.close(5)
"""


def decided() -> World:
    """An agent that decided to resume the training; what comes of that is another process's part."""
    policy = Policy(resumes=True, watches_training=True, watches_progress=True)
    world = healthy(policy=policy, steps=1.0, hook_result=None)
    world.steps, world.container = 0.0, Cause.CONTAINER_EXITED
    while not world.hooks:
        world.play(0.5)
    return world


@pytest.mark.parametrize("point", [*POINTS, "never"])
def test_killed_there_the_hook_is_not_run_twice_and_not_forgotten(
    point: str, tmp_path: Path
) -> None:
    world = decided()
    (hook,) = world.hooks
    (tmp_path / "hook").write_text(json.dumps(encode(Hook, hook)))
    argv = [sys.executable, "-c", CHILD, str(tmp_path), point]
    done = subprocess.run(argv, timeout=60, check=False)
    assert done.returncode == (0 if point == "never" else -signal.SIGKILL)
    acts = (tmp_path / "acts").read_text().split() if (tmp_path / "acts").exists() else []
    passed = POINTS.index(point) if point in POINTS else len(POINTS)
    assert len(acts) == (passed >= POINTS.index("after the act"))

    journal = SqliteJournal(str(tmp_path / "journal.sqlite"))
    try:
        kept = journal.load("a100", env_of(SystemClock()))
        begun = passed >= POINTS.index("after the intent")
        assert (kept.hook is not None) == begun
        if begun:
            with pytest.raises(FileExistsError):
                journal.intend_hook("a100", hook, env_of(SystemClock()))
    finally:
        journal.close()

    remembered = world.killed()
    world.steps = 1.0 if acts else 0.0
    world.hooks.clear()
    world.start(memory=remembered, hook=kept.hook).play(1800)
    assert len(acts) + len(world.hooks) == (1 if acts or not begun else 0)
    if begun:
        # Nobody knows how it ended: whether the training moves is looked for, and told.
        assert [one.moved for one in world.facts if isinstance(one, ResumeEnded)] == [bool(acts)]
    assert world.state.shown is State.UP
    assert world.broken == []
