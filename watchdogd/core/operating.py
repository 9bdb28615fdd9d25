"""The operator's hand: pause, approve, order, reset; and what of a target survives the agent.

A person knows what no probe sees. What is allowed here is still done by the same remedies, charged to the
same budgets and proved in the same way.
"""

from __future__ import annotations

from dataclasses import replace

from watchdogd.core import remedying, resuming, rounds
from watchdogd.core.choose import APPROVABLE
from watchdogd.core.commands import OperatorSpoke, PauseBegan, PauseEnded
from watchdogd.core.events import Approved, Ordered, Paused, Reset, Started, Unpaused
from watchdogd.core.model import Approval, Env, Memory, Pause, TargetState
from watchdogd.core.turn import Turn
from watchdogd.core.words import ACTING, HARM, WAITING, Harm, Phase, Remedy

APPROVAL_SECONDS = 1800.0
"""So long an approval holds: who gave it had the present state in mind."""


def spoken(turn: Turn, event: Paused | Unpaused | Approved | Ordered | Reset) -> None:
    """Do what a person said, or tell why that is worth nothing now."""
    match event:
        case Paused():
            _pause(turn, event)
        case Unpaused():
            if turn.state.pause is not None:
                _go_on(turn, event.actor)
        case Approved():
            _approve(turn, event)
        case Ordered():
            _order(turn, event)
        case Reset():
            _reset(turn, event)


def _pause(turn: Turn, event: Paused) -> None:
    pause = Pause(
        since_wall=turn.env.wall,
        until_wall=event.until_wall,
        actor=event.actor,
        reason=event.reason,
    )
    turn.change(pause=pause, approval=None, refusals=())
    turn.tell(PauseBegan(pause=pause))
    turn.forget_streak()
    turn.look_again(0)


def _go_on(turn: Turn, actor: str) -> None:
    """All is judged afresh, from now on; nothing is made up for."""
    turn.change(pause=None)
    turn.tell(PauseEnded(actor=actor))
    rounds.blinded(turn)


def expire(turn: Turn) -> None:
    """Ends of a pause and of an approval; and no phase but ``blind`` while paused, once nothing runs."""
    state, env = turn.state, turn.env
    if state.pause is not None and pause_left(state, env) <= 0:
        _go_on(turn, "")
    elif state.pause is not None and state.phase not in (*ACTING, Phase.BLIND):
        turn.enter(Phase.BLIND)
    if state.approval is not None and env.boot >= state.approval.until_boot:
        turn.change(approval=None)


def pause_left(state: TargetState, env: Env) -> float:
    """Seconds until the pause ends by itself; infinity without one, or without an end.

    By the wall clock, which goes on over a sleep, a reboot and the agent's own end.
    """
    pause = state.pause
    if pause is None or pause.until_wall is None:
        return float("inf")
    return pause.until_wall - env.wall


def clock_set(turn: Turn, by: float) -> None:
    """The wall clock was set: a pause keeps its length."""
    pause = turn.state.pause
    if pause is not None and pause.until_wall is not None:
        moved = replace(pause, since_wall=pause.since_wall + by, until_wall=pause.until_wall + by)
        turn.change(pause=moved)


def asked(state: TargetState) -> Remedy | None:
    """The remedy that waits for a person's word."""
    if state.phase not in WAITING:
        return None
    return next((remedy for remedy, reason in state.refusals if reason in APPROVABLE), None)


def _approve(turn: Turn, event: Approved) -> None:
    state, remedy = turn.state, asked(turn.state)
    if remedy is None or state.incident is None or state.pause is not None:
        why = "the target is paused" if state.pause is not None else "nothing waits for an approval"
        turn.tell(OperatorSpoke(verb="approve", accepted=False, actor=event.actor, detail=why))
        return
    approval = Approval(
        remedy=remedy,
        incident=state.incident.id,
        generation=state.generation,
        until_boot=turn.env.boot + APPROVAL_SECONDS,
        actor=event.actor,
    )
    turn.change(approval=approval)
    turn.tell(OperatorSpoke(verb="approve", accepted=True, remedy=remedy, actor=event.actor))


def _order(turn: Turn, event: Ordered) -> None:
    if why := impossible(turn.state, event.remedy):
        turn.tell(
            OperatorSpoke(
                verb="heal", accepted=False, remedy=event.remedy, actor=event.actor, detail=why
            )
        )
        return
    turn.tell(OperatorSpoke(verb="heal", accepted=True, remedy=event.remedy, actor=event.actor))
    remedying.apply(turn, event.remedy, ordered=True)


def impossible(state: TargetState, remedy: Remedy) -> str:
    """Why this remedy cannot even be ordered now; empty if it can."""
    if state.phase in ACTING:
        return "another remedy is at work; wait for its end"
    if remedy not in remedying.ACT_SECONDS:
        return f"{remedy} is not built yet"
    if not state.journal_ok and HARM[remedy] is not Harm.HARMLESS:
        return "the journal cannot be written, so nothing that is charged may run"
    if HARM[remedy] is not Harm.DESTRUCTIVE:
        return ""
    if state.generation.container is None or state.sight.host is None:
        return "the agent does not see which one is meant: the server was not read lately"
    return ""


def _reset(turn: Turn, event: Reset) -> None:
    incident = turn.state.incident
    turn.change(
        restarts_unverified=0,
        failed_starts=0,
        ooms=(),
        not_before=(),
        refusals=(),
        incident=None if incident is None else replace(incident, failed=()),
    )
    resuming.lifted(turn)
    turn.tell(OperatorSpoke(verb="reset", accepted=True, actor=event.actor))
    rounds.blinded(turn)


# ---------------------------------------------------------------- what survives the agent


def memory(state: TargetState) -> Memory:
    """What is to be kept of a target."""
    return Memory(
        incident=state.incident,
        armed=state.armed,
        ended_by_person=state.ended_by_person,
        failed_starts=state.failed_starts,
        restarts_unverified=state.restarts_unverified,
        ooms=state.ooms,
        pause=state.pause,
        shadow=state.shadow,
        resume=state.resume,
    )


def remembered(turn: Turn, event: Started) -> None:
    """Take up what a former agent left. What it counted is stale and was not kept."""
    kept, now = event.memory, turn.env.run
    unverified = kept.restarts_unverified
    if any(HARM[remedy] is Harm.DESTRUCTIVE for remedy in event.open):
        # Nobody knows how it ended: it counts as one that did not help, and is given time to show.
        unverified = max(1, unverified)
        turn.change(destructive_grace_until=now + turn.policy.start_grace)
    turn.change(
        incident=kept.incident,
        armed=kept.armed,
        ended_by_person=kept.ended_by_person,
        failed_starts=kept.failed_starts,
        restarts_unverified=unverified,
        ooms=kept.ooms,
        pause=kept.pause,
        would=None,
        shadow=kept.shadow,
    )
    resuming.remembered(turn, event)
