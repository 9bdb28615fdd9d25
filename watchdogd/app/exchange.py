"""From the targets in service to others, without touching those that did not change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from watchdogd.app.changes import Changes
from watchdogd.app.parts import close_all
from watchdogd.app.targets import CLOSE_SECONDS, Builder, InService
from watchdogd.core.events import SettingsChanged
from watchdogd.loop import Regroup
from watchdogd.ports import Deadline
from watchdogd.settings import TargetSettings

REGROUP_SECONDS = 30.0
"""For the loop to take up other targets: it deals with one event at a time, each in milliseconds."""


def exchange(
    before: Mapping[str, InService],
    wanted: Mapping[str, TargetSettings],
    changes: Changes,
    made: Mapping[str, InService],
    *,
    builder: Builder,
    moved: Callable[[Mapping[str, InService]], None],
) -> None:
    """Have exactly the ``wanted`` targets in service. ``made``: those that are new or built anew, not yet
    begun; ``moved`` gets all targets, on the loop's thread, once the loop knows them.

    Order: nothing of a target that leaves is heard any more, then the loop changes over, then the ports
    are closed, because a target that begins afterwards may want the one that another leaves.
    """
    leaving = {name: before[name] for name in changes.ended()}
    for one in leaving.values():
        one.letters.close()
        one.executor.stop()
    after = {name: made.get(name) or before[name] for name in wanted}
    for name in (*changes.redefined, *changes.retuned):
        after[name] = builder.renew(before[name], wanted[name])
    regroup = Regroup(
        members={name: one.member() for name, one in after.items()},
        anew=frozenset(changes.rebuilt),
        changed={
            **{name: SettingsChanged(runtime=True) for name in changes.redefined},
            **{name: SettingsChanged() for name in changes.retuned},
        },
        moved=partial(moved, after),
    )
    builder.inbox.regroup(regroup)
    regroup.done.wait(REGROUP_SECONDS)
    close_all(leaving, Deadline.after(builder.clock, CLOSE_SECONDS))
    for name in changes.redefined:
        _change_engine(before[name], after[name])


def _change_engine(old: InService, new: InService) -> None:
    """After a change of the kind of a runtime: the former container engine is not asked any more, a
    new one is listened to."""
    if old.parts.engine is new.parts.engine:
        return
    if old.deaths is not None:
        old.deaths.stop()
    if old.parts.engine is not None:
        old.parts.engine.close()
    if new.deaths is not None:
        new.deaths.start()
