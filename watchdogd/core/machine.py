"""``step``: one event -> a new state and what is wished for. The only writer of the phase.

Total and deterministic: each event is legal in each phase, nothing is raised, and the same log gives
the same decisions. The public state is derived from phase and verdict at the end of each turn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from watchdogd.core import (
    dialing,
    flapping,
    network,
    operating,
    remedying,
    resuming,
    rounds,
    seeing,
    shadowing,
)
from watchdogd.core.account import booked
from watchdogd.core.budget import kept
from watchdogd.core.commands import (
    Bind,
    CloseLink,
    Command,
    Dial,
    Probe,
    Reconnected,
    SetAnswer,
    StateChanged,
    Wake,
)
from watchdogd.core.events import (
    Approved,
    BindFailed,
    ClockStepped,
    ContainerDied,
    DialFailed,
    Event,
    FilesChanged,
    HookFinished,
    LinkLost,
    LinkSilent,
    LinkSpeaking,
    LinkUp,
    NetworkChanged,
    Observed,
    Ordered,
    Paused,
    PortBound,
    RemedyFinished,
    Reset,
    Resumed,
    SettingsChanged,
    Started,
    Unpaused,
    Woke,
)
from watchdogd.core.model import (
    Account,
    Env,
    Policy,
    TargetState,
)
from watchdogd.core.pacing import only_shown
from watchdogd.core.turn import Turn
from watchdogd.core.words import ACTING, STEADY, UP, WAITING, Cause, Phase, State

DRAIN_SECONDS = 60.0
"""A replaced link is closed once nobody uses it, or once it was silent for so long: while it speaks, nobody's
connection is cut."""
ROUND_LOST_SECONDS = 120.0
"""A round that was not answered so long, beyond one probe's time, never will be: the next begins."""
REPUBLISH_SECONDS = 60.0
"""A refusal that lasts is told again so often (the alert on it looks at increases)."""


def first(env: Env) -> TargetState:
    """The state of a target before its first event."""
    return TargetState(
        phase_since=env.run,
        shown_since_boot=env.boot,
        account=Account(booked_until=env.boot),
        last_up_wall=env.wall,
    )


def anew(before: TargetState, env: Env) -> TargetState:
    """The state of a target that is built anew in the place of ``before``: nothing seen or counted
    stays, but its time goes on being booked where it was, so that no second is lost or told twice."""
    account = booked(before.account, before.shown, env.boot, asleep=0.0)
    return replace(
        first(env),
        account=account,
        last_up_wall=before.last_up_wall,
        incidents_opened=before.incidents_opened,
        shadow=before.shadow,
    )


def step(
    state: TargetState, event: Event, policy: Policy, env: Env
) -> tuple[TargetState, tuple[Command, ...]]:
    """What becomes of a target by one event. See the module's docstring for what is guaranteed."""
    turn = Turn(state, policy, env)
    _take(turn, event)
    calm = at_rest(turn.state)
    if not calm:
        _see_to_pending(turn)
    changed = turn.state is not state
    _probe(turn)
    if changed or not calm:
        # Else all that is shown and answered is as the last turn left it.
        _show(turn)
        _answer(turn)
    _close(turn, state, event, calm=calm)
    return turn.state, tuple(turn.commands)


def _take(turn: Turn, event: Event) -> None:
    match event:
        case Started():
            _started(turn, event)
        case Observed():
            rounds.observed(turn, event)
        case RemedyFinished():
            remedying.finished(turn, event)
        case HookFinished():
            resuming.finished(turn, event)
        case Woke():
            pass
        case Resumed():
            rounds.blinded(turn)
            turn.change(dialing=dialing.reset(turn.state.dialing, turn.env))
            network.asked(turn)
        case NetworkChanged():
            network.changed(turn, event)
        case ClockStepped(by=by):
            operating.clock_set(turn, by)
            rounds.blinded(turn)
        case LinkUp() | LinkSilent() | LinkSpeaking() | LinkLost() | DialFailed():
            _link(turn, event)
        case PortBound():
            turn.change(dialing=replace(turn.state.dialing, port_bound=True, port_holder=""))
            turn.look_again(0)
        case BindFailed():
            known = replace(turn.state.dialing, port_bound=False, port_holder=event.holder)
            turn.change(dialing=known, bind_at=turn.env.run + turn.policy.suspect_interval)
            if turn.state.round == 0 or turn.state.verdict.cause is not Cause.PORT_CONFLICT:
                turn.look_again(0)
        case ContainerDied():
            seeing.told_of_death(turn, event)
        case FilesChanged():
            turn.change(dialing=dialing.freed(turn.state.dialing, turn.env))
        case SettingsChanged(runtime=runtime):
            if runtime:
                rounds.redefined(turn)
            turn.look_again(0)
        case Paused() | Unpaused() | Approved() | Ordered() | Reset():
            operating.spoken(turn, event)
        case _:
            assert_never(event)


def _started(turn: Turn, event: Started) -> None:
    turn.change(
        charges=kept(event.charges, turn.env),
        journal_ok=event.journal_ok,
        observes_until=turn.env.run + (event.observe_seconds or 0.0),
    )
    operating.remembered(turn, event)
    rounds.blinded(turn)
    turn.emit(Bind())
    turn.change(bind_at=turn.env.run + turn.policy.suspect_interval)


def _link(turn: Turn, event: LinkUp | LinkSilent | LinkSpeaking | LinkLost | DialFailed) -> None:
    before, env = turn.state.dialing, turn.env
    match event:
        case LinkUp():
            known = dialing.link_up(before, event, env)
            if before.up is not None and before.up != event.number:
                turn.emit(CloseLink(number=before.up, drain_seconds=DRAIN_SECONDS))
            if before.ever_up and before.lost_at is not None:
                cause = before.lost_cause or Cause.LINK_LOST
                turn.tell(Reconnected(cause=cause, seconds=env.run - before.lost_at))
        case LinkSilent():
            known = dialing.link_silent(before, event, env)
        case LinkSpeaking():
            known = dialing.link_speaking(before, event, env)
        case LinkLost():
            known = dialing.link_lost(before, event, env)
        case DialFailed():
            known = dialing.dial_failed(before, event, env)
        case _:
            assert_never(event)
    turn.change(dialing=known)
    if known == before:
        return
    turn.look_again(0)
    if before.up is not None and known.up is None:
        rounds.suspected(turn, Cause.LINK_LOST)


def _see_to_pending(turn: Turn) -> None:
    """What follows from the new state whatever the event was: deadlines, dials, remedies."""
    operating.expire(turn)
    remedying.expire(turn)
    _bind(turn)
    _dial(turn)
    remedying.decide(turn, republish_after=REPUBLISH_SECONDS)
    shadowing.follow(turn)
    resuming.follow(turn)


def at_rest(state: TargetState) -> bool:
    """Healthy, linked, and nothing pending: no deadline, dial or remedy is to be seen to.

    Each line names whose condition it denies, so nearly all events are spared all of these.
    """
    link = state.dialing
    return (
        state.phase is STEADY  # remedying.decide
        and state.pause is None  # operating.expire
        and state.approval is None
        and not state.not_before  # remedying.expire
        and state.intent is None
        and state.would is None  # shadowing.follow
        and (state.resume is None or not resuming.pending(state))  # resuming.follow
        and link.port_bound  # _bind
        and link.up is not None  # _dial
        and not link.silent
        and link.dialing is None
    )


def _bind(turn: Turn) -> None:
    state = turn.state
    if not state.dialing.port_bound and 0.0 < state.bind_at <= turn.env.run:
        turn.emit(Bind())
        turn.change(bind_at=turn.env.run + turn.policy.suspect_interval)


def _dial(turn: Turn) -> None:
    """Dial when one is due, unless a confirmed cause makes that dial a remedy of its own."""
    known = dialing.unanswered(turn.state.dialing, turn.env)
    if known is not turn.state.dialing:
        turn.change(dialing=known)
    state = turn.state
    if not dialing.due(state.dialing, turn.env) or remedying.redial_is_remedy(state, turn.policy):
        return
    if network.forbids_dial(turn):
        return
    number = state.dialing.last_number + 1
    since = turn.env.run
    known = replace(state.dialing, dialing=number, last_number=number, dialing_since=since)
    turn.change(dialing=known)
    turn.emit(Dial(number=number))


def _probe(turn: Turn) -> None:
    state, now = turn.state, turn.env.run
    if state.next_round_at > now:
        return
    lost = now - state.round_since > ROUND_LOST_SECONDS + turn.policy.timeout
    if state.round_open and not lost:
        return
    number = state.round + 1
    calm = state.phase is STEADY or only_shown(state)
    deep = not calm or state.round % turn.policy.deep_every == 0 or seeing.death_unread(state)
    turn.change(round=number, round_open=True, round_since=now, hurry=False)
    turn.emit(Probe(round=number, deep=deep))


def _show(turn: Turn) -> None:
    state = turn.state
    shown = _derived(state)
    if shown is state.shown:
        return
    turn.change(shown=shown, shown_since_boot=turn.env.boot)
    turn.tell(
        StateChanged(
            old=state.shown,
            new=shown,
            cause=state.verdict.cause,
            detail=state.verdict.detail or seeing.impaired(state),
            mend=state.verdict.mend,
        )
    )


def _derived(state: TargetState) -> State:
    """The public state, from the phase and the last verdict."""
    if state.pause is not None:
        return State.PAUSED
    works = bool(state.verdict.usable)
    match state.phase:
        case Phase.STEADY | Phase.SETTLING:
            poor = seeing.impaired(state) or flapping.unsteady(state.flaps)
            return State.DEGRADED if poor else State.UP
        case Phase.BLIND:
            return State.OFFLINE if network.absent(state) else State.UNKNOWN
        case Phase.SUSPECT if state.shown in (State.HEALING, State.DOWN):
            return State.DEGRADED if works else State.DOWN
        case Phase.SUSPECT:
            return state.shown
        case Phase.CONFIRMED | Phase.HELD:
            return State.DEGRADED if works else State.DOWN
        case Phase.ACTING | Phase.VERIFYING:
            return State.DEGRADED if works else State.HEALING
        case _:
            assert_never(state.phase)


def _answer(turn: Turn) -> None:
    known = turn.state.dialing
    if known.up is not None and not known.silent:
        return
    off = turn.state.verdict.cause if turn.state.shown is State.OFFLINE else None
    answer = (off or known.failure or known.lost_cause, known.next_at)
    if answer != turn.state.answer:
        turn.change(answer=answer)
        wait = max(0.0, known.next_at - turn.env.run)
        turn.emit(SetAnswer(cause=answer[0], retry_after=wait))


def _close(turn: Turn, before: TargetState, event: Event, *, calm: bool) -> None:
    """Book the time since the last event to what was shown in it, and ask for the next one."""
    env, shown = turn.env, before.shown
    slept = event.slept if isinstance(event, Resumed) else 0.0
    up = shown is UP or turn.state.shown is UP
    wake_at = _wake_at(turn.state, env, calm=calm)
    turn.close(
        before,
        account=booked(before.account, shown, env.boot, asleep=slept),
        last_up_wall=env.wall if up else before.last_up_wall,
        wake_at=wake_at,
    )
    if wake_at != before.wake_at:
        turn.emit(Wake(at=wake_at))


def _wake_at(state: TargetState, env: Env, *, calm: bool) -> float:
    """Never stuck: a timer is always pending, whatever else is. Who was at rest still is."""
    now, soonest = env.run, env.run + REPUBLISH_SECONDS
    times = [] if calm else _deadlines(state, env)
    if not state.round_open:
        times.append(state.next_round_at)
    for at in times:
        if now < at < soonest:
            soonest = at
    return soonest


def _deadlines(state: TargetState, env: Env) -> list[float]:
    """When something of what is pending is due, if it is not yet."""
    times = []
    if not state.dialing.port_bound:
        times.append(state.bind_at)
    if dialing.wanted(state.dialing):
        times.append(state.dialing.next_at)
    if state.phase in ACTING:
        times.append(state.verify_until)
    if state.not_before:
        times.extend(at for _, at in state.not_before)
    if state.phase in WAITING:
        times.extend((state.grace_until, state.destructive_grace_until))
    if resuming.pending(state):
        times.extend((state.hook_until, state.hook_not_before))
    if state.pause is not None:
        times.append(env.run + operating.pause_left(state, env))
    return times
