"""The agent is killed (SIGKILL) at every step of a resume hook and at every write of its journal: the hook is
never run twice, and a training that nobody resumed is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.world import World, healthy
from tests.lab.killed import POINTS, acts, run_child
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.journal import SqliteJournal
from watchdogd.core.commands import ResumeEnded
from watchdogd.core.model import Policy
from watchdogd.core.resume import Hook
from watchdogd.core.words import Cause, State
from watchdogd.eventlog.codec import encode
from watchdogd.loop import env_of

pytestmark = pytest.mark.real

CHILD = """
import json, sys
from pathlib import Path
from tests.fakes_reach import reach_with
from tests.lab.killed import Doomed
from watchdogd.adapters.clock import SystemClock
from watchdogd.carrying.executor import Executor
from watchdogd.core.commands import RunHook
from watchdogd.core.resume import Hook
from watchdogd.core.words import Result
from watchdogd.eventlog.codec import decode
from watchdogd.loop import env_of
from watchdogd.ports import Outcome
from watchdogd.workers import Workers

doomed = Doomed(Path(sys.argv[1]), sys.argv[2])
wanted = decode(Hook, json.loads((doomed.folder / "hook").read_text()))

def run(target, hook, deadline):
    doomed.act(hook.key)
    return Outcome(result=Result.DONE)

clock = SystemClock()
workers = Workers(clock, 4)
executor = Executor(
    reach_with(clock), None, workers, lambda event: None, laptop={}, tunnel={}, server={},
    remedies={}, journal=doomed.journal("intend_hook", "finish_hook"), hook=run,
)
executor.carry(RunHook(hook=wanted), env_of(clock))
assert doomed.ended.wait(20)
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
    run_child(CHILD, tmp_path, point)
    ran = acts(tmp_path)
    passed = POINTS.index(point) if point in POINTS else len(POINTS)
    assert len(ran) == (passed >= POINTS.index("after the act"))

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
    world.steps = 1.0 if ran else 0.0
    world.hooks.clear()
    world.start(memory=remembered, hook=kept.hook).play(1800)
    assert len(ran) + len(world.hooks) == (1 if ran or not begun else 0)
    if begun:
        # Nobody knows how it ended: whether the training moves is looked for, and told.
        assert [one.moved for one in world.facts if isinstance(one, ResumeEnded)] == [bool(ran)]
    assert world.state.shown is State.UP
    assert world.broken == []
