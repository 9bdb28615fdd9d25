"""This laptop's own network: when it is gone or is a captive portal, when it changes, and what that does.

Pure, like everything here. A portal answers for everybody, the SSH server included: nothing that is met behind
one is believed of the server, its host key least of all.
"""

from __future__ import annotations

from watchdogd.core import dialing
from watchdogd.core.commands import AskLink, StartOver
from watchdogd.core.confirming import NO_NETWORK
from watchdogd.core.dialing import PORTAL_DIAL_SECONDS
from watchdogd.core.events import NetworkChanged, Observed
from watchdogd.core.model import Streak, TargetState, Verdict
from watchdogd.core.turn import Turn
from watchdogd.core.words import Cause, Layer, Outcome, Phase, Remedy

FOUND = (Layer.NETWORK, Outcome.OK)
FAILED = (Layer.NETWORK, Outcome.FAIL)
UNTOLD = (Layer.NETWORK, Outcome.UNKNOWN)
UNTOLD_SECONDS = 30.0
"""A refused host key is told after so long though no canary answers: they may be blocked for good."""


def absent(state: TargetState) -> bool:
    """This laptop has no network, seen twice."""
    return state.verdict.cause in NO_NETWORK and confirmed_absent(state.streak)


def confirmed_absent(streak: Streak) -> bool:
    """Two failing rounds in a row for want of a network."""
    return streak.cause in NO_NETWORK and streak.fails >= 2


def forbids_dial(turn: Turn) -> bool:
    """Would a dial meet nobody, or somebody else than the server?

    Without a network none is made, unless only the last dial said that there is none: then the next one is what
    tells. Behind a captive portal one is made every 15 minutes.
    """
    state = turn.state
    if FAILED not in state.verdict.layers:
        return False
    if state.verdict.cause is Cause.CAPTIVE_PORTAL:
        last = max(state.dialing.dialing_since, state.streak.first_run)
        return turn.env.run - last < PORTAL_DIAL_SECONDS
    return absent(state)


def met(turn: Turn, verdict: Verdict, since: float) -> None:
    """What a round that counts, and began at ``since``, says of the network."""
    known, was = turn.state.dialing, turn.state.verdict.cause
    if verdict.cause is Cause.CAPTIVE_PORTAL:
        turn.change(dialing=dialing.portal_seen(known, since, turn.env))
    elif FOUND in verdict.layers:
        if known.host_key_after:
            turn.change(dialing=dialing.network_proved(known, since))
        if was in NO_NETWORK and verdict.cause not in NO_NETWORK:
            back(turn)


def back(turn: Turn) -> None:
    """No verdict yet, a little more grace, and the dials start afresh."""
    until = turn.env.run + 2 * turn.policy.suspect_interval
    turn.forget_streak()
    turn.change(
        verdict=Verdict(),
        grace_until=max(turn.state.grace_until, until),
        dialing=dialing.reset(turn.state.dialing, turn.env),
    )


def unsure_of_the_key(state: TargetState, event: Observed, verdict: Verdict) -> bool:
    """Before the network was looked at again it may have been a captive portal that showed the key. Where no
    look says anything of the network, another one is awaited for a while."""
    if verdict.cause is not Cause.HOST_KEY:
        return False
    after = state.dialing.host_key_after
    patience = UNTOLD_SECONDS if after and UNTOLD in verdict.layers else 0.0
    return event.started < after + patience


def changed(turn: Turn, event: NetworkChanged) -> None:
    """The kernel has another way to the server, or none any more. A link that still answers stays."""
    if not event.routed:
        turn.look_again(0)
    elif turn.state.verdict.cause is Cause.OFFLINE:
        back(turn)
        asked(turn)
    else:
        turn.change(dialing=dialing.reset(turn.state.dialing, turn.env))
        asked(turn)


def asked(turn: Turn) -> None:
    """Have the present link asked now, or look at what there is without one. A dial on its way goes the former
    way, and would wait for its limits: it begins anew."""
    known, intent = turn.state.dialing, turn.state.intent
    acting = turn.state.phase is Phase.ACTING
    reconnects = acting and intent is not None and intent.remedy is Remedy.RECONNECT
    if (known.dialing is not None or reconnects) and dialing.may_start_over(known, turn.env):
        turn.emit(StartOver())
    if known.up is not None and not known.silent:
        turn.emit(AskLink(number=known.up))
    else:
        turn.look_again(0)
