"""Cause -> the remedies that may help, mildest first."""

from __future__ import annotations

from watchdogd.core.model import Policy, TargetState
from watchdogd.core.words import Cause, Kind, Layer, Remedy

REDIAL = (Remedy.RECONNECT,)
LADDERS: dict[Cause, tuple[Remedy, ...]] = {
    Cause.LINK_LOST: REDIAL,
    Cause.DNS: REDIAL,
    Cause.HOST_UNREACHABLE: REDIAL,
    Cause.SSHD_DOWN: REDIAL,
    Cause.SSHD_REJECTS: REDIAL,
    Cause.AUTH: REDIAL,
    Cause.REMOTE_WEDGED: REDIAL,
    Cause.FORWARD_STALLED: (Remedy.REOPEN_FORWARD, Remedy.RECONNECT),
    Cause.RUNTIME_AUTH: (Remedy.REFRESH_TOKEN,),
}
BY_KIND: dict[Kind, dict[Cause, tuple[Remedy, ...]]] = {
    Kind.CONTAINER: {
        Cause.CONTAINER_MISSING: (Remedy.CREATE_CONTAINER,),
        Cause.CONTAINER_EXITED: (Remedy.START_CONTAINER,),
        Cause.CONTAINER_OOM: (Remedy.START_CONTAINER,),
        Cause.SESSION_MISSING: (Remedy.OPEN_SESSION,),
        Cause.RUNTIME_REFUSED: (Remedy.RESTART_CONTAINER,),
        Cause.RUNTIME_ERROR: (Remedy.RESTART_CONTAINER,),
        Cause.RUNTIME_HUNG: (Remedy.RESTART_CONTAINER,),
    },
    Kind.SESSION: {
        Cause.SESSION_MISSING: (Remedy.START_SESSION,),
        Cause.RUNTIME_REFUSED: (Remedy.RESTART_SESSION,),
        Cause.RUNTIME_ERROR: (Remedy.RESTART_SESSION,),
        Cause.RUNTIME_HUNG: (Remedy.RESTART_SESSION,),
    },
    Kind.EXTERNAL: {},
}
STARTS = frozenset({Remedy.START_CONTAINER, Remedy.CREATE_CONTAINER, Remedy.START_SESSION})


def remedies_of(kind: Kind) -> tuple[Remedy, ...]:
    """The remedies that a target of this kind can ever get."""
    ladders = (*LADDERS.values(), *BY_KIND[kind].values())
    wanted = {remedy for ladder in ladders for remedy in ladder}
    return tuple(remedy for remedy in Remedy if remedy in wanted)


def rungs_of(cause: Cause, kind: Kind) -> tuple[Remedy, ...]:
    """What can help against that cause in a target of that kind, mildest first; empty if only a person can."""
    return LADDERS.get(cause, BY_KIND[kind].get(cause, ()))


def unbuilt(remedy: Remedy) -> bool:
    """Is it only planned? No target can get it."""
    return all(remedy not in remedies_of(kind) for kind in Kind)


def ladder(state: TargetState, policy: Policy) -> tuple[Remedy, ...]:
    """The rungs for the present verdict, mildest first."""
    verdict = state.verdict
    if verdict.cause is None:
        return ()
    rungs = rungs_of(verdict.cause, policy.kind)
    if verdict.usable:
        # It works: nothing that could interrupt it is worth the risk.
        return tuple(one for one in rungs if one is Remedy.OPEN_SESSION)
    unseen = verdict.layer is Layer.RUNTIME and verdict.served is None
    if unseen and verdict.cause is not Cause.RUNTIME_AUTH:
        # No sight of the server: the link is all that may be touched. An answer is sight enough.
        return REDIAL
    if verdict.cause is Cause.FORWARD_STALLED and _last_remedy(state) is Remedy.REOPEN_FORWARD:
        return REDIAL
    return rungs


def _last_remedy(state: TargetState) -> Remedy | None:
    return state.incident.remedies[-1] if state.incident and state.incident.remedies else None
