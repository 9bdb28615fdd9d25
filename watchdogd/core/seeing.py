"""What the server's side showed in a round, and what must be remembered of it: work, and who ended it."""

from __future__ import annotations

from dataclasses import replace

from watchdogd.core import life
from watchdogd.core.commands import KernelsGone
from watchdogd.core.events import ContainerDied, Observed
from watchdogd.core.model import TargetState
from watchdogd.core.sight import ContainerSight, KernelSight, TrainingSight
from watchdogd.core.traces import Death
from watchdogd.core.turn import Turn
from watchdogd.core.words import Cause, ContainerStatus, Outcome, ProbeName

IMPAIRED_LOOKS = 2
KERNEL, RUNNING, ENGINE_DOWN = (
    ProbeName.KERNEL,
    ContainerStatus.RUNNING,
    Cause.CONTAINER_ENGINE_DOWN,
)
"""What each round is compared with. Named once: Python 3.11 looks a member up slowly."""


def take(turn: Turn, event: Observed) -> None:
    """Keep the newest of each server-side part. Only for a round that is neither void nor late: what
    such a one saw is no ground to act."""
    old, new = turn.state.sight, event.sight
    _forget_death(turn, event)
    _look_for_engine(turn, event)
    _look_for_person(turn, new.container)
    same = not turn.state.generation.differs(new.generation(turn.policy.kind))
    kernels = old.kernels if same else None
    _look_for_gone_kernels(turn, kernels, new.kernels)
    _look_for_impaired(turn, event)
    known = old if kernels is old.kernels else replace(old, kernels=kernels)
    turn.change(sight=new.over(known), life=life.seen(turn, event))
    _keep_step(turn, new.training)


def _keep_step(turn: Turn, seen: TrainingSight | None) -> None:
    """The file that shows it may be lost with the run."""
    if turn.policy.resumes and seen is not None and seen.step is not None:
        turn.change(last_step=seen.step)


def impaired(state: TargetState) -> str:
    """What of a runtime that answers was found broken, twice in a row; empty if nothing."""
    return state.impaired if state.impaired_looks >= IMPAIRED_LOOKS else ""


def _look_for_impaired(turn: Turn, event: Observed) -> None:
    """One handler that fails while the runtime answers. A round that did not ask it says nothing."""
    for told in event.observations:
        if told.probe is KERNEL:
            break
    else:
        return
    if told.outcome is Outcome.FAIL:
        broken = told.detail or "one of its handlers fails"
        turn.change(impaired=broken, impaired_looks=turn.state.impaired_looks + 1)
    elif turn.state.impaired:
        turn.change(impaired="", impaired_looks=0)


def _look_for_gone_kernels(turn: Turn, before: KernelSight | None, now: KernelSight | None) -> None:
    """Kernels that ended while their runtime stayed: by a person, a crash, or a setting of the runtime."""
    if before is None or now is None:
        return
    if gone := before.kernels - now.kernels:
        turn.tell(KernelsGone(kernels=tuple(sorted(gone)), busy=bool(gone & before.busy)))


def told_of_death(turn: Turn, event: ContainerDied) -> None:
    """Look at the server now, whatever the plan was; what is to be done, the look decides.

    Only the end of the run that was read last is anybody's business: the word of a former one can come
    late, after a connection broke.
    """
    known = turn.state.sight.container
    if known is None or event.container != known.id or not known.started:
        return
    if event.at < known.started_at:
        return
    death = Death(container=event.container, started=known.started, told_run=turn.env.run)
    turn.change(death=death)
    turn.look_again(0)


def _forget_death(turn: Turn, event: Observed) -> None:
    """A look that began after it was told and finds the container at work: nothing is left of it."""
    death, now = turn.state.death, event.sight.container
    if death is None or now is None or event.started < death.told_run:
        return
    if now.status is RUNNING:
        turn.change(death=None)


def death_unread(state: TargetState) -> bool:
    """The engine told of a death, and the container was not read since."""
    container = state.sight.container
    return state.death is not None and (
        container is None or container.read_at < state.death.told_run
    )


def _look_for_engine(turn: Turn, event: Observed) -> None:
    """An engine that ends takes its containers along, and its events: nobody asked for that."""
    state, now = turn.state, event.sight.container
    before = state.sight.container
    if state.engine_lost and now is not None and now.status is RUNNING:
        turn.change(engine_lost=None)
    if before is None or before.status is not RUNNING:
        return
    for one in event.observations:
        if one.cause is ENGINE_DOWN:
            turn.change(engine_lost=(before.id or "", before.started))
            return


def _look_for_person(turn: Turn, newer: ContainerSight | None) -> None:
    """Who ended it is told by the engine's events only, and these are lost with a reboot."""
    if newer is None:
        return
    run, known = (newer.id or "", newer.started), turn.state.ended_by_person
    if newer.stopped_by_person:
        turn.change(ended_by_person=run)
    elif newer.id is not None and known is not None and known != run:
        turn.change(ended_by_person=None)
