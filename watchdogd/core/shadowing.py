"""Shadow scoring: would it have been right to do what was not done?

A would-have is opened when ``choose`` takes a remedy in a world without modes, signs of work and hazards
that has the same budgets and pauses, what is scored here counted in. It is a *false alarm* if health comes
back by itself within the remedy's verification time, else *right*; what anybody does meanwhile leaves it
undecided. In the flow: called by ``step`` after the decision of the turn, which knows nothing of it.
"""

from __future__ import annotations

from dataclasses import replace

from watchdogd.core import life, remedying, veto
from watchdogd.core.budget import age
from watchdogd.core.choose import choose
from watchdogd.core.commands import ShadowOpened, ShadowScored
from watchdogd.core.model import Charge, Env, Policy, TargetState
from watchdogd.core.shadow import Open, Shadow, WouldHave
from watchdogd.core.sight import Generation
from watchdogd.core.turn import Turn
from watchdogd.core.words import HARM, Harm, Hindsight, Mode, Outcome, Phase, Refusal, Remedy

SHADOWED = frozenset({Refusal.OBSERVE, Refusal.ASK, Refusal.VETO})
"""What a would-have is held back by, and by nothing else."""
KEPT_SECONDS = 86_400.0
"""The longest window of any budget."""
MOST_KEPT = 64
"""More than all budgets together allow in a day; only incidents without end come near it."""


def follow(turn: Turn) -> None:
    """Open a would-have, or look how the open one goes. Free while the target is healthy."""
    state = turn.state
    if state.would is not None:
        _watch(turn, state.would)
    elif state.refusals and state.phase is Phase.HELD:
        _look(turn)


# ---------------------------------------------------------------- opening


def _look(turn: Turn) -> None:
    state, env = turn.state, turn.env
    held = {remedy: reason for remedy, reason in state.refusals if reason in SHADOWED}
    if (
        state.incident is None
        or state.pause is not None
        or not any(news(remedy, state) for remedy in held)
    ):
        return
    remedy = choose(*_free(state, turn.policy, env), env).remedy
    if remedy not in held or not news(remedy, state):
        return
    would = WouldHave(
        remedy=remedy,
        cause=state.incident.cause,
        reason=held[remedy],
        incident=state.incident.id,
        generation=state.generation,
        wall=env.wall,
        boot=env.boot,
        boot_id=env.boot_id,
    )
    kept = tuple(one for one in state.shadow.recent if _counts(one, would.incident, env))
    turn.change(
        would=Open(would=would, run=env.run, looked=state.verdict_since),
        shadow=replace(state.shadow, recent=(*kept, would)[-MOST_KEPT:]),
    )
    turn.tell(ShadowOpened(remedy=remedy, cause=would.cause, reason=would.reason))


def news(remedy: Remedy, state: TargetState) -> bool:
    """May a would-have of this remedy be opened? Once for each incident and generation: had it been done, what came after it is not known."""
    incident = state.incident.id if state.incident is not None else ""
    return not any(
        (one.remedy, one.incident) == (remedy, incident)
        and not one.generation.differs(state.generation)
        for one in state.shadow.recent
    )


def _free(state: TargetState, policy: Policy, env: Env) -> tuple[TargetState, Policy]:
    """The same target where nothing is forbidden by mode, work or hazard, and what would have been done
    was charged as if it had been."""
    spent = [(one, _charge(one)) for one in state.shadow.recent]
    free = replace(
        state,
        approval=None,
        journal_ok=True,
        life=life.without_signs(state.life),
        sight=veto.without_hazards(state.sight),
        charges=(*state.charges, *(charge for _, charge in spent)),
        harmless=(
            *state.harmless,
            *((one.remedy, env.run - age(charge, env)) for one, charge in spent),
        ),
        not_before=(
            *state.not_before,
            *(
                (
                    one.remedy,
                    env.run - age(charge, env) + remedying.pause_seconds(one.remedy, policy),
                )
                for one, charge in spent
            ),
        ),
    )
    return free, replace(policy, mode=Mode.AUTO)


def _charge(one: WouldHave) -> Charge:
    return Charge(remedy=one.remedy, key="", wall=one.wall, boot=one.boot, boot_id=one.boot_id)


def _counts(one: WouldHave, incident: str, env: Env) -> bool:
    return one.incident == incident or age(_charge(one), env) < KEPT_SECONDS


# ---------------------------------------------------------------- judging


def _watch(turn: Turn, known: Open) -> None:
    state, would = turn.state, known.would
    if _interfered(state, would):
        _close(turn, known, Hindsight.UNDECIDED)
        return
    if _healthy_again(state, would):
        _close(turn, known, Hindsight.FALSE_ALARM)
        return
    if state.verdict_since == known.looked:
        return
    seen = _observed(known, turn)
    if seen.seconds >= remedying.proof_seconds(would.remedy, turn.policy):
        _close(turn, seen, Hindsight.FALSE_ALARM if _ended_work(turn, would) else Hindsight.RIGHT)
    else:
        turn.change(would=seen)


def _ended_work(turn: Turn, would: WouldHave) -> bool:
    """Would it have ended work that went on after it? That is never right, whatever health says."""
    destructive = HARM[would.remedy] is Harm.DESTRUCTIVE
    return destructive and bool(life.signs(turn.state, turn.policy, turn.env.run))


def _observed(known: Open, turn: Turn) -> Open:
    """After a new conclusive round. One in which the server was out of sight adds no time."""
    policy, now = turn.policy, turn.env.run
    most = 2 * (policy.suspect_interval + policy.timeout)
    blind = turn.state.verdict.outcome is Outcome.UNKNOWN or remedying.no_way(turn.state)
    gap = 0.0 if blind else min(max(0.0, now - known.run), most)
    return replace(known, run=now, looked=turn.state.verdict_since, seconds=known.seconds + gap)


def _interfered(state: TargetState, would: WouldHave) -> bool:
    """Did somebody act: the agent, or a person who paused, ordered, or began another generation?"""
    if state.intent is not None or state.pause is not None:
        return True
    return _another(would, state.generation)


def _another(would: WouldHave, now: Generation) -> bool:
    """A generation that cannot be told from the former one by a part that was not known before is another
    one, if the remedy is to bring one: what is stopped comes back by itself as no old one."""
    if HARM[would.remedy] is Harm.HARMLESS:
        return would.generation.differs(now) or now == Generation() != would.generation
    return would.generation != now


def _healthy_again(state: TargetState, would: WouldHave) -> bool:
    """Is what the remedy is for well: it answers, or at least on the server, where only the way is wrong?"""
    verdict = state.verdict
    served = verdict.served and HARM[would.remedy] is not Harm.HARMLESS
    return bool(verdict.usable or served) and verdict.cause is not would.cause


def _close(turn: Turn, known: Open, outcome: Hindsight) -> None:
    state, would = turn.state, known.would
    shadow = state.shadow.scored(would.remedy, outcome)
    if state.intent is not None and state.intent.remedy is would.remedy:
        shadow = _without(shadow, would)  # it was done after all: its own charge stands for it
    turn.change(would=None, shadow=shadow)
    turn.tell(
        ShadowScored(
            remedy=would.remedy,
            cause=would.cause,
            reason=would.reason,
            outcome=outcome,
            seconds=known.seconds,
        )
    )


def _without(shadow: Shadow, would: WouldHave) -> Shadow:
    return replace(shadow, recent=tuple(one for one in shadow.recent if one is not would))
