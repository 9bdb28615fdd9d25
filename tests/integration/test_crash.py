"""The agent is killed (SIGKILL) at every step of a remedy and at every write of its journal: afterwards
nothing is done twice, and nothing that was done is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.world import World
from tests.lab.killed import POINTS, acts, run_child
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.journal import SqliteJournal
from watchdogd.core.model import Charge, Intent, Policy
from watchdogd.core.sight import Generation
from watchdogd.core.words import Cause, Remedy, Result
from watchdogd.loop import env_of

pytestmark = pytest.mark.real

CHILD = """
import sys
from pathlib import Path
from tests.fakes_reach import reach_with
from tests.integration.test_crash import intent
from tests.lab.killed import Doomed
from watchdogd.adapters.clock import SystemClock
from watchdogd.carrying.executor import Executor
from watchdogd.core.commands import Apply
from watchdogd.core.words import Remedy, Result
from watchdogd.loop import env_of
from watchdogd.ports import Outcome
from watchdogd.workers import Workers

doomed = Doomed(Path(sys.argv[1]), sys.argv[2])

def remedy(reach, intent, deadline):
    doomed.act(intent.key)
    return Outcome(result=Result.DONE)

clock = SystemClock()
workers = Workers(clock, 4)
executor = Executor(
    reach_with(clock), None, workers, lambda event: None, laptop={}, tunnel={}, server={},
    remedies={Remedy.RESTART_CONTAINER: remedy}, journal=doomed.journal("intend", "finish"),
)
executor.carry(Apply(intent=intent(clock.run())), env_of(clock))
assert doomed.ended.wait(20)  # not for the event: it is posted while the result is still to be written
workers.close(5)
"""


def intent(now: float) -> Intent:
    """What the killed agent decided on."""
    return Intent(
        key="i1:0:restart_container",
        remedy=Remedy.RESTART_CONTAINER,
        incident="i1",
        cause=Cause.RUNTIME_HUNG,
        generation=Generation(container="c" * 64, started="t"),
        decided=now,
        deadline_seconds=180.0,
        charged=True,
    )


@pytest.mark.parametrize("point", [*POINTS, "never"])
def test_killed_there_nothing_is_done_twice_and_nothing_is_lost(point: str, tmp_path: Path) -> None:
    run_child(CHILD, tmp_path, point)
    passed = POINTS.index(point) if point in POINTS else len(POINTS)
    assert len(acts(tmp_path)) == (passed >= POINTS.index("after the act"))

    clock = SystemClock()
    journal = SqliteJournal(str(tmp_path / "journal.sqlite"))
    try:
        kept = journal.load("a100", env_of(clock))
        decided = passed >= POINTS.index("after the intent")
        known = passed >= POINTS.index("after the result")
        # whatever was done is charged, and what may have been done is looked for
        assert len(kept.charges) == decided
        assert kept.open == ((Remedy.RESTART_CONTAINER,) if decided and not known else ())
        if decided:
            with pytest.raises(FileExistsError):
                journal.intend("a100", intent(clock.run()), kept.charges[0])
    finally:
        journal.close()
    starts_again(kept.charges, kept.open)


def starts_again(charges: tuple[Charge, ...], left: tuple[Remedy, ...]) -> None:
    """The next agent, on a runtime that still hangs: the budget is spent, and it waits."""
    world = World(
        policy=Policy(destructive_per_6h=1), boot_id=charges[0].boot_id if charges else "b"
    )
    if charges:
        world.slept = charges[0].boot + 1.0 - world.now
        world.began = world.now + world.slept
        world.state = world.fresh()
    world.start(charges=charges, open=left)
    world.play(120)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(3 * 3600)
    assert world.applied == ([] if charges else [Remedy.RESTART_CONTAINER])


def test_the_result_of_the_act_is_told_as_unknown_once(tmp_path: Path) -> None:
    run_child(CHILD, tmp_path, "after the act")
    journal = SqliteJournal(str(tmp_path / "journal.sqlite"))
    try:
        env = env_of(SystemClock())
        assert journal.load("a100", env).open == (Remedy.RESTART_CONTAINER,)
        again = journal.load("a100", env)
        assert (again.open, len(again.charges)) == ((), 1)
        journal.finish("a100", "i1:0:restart_container", Result.DONE)
    finally:
        journal.close()
