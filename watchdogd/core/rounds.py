"""What a round of observations does to a target: counting, re-rooting, phases.

Only a conclusive round counts: one that is void (sleep, stall, fault of the agent), unknown, or that
began before the last remedy ended changes nothing but what is shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from watchdogd.core import flapping, life, network, quiet, resuming, seeing
from watchdogd.core.commands import IncidentClosed, IncidentOpened, IncidentRerooted, RemedyVerified
from watchdogd.core.confirming import NO_NETWORK, ONCE, confirmed, failing_anyhow
from watchdogd.core.events import Observed
from watchdogd.core.judge import judge
from watchdogd.core.model import (
    NO_STREAK,
    Incident,
    Observation,
    Streak,
    TargetState,
    Verdict,
)
from watchdogd.core.pacing import only_shown, until_next
from watchdogd.core.records import merged
from watchdogd.core.sight import NOTHING_KNOWN, Generation, Sight
from watchdogd.core.traces import Life
from watchdogd.core.turn import Turn
from watchdogd.core.words import (
    ACTING,
    HARM,
    WAITING,
    Cause,
    Harm,
    Layer,
    Outcome,
    Phase,
)


def blinded(turn: Turn) -> None:
    """After start, wake or a clock step: nothing known counts, and only harmless remedies for a while.

    A remedy in flight is not issued again; its verification goes on.
    """
    now = turn.env.run
    turn.forget_streak()
    turn.change(
        grace_until=now + turn.policy.wake_grace,
        ignore_before=now,
        life=Life(quiet=turn.state.life.quiet),
        sight=Sight(),
    )
    if turn.state.phase not in ACTING:
        turn.enter(Phase.BLIND)
        turn.change(verdict=Verdict())
    turn.look_again(0)


def redefined(turn: Turn) -> None:
    """The configuration says that something else is behind the tunnel: it is met for the first time.

    What was seen healthy, and how often a start failed, was said of the former one. Charges stay: no
    edit gives a budget back. Who ended which run stays too, as it names the run.
    """
    blinded(turn)
    turn.change(
        observations=(),
        generation=Generation(),
        life=Life(),
        armed=None,
        destructive_grace_until=turn.env.run + turn.policy.start_grace,
        failed_starts=0,
        restarts_unverified=0,
        ooms=(),
        death=None,
        refusals=(),
        not_before=(),
    )
    resuming.redefined(turn)


def suspected(turn: Turn, cause: Cause) -> None:
    """A failure that was told, not probed for (the link ended): look closely, now."""
    if turn.state.phase in (*ACTING, Phase.BLIND):
        return
    if turn.state.streak.cause is not cause:
        turn.change(streak=_first_failure(turn, cause))
    turn.enter(Phase.SUSPECT)


def _first_failure(turn: Turn, cause: Cause) -> Streak:
    env, before = turn.env, turn.state.streak
    return Streak(
        cause=cause,
        fails=1,
        first_boot=env.boot,
        first_run=env.run,
        last_run=env.run,
        failing=before.failing,
        failing_seconds=before.failing_seconds,
    )


def observed(turn: Turn, event: Observed) -> None:
    """Take the answer to the open round; any other is late and dropped."""
    before = turn.state
    if not before.round_open or event.round != before.round:
        return
    verdict = judge(event.observations, turn.policy.kind)
    counts = not (event.stalled or verdict.void or event.started < turn.state.ignore_before)
    if counts:
        seeing.take(turn, event)
    if counts and _foreign(turn, event, verdict):
        counts = False
    if counts and network.unsure_of_the_key(before, event, verdict):
        network.met(turn, verdict, event.started)
        counts = False
    if counts and verdict.cause is Cause.HOST_KEY:
        turn.change(
            dialing=replace(turn.state.dialing, host_key_after=0.0)
        )  # told: no portal lifts it
    if counts:
        quiet.follow(turn, event, verdict)
        _count(turn, verdict, event.started)
    pause = 0.0 if before.hurry else until_next(turn, event, verdict, counts=counts)
    turn.change(
        round_open=False,
        hurry=False,
        observations=_remembered(before, event),
        next_round_at=turn.env.run + pause,
    )


def _remembered(state: TargetState, event: Observed) -> tuple[Observation, ...]:
    """What was seen last of each probe: this round's word replaces the former one."""
    seen = {one.probe for one in event.observations}
    return (*event.observations, *[one for one in state.observations if one.probe not in seen])


def _foreign(turn: Turn, event: Observed, verdict: Verdict) -> bool:
    """Evidence of another generation: what was counted belongs to something that is gone.

    A remedy's own effect (acting, verifying) is no foreign hand. Returns True if the round must
    not be counted.
    """
    state, now = turn.state, event.sight.generation(turn.policy.kind)
    if now is NOTHING_KNOWN or now == state.generation:
        return False
    changed, known = state.generation.differs(now), state.generation.merged(now)
    if known != state.generation:
        turn.change(generation=known)
    if not changed:
        return False
    turn.change(
        life=Life(),
        destructive_grace_until=turn.env.run + turn.policy.start_grace,
    )
    turn.forget_streak()
    if state.phase in ACTING:
        return False
    turn.change(failed_starts=0, ignore_before=turn.env.run)
    if verdict.usable:
        return False
    known_down = state.incident is not None and state.phase is not Phase.BLIND
    turn.enter(Phase.SUSPECT if known_down else Phase.BLIND)
    turn.change(grace_until=turn.env.run + turn.policy.wake_grace)
    return True


def _count(turn: Turn, verdict: Verdict, since: float) -> None:
    network.met(turn, verdict, since)
    if verdict.outcome is Outcome.UNKNOWN:
        return
    if only_shown(turn.state):
        # Looked at and shown, not counted: at the pause's end all is judged afresh.
        turn.change(verdict=verdict, verdict_since=since)
        return
    good = verdict.outcome is Outcome.OK
    if good and life.stalled(turn.state, turn.policy, turn.env.run):
        verdict, good = _stalled(verdict), False
    flaps = turn.state.flaps
    if verdict.cause not in NO_NETWORK:
        flaps = flapping.seen(flaps, good=good, run=turn.env.run)
    if good:
        _good(turn, verdict=verdict, verdict_since=since, flaps=flaps)
        return
    turn.change(verdict=verdict, verdict_since=since, flaps=flaps)
    if verdict.cause is not None:
        _bad(turn, verdict.cause)


def _stalled(verdict: Verdict) -> Verdict:
    """All is well but the work itself: usable, and told."""
    return replace(
        verdict,
        outcome=Outcome.FAIL,
        cause=Cause.TRAINING_STALLED,
        layer=Layer.TRAINING,
        detail="the training run makes no progress, though something of it still runs",
    )


def _good(turn: Turn, **seen: Any) -> None:
    """A usable round in which this was ``seen``: arm the generation, and let the phase follow."""
    state, oks = turn.state, turn.state.oks + 1
    turn.change(**seen, streak=NO_STREAK, oks=oks, armed=state.generation, refusals=())
    twice = oks >= 2
    match state.phase:
        case Phase.STEADY:
            return
        case Phase.BLIND if twice:
            turn.enter(Phase.SETTLING if state.incident else Phase.STEADY)
        case Phase.SUSPECT:
            turn.enter(Phase.SETTLING if state.incident else Phase.STEADY)
        case Phase.CONFIRMED | Phase.HELD if twice:
            turn.enter(Phase.SETTLING)
        case Phase.VERIFYING if twice:
            _verified(turn)
            turn.enter(Phase.SETTLING)
        case Phase.SETTLING:
            _settle(turn)
        case _:
            pass
    if turn.state.phase is Phase.SETTLING and turn.state.incident is not None:
        _usable_again(turn, turn.state.incident)


def _usable_again(turn: Turn, incident: Incident) -> None:
    if incident.usable_again_boot is None:
        turn.change(incident=replace(incident, usable_again_boot=turn.env.boot))


def _verified(turn: Turn) -> None:
    intent = turn.state.intent
    if intent is not None:
        turn.tell(RemedyVerified(intent=intent, healthy=True))
        turn.change(intent=None, done=False, failed_starts=0, restarts_unverified=0)


def _settle(turn: Turn) -> None:
    """Stable for long enough: the incident is over."""
    state, incident = turn.state, turn.state.incident
    if turn.env.run - state.phase_since < turn.policy.stable_seconds:
        return
    turn.enter(Phase.STEADY)
    if incident is not None:
        ended = incident.usable_again_boot or turn.env.boot
        turn.tell(
            IncidentClosed(incident=incident, duration_seconds=ended - incident.first_failure_boot)
        )
        turn.change(incident=None, failed_starts=0, restarts_unverified=0)


def _bad(turn: Turn, cause: Cause) -> None:
    """A failing round: count it, re-root, confirm."""
    _lengthen(turn, cause)
    turn.change(oks=0)
    state = turn.state
    if state.phase is Phase.VERIFYING:
        _moved_on(turn)
        return
    if state.phase is Phase.ACTING:
        return
    if network.confirmed_absent(state.streak):
        turn.enter(Phase.BLIND)
        return
    if state.phase is Phase.BLIND:
        if turn.env.run < state.grace_until and cause not in ONCE:
            return
        turn.enter(Phase.SUSPECT)
    elif state.phase in (Phase.STEADY, Phase.SETTLING) or (
        state.phase in WAITING and not _same_incident_cause(state, cause)
    ):
        turn.enter(Phase.SUSPECT)
    if turn.state.phase is Phase.SUSPECT and cause not in NO_NETWORK:
        confirm(turn)


def _same_incident_cause(state: TargetState, cause: Cause) -> bool:
    return state.incident is not None and state.incident.cause is cause


def _lengthen(turn: Turn, cause: Cause) -> None:
    streak, now = turn.state.streak, turn.env.run
    most = 2 * (turn.policy.suspect_interval + turn.policy.timeout)
    gap = min(max(0.0, now - streak.last_run), most) if streak.cause is not None else 0.0
    more = {"failing": streak.failing + 1, "failing_seconds": streak.failing_seconds + gap}
    if streak.cause is not cause:
        turn.change(streak=merged(_first_failure(turn, cause), more))
        return
    observed = streak.observed_seconds + gap
    more |= {"fails": streak.fails + 1, "observed_seconds": observed, "last_run": now}
    turn.change(streak=merged(streak, more))


def _moved_on(turn: Turn) -> None:
    """A remedy proved its own effect and something else fails now: no need to wait.

    A harmless one at once; any other once the target was usable in two rounds, so that all that is
    left is a missing view, or once the runtime was seen at work from the server or through the
    tunnel, so that only the way or the token is at fault.
    """
    state, intent = turn.state, turn.state.intent
    if intent is None or not state.done or state.verdict.cause is intent.cause:
        return
    viewless = bool(state.verdict.usable) and state.streak.fails >= 2
    works = state.verdict.served or state.verdict.cause is Cause.RUNTIME_AUTH
    if not (viewless or works) and HARM[intent.remedy] is not Harm.HARMLESS:
        return
    turn.tell(RemedyVerified(intent=intent, healthy=True))
    turn.change(intent=None, done=False)
    if viewless:
        turn.change(failed_starts=0, restarts_unverified=0)
    turn.enter(Phase.SUSPECT)


def confirm(turn: Turn) -> None:
    """Open the incident, or re-root the open one, once the streak is long enough."""
    state, streak = turn.state, turn.state.streak
    lasting = state.incident is None and failing_anyhow(streak, turn.policy)
    if streak.cause is None or not (confirmed(state, turn.policy) or lasting):
        return
    turn.enter(Phase.CONFIRMED)
    if streak.cause is Cause.CONTAINER_OOM:
        _remember_oom(turn)
    incident = state.incident
    if incident is None:
        _open(turn, streak)
    elif incident.cause is not streak.cause:
        moved = replace(incident, cause=streak.cause, usable_again_boot=None)
        turn.change(incident=moved)
        turn.tell(IncidentRerooted(incident=moved, old=incident.cause))
    else:
        turn.change(incident=replace(incident, usable_again_boot=None))


def _remember_oom(turn: Turn) -> None:
    """Once for each life of the container, however often its cause is confirmed."""
    started = turn.state.generation.started or ""
    known = turn.state.ooms
    if all(life != started for life, _ in known):
        turn.change(ooms=(*known[-9:], (started, turn.env.boot)))


def _open(turn: Turn, streak: Streak) -> None:
    env, state = turn.env, turn.state
    if streak.cause is None:
        return
    incident = Incident(
        id=f"{int(env.wall * 1000):x}-{int(env.chance * 0xFFFF):04x}",
        cause=streak.cause,
        opened_wall=env.wall,
        first_failure_boot=streak.first_boot,
    )
    turn.change(incident=incident, incidents_opened=state.incidents_opened + 1)
    turn.tell(
        IncidentOpened(
            incident=incident,
            detection_seconds=max(0.0, env.boot - streak.first_boot),
            detail=state.verdict.detail,
            mend=state.verdict.mend,
        )
    )
