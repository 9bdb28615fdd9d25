"""From the targets in service to others, without touching those that did not change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from watchdogd.app.changes import Changes
from watchdogd.app.parts import close_all
from watchdogd.app.targets import CLOSE_SECONDS, InService
from watchdogd.core.events import SettingsChanged
from watchdogd.loop import Inbox, Regroup
from watchdogd.ports import Clock, Deadline

log = logging.getLogger(__name__)

REGROUP_SECONDS = 30.0
"""For the loop to take up other targets: it deals with one event at a time, each in milliseconds."""


def exchange(
    before: Mapping[str, InService],
    after: Mapping[str, InService],
    changes: Changes,
    *,
    inbox: Inbox,
    clock: Clock,
    moved: Callable[[], None],
) -> None:
    """Have ``after`` in service instead of ``before``; raises nothing. Those that are new are not begun yet.
    ``moved`` is called on the loop's thread, once the loop knows them.

    Order: nothing of a target that leaves is heard any more, then the loop changes over, then the ports
    are closed, because a target that begins afterwards may want the one that another leaves.
    """
    leaving = {name: before[name] for name in changes.ended()}
    for one in leaving.values():
        one.letters.close()
        one.executor.stop()

    def change_over() -> None:
        for name in (*changes.redefined, *changes.retuned):
            after[name].take_effect()
        moved()

    regroup = Regroup(
        members={name: one.member() for name, one in after.items()},
        anew=frozenset(changes.rebuilt),
        changed={
            **{name: SettingsChanged(runtime=True) for name in changes.redefined},
            **{name: SettingsChanged() for name in changes.retuned},
        },
        moved=change_over,
    )
    inbox.regroup(regroup)
    if not regroup.done.wait(REGROUP_SECONDS):
        log.error("the decision loop did not take up the targets in %.0f s", REGROUP_SECONDS)
    close_all(leaving, Deadline.after(clock, CLOSE_SECONDS))
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
