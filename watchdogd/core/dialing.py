"""When to dial: what each link event means for the next dial. Pure, like everything here.

Never gives up on what can pass by itself, never hammers on what only a person can mend, and keeps
below what sshd punishes (``PerSourcePenalties``, ``MaxStartups``, fail2ban).
"""

from __future__ import annotations

from dataclasses import replace

from watchdogd.core.backoff import delay, doubling
from watchdogd.core.events import DialFailed, LinkLost, LinkSilent, LinkSpeaking, LinkUp
from watchdogd.core.link import Dialing
from watchdogd.core.model import Env
from watchdogd.core.words import Cause

NEVER = float("inf")
BASE_SECONDS = 1.0
CAP_SECONDS = 60.0
YOUNG_SECONDS, YOUNG_CAP_SECONDS = 300.0, 10.0
"""In the first five minutes without a link, as a server takes to boot, a dial that found nobody is repeated within
10 s: it costs the server nothing. Five or six in half a minute stay below what firewalls allow (ufw: 6)."""
STEADY_LINK_SECONDS = 10.0
"""A link that lived so long and is lost is replaced at once; a shorter one counts as a failure."""
SETTLED_LINK_SECONDS = 30.0
"""A link that lived so long resets the back-off: what is lost after it is another fault. Who lets in and ends later
than that is asked no more often for it, and what sshd punishes is counted apart."""
FORGET_SECONDS = 600.0
"""Dials are counted over so long."""
OFFLINE_LOOK_SECONDS = 5.0
LOCAL_LOOK_SECONDS = 60.0
"""A missing key or a locked agent is looked at again; no packet leaves the laptop."""
UNAUTHENTICATED_SECONDS = 15.0
"""After a dial that reached sshd and was not let in (sshd >= 9.8 enforces from 15 s)."""
SPARE_DIALS = 3
"""So many of them in ten minutes, cut in the key exchange or not answered, may come sooner: the door was open, and
such an sshd books one second for each."""
AUTH_DIALS, AUTH_GAP_SECONDS, AUTH_REST_SECONDS = 3, 30.0, 900.0
REJECT_CAP_SECONDS = 900.0
"""Longest pause for a server that closes the door; from ``UNAUTHENTICATED_SECONDS`` doubled each time: seven
dials in the first ten minutes."""
CROWDED_DIALS, CROWDED_SECONDS = 10, 60.0
EASED_SECONDS = 60.0
"""After a wake or a change of network: Wi-Fi alone may take 15 s, and what fails meanwhile says nothing."""
PORTAL_DIAL_SECONDS = 900.0
"""Behind a captive portal one dial in so long: a canary may be what is wrong, and nobody would notice."""
UNANSWERED_SECONDS = 120.0
"""Each dial is answered within half a minute; one that is not, by then, never will be."""


def link_up(dialing: Dialing, event: LinkUp, env: Env) -> Dialing:
    """A new link serves; the one it replaces is the caller's to close."""
    beside = _lately(dialing.beside, env)
    return replace(
        dialing,
        beside=(*beside, env.run) if dialing.up is not None else beside,
        up=event.number,
        silent=False,
        up_since=env.run,
        dialing=None,
        rejects=0,
        denied=0,
        last_number=max(dialing.last_number, event.number),
        next_at=env.run,
        lost_at=None,
        lost_cause=None,
        ever_up=True,
        stopped_by=None,
        failure=None,
        failure_detail="",
        failure_mend="",
        host_key_after=0.0,
    )


def link_silent(dialing: Dialing, event: LinkSilent, env: Env) -> Dialing:
    """Nothing comes over the present link: a second one may be dialled beside it, nothing is cut."""
    if event.number != dialing.up or dialing.silent:
        return dialing
    silent = replace(dialing, silent=True, lost_at=env.run, lost_cause=Cause.LINK_LOST)
    asked = _after_loss(silent, env)
    return replace(asked, next_at=max(asked.next_at, _rest_until(dialing, env)))


def link_speaking(dialing: Dialing, event: LinkSpeaking, env: Env) -> Dialing:
    """The silent link speaks again before another took its place: it stays. A host key that was refused
    meanwhile, and that no round has believed yet, may be that of a network just left: it stops no dial for good.
    """
    if event.number != dialing.up or not dialing.silent:
        return dialing
    spoken = replace(dialing, silent=False, lost_at=None, lost_cause=None)
    if not dialing.host_key_after or dialing.stopped_by is not Cause.HOST_KEY:
        return spoken
    return replace(spoken, host_key_after=NEVER, stopped_by=None, next_at=env.run + CROWDED_SECONDS)


def link_lost(dialing: Dialing, event: LinkLost, env: Env) -> Dialing:
    """The present link ended. News of an older link changes nothing."""
    if event.number != dialing.up:
        return dialing
    was_silent = dialing.silent
    gone = replace(
        dialing,
        up=None,
        silent=False,
        lost_at=env.run if dialing.lost_at is None else dialing.lost_at,
        lost_cause=Cause.LINK_LOST,
        failure_detail=event.detail,
    )
    if not was_silent:
        return _after_loss(gone, env)
    rests = dialing.next_at == _rest_until(dialing, env)
    return replace(gone, next_at=env.run) if rests else gone


def _after_loss(dialing: Dialing, env: Env) -> Dialing:
    refused = dialing.failure in (Cause.HOST_KEY, Cause.AUTH, Cause.SSHD_REJECTS)
    if refused and dialing.next_at > env.run:
        return dialing  # a dial beside this link was refused: its pause is not cut short by a stall
    lived = env.run - dialing.up_since
    if lived >= SETTLED_LINK_SECONDS:
        return replace(dialing, attempt=0, next_at=env.run)
    if lived >= STEADY_LINK_SECONDS:
        return replace(dialing, next_at=env.run)
    # A server that boots lets in and ends at once; that is tried as often as one that is not there.
    cap = YOUNG_CAP_SECONDS if dialing.attempt < CROWDED_DIALS else CAP_SECONDS
    wait = delay(dialing.attempt, base=BASE_SECONDS, cap=cap, chance=env.chance)
    return replace(dialing, attempt=dialing.attempt + 1, next_at=env.run + wait)


def dial_failed(dialing: Dialing, event: DialFailed, env: Env) -> Dialing:
    """A dial ended without a link: when, if ever, is the next one."""
    charged = _lately(dialing.charged, env)
    if event.reached:
        charged = (*charged, env.run)
    ended = replace(
        dialing,
        dialing=None,
        last_number=max(dialing.last_number, event.number),
        charged=charged,
        rejects=dialing.rejects + (event.cause is Cause.SSHD_REJECTS),
        denied=dialing.denied + (event.cause is Cause.AUTH and event.reached),
        failure=event.cause,
        failure_detail=event.detail,
        failure_mend=event.mend,
        stopped_by=event.cause if event.permanent else None,
        lost_cause=event.cause,
        host_key_after=env.run if event.cause is Cause.HOST_KEY else 0.0,
    )
    if event.cause is Cause.OFFLINE:
        return replace(ended, next_at=env.run + OFFLINE_LOOK_SECONDS)
    answered = event.reached or event.cause is Cause.SSHD_DOWN
    eased = env.run < dialing.eased_until and not answered
    attempt = dialing.attempt if eased else dialing.attempt + 1
    return replace(ended, attempt=attempt, next_at=env.run + _pause(ended, event, env))


def _pause(dialing: Dialing, event: DialFailed, env: Env) -> float:
    """Seconds until the next dial after this failure."""
    if event.cause is Cause.HOST_KEY:
        return NEVER
    if event.cause is Cause.AUTH:
        if not event.reached:
            return LOCAL_LOOK_SECONDS
        few = dialing.denied < AUTH_DIALS
        return AUTH_GAP_SECONDS if few else AUTH_REST_SECONDS
    if event.cause is Cause.SSHD_REJECTS:
        base = UNAUTHENTICATED_SECONDS
        return doubling(dialing.rejects - 1, base=base, cap=REJECT_CAP_SECONDS)
    young = dialing.lost_at is not None and env.run - dialing.lost_at < YOUNG_SECONDS
    cap = YOUNG_CAP_SECONDS if young and not event.reached else CAP_SECONDS
    wait = delay(dialing.attempt, base=BASE_SECONDS, cap=cap, chance=env.chance)
    if event.reached and len(_lately(dialing.charged, env)) > SPARE_DIALS:
        crowded = _crowded(dialing, env)
        wait = max(wait, CROWDED_SECONDS if crowded else UNAUTHENTICATED_SECONDS)
    return wait


def _crowded(dialing: Dialing, env: Env) -> bool:
    return len(_lately(dialing.charged, env)) > CROWDED_DIALS


def _lately(times: tuple[float, ...], env: Env) -> tuple[float, ...]:
    return tuple(at for at in times if env.run - at < FORGET_SECONDS)


def _rest_until(dialing: Dialing, env: Env) -> float:
    """Before then no link is dialled beside a silent one: a line that stalls again and again is not answered
    by a login each time. A link that ended is not concerned, nobody is served without another."""
    many = len(_lately(dialing.beside, env)) > CROWDED_DIALS
    return dialing.beside[-1] + CROWDED_SECONDS if many else 0.0


def freed(dialing: Dialing, env: Env) -> Dialing:
    """What stopped the dials may be mended (known_hosts or a key changed): try once, now."""
    if dialing.stopped_by is None:
        return dialing
    return replace(dialing, stopped_by=None, next_at=env.run)


def reset(dialing: Dialing, env: Env) -> Dialing:
    """After a wake or a network change old failures say nothing; a permanent stop stays, and so does the
    pause of one who knocked at sshd too often."""
    if dialing.stopped_by is not None:
        return dialing
    at = dialing.next_at if _crowded(dialing, env) else max(env.run, _rest_until(dialing, env))
    at = max(at, _forgiven_at(dialing))
    return replace(dialing, attempt=0, rejects=0, next_at=at, eased_until=env.run + EASED_SECONDS)


def may_start_over(dialing: Dialing, env: Env) -> bool:
    """May a dial on its way be begun anew? It may have reached sshd already, and is not counted."""
    return not _crowded(dialing, env) and _forgiven_at(dialing) <= env.run


def _forgiven_at(dialing: Dialing) -> float:
    """A dial that reached sshd without being let in is followed by none before then."""
    return dialing.charged[-1] + UNAUTHENTICATED_SECONDS if dialing.charged else 0.0


def network_proved(dialing: Dialing, since: float) -> Dialing:
    """A round that began at ``since`` found the network to be what it seems: so was the server's key."""
    if not 0.0 < dialing.host_key_after <= since:
        return dialing
    return replace(dialing, host_key_after=0.0)


def portal_seen(dialing: Dialing, since: float, env: Env) -> Dialing:
    """A round that began at ``since`` met a captive portal: the key that was refused just before, and that no
    other round believed, was the portal's. The stop is lifted; who dials waits for the portal's end."""
    if not 0.0 < dialing.host_key_after <= since:
        return dialing
    return replace(
        dialing,
        host_key_after=NEVER,
        stopped_by=None,
        next_at=env.run + (CROWDED_SECONDS if _crowded(dialing, env) else 0.0),
        lost_cause=Cause.CAPTIVE_PORTAL,
        failure=Cause.CAPTIVE_PORTAL,
        failure_detail="",
        failure_mend="",
    )


def unanswered(dialing: Dialing, env: Env) -> Dialing:
    """A dial whose end was never told counts as failed: it must not stand in the way of the next."""
    if dialing.dialing is None or env.run - dialing.dialing_since < UNANSWERED_SECONDS:
        return dialing
    lost = DialFailed(
        number=dialing.dialing,
        cause=Cause.HOST_UNREACHABLE,
        permanent=False,
        reached=False,
        detail="the dial never ended",
    )
    return dial_failed(dialing, lost, env)


def wanted(dialing: Dialing) -> bool:
    """Is a link missing, and no dial on its way?"""
    return (dialing.up is None or dialing.silent) and dialing.dialing is None


def due(dialing: Dialing, env: Env) -> bool:
    """May a dial start now?"""
    return wanted(dialing) and dialing.next_at <= env.run
