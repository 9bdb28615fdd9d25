"""What holds a remedy back, in sentences: what ends it by itself, and what of it is a person's part.

In the flow: ``answer`` puts these behind the refusal that ``choose`` gave. Without their first capital and
full stop.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchdogd.core.choose import UNTOLD
from watchdogd.core.lengths import length
from watchdogd.core.life import PRESENCE_SECONDS, SIGN_SECONDS, Rank, Sign
from watchdogd.core.model import Policy, TargetState
from watchdogd.core.rung import WAITING, Rung, ends_work
from watchdogd.core.ways import Work
from watchdogd.core.words import Cause, Mode, Refusal

NO_LIMIT = "whenever that is"
ONCE: dict[Refusal, str] = {
    Refusal.VETO: "what forbids it is gone",
    Refusal.NO_SIGHT: "that is seen again, and still speaks for it",
    Refusal.FLAPPING: "its health was steady for some minutes, good or bad",
    Refusal.PAUSED: "~/.watchdogd/PAUSE is gone from the server",
    Refusal.BUDGET: "an earlier one is old enough not to count",
    Refusal.COOLDOWN: "its pause is over",
    Refusal.GRACE: "the fault was seen often and long enough",
}
"""When what holds a remedy back ends without a person: "yes, once ..."."""
NEVER: dict[Refusal, str] = {
    Refusal.OBSERVE: 'mode is "observe"',
    Refusal.ASK: "it waits for a person's word",
    Refusal.OPERATOR: "what a person did is not undone; a person has to start it",
    Refusal.HALTED: "it stays halted until a person resets it",
    Refusal.FAILED_START: "it stays so until a person resets it",
    Refusal.UNARMED: "until it was seen healthy once, watchdogd does not restart it",
}
"""Why it never ends without a person."""
NOTHING = "nothing to do"
COST = "the restart then loses every kernel's variables; a pause prevents it"
"""Of what comes by itself and ends what runs: to do nothing is a decision, too."""
YOURS: dict[Refusal, str] = {
    Refusal.VETO: "nothing to do while that work is worth keeping; if it is not, force it",
    Refusal.NO_SIGHT: "look on the server why that cannot be seen",
    Refusal.UNARMED: "decide whether what runs in it is worth keeping; if not, force it",
    Refusal.PAUSED: "see whose file it is (on the server: ls -l ~/.watchdogd/PAUSE), and remove it if "
    "you may",
    Refusal.BUDGET: "find out why it fails again and again",
    Refusal.OBSERVE: "do it once yourself; or set another mode for this target in the configuration: "
    'with "auto" watchdogd does it from then on, with "ask" it asks each time',
    Refusal.ASK: "if nothing in its memory must be kept, approve it",
    Refusal.OPERATOR: "ask who stopped it, before you start it",
    Refusal.HALTED: "find out why it still fails",
    Refusal.FAILED_START: "find out what keeps it from starting",
}
"""What is a person's part, where there is one."""
_LOG = (Refusal.BUDGET, Refusal.HALTED, Refusal.FAILED_START)
"""Where the runtime's own log may tell more."""


def _host_key(rung: Rung, state: TargetState) -> bool:
    """Does the server's host key alone forbid to dial?"""
    stopped = state.dialing.stopped_by is Cause.HOST_KEY
    return rung.refusal is Refusal.HALTED and not ends_work(rung.remedy) and stopped


def by_itself(
    rung: Rung, reason: Refusal, state: TargetState, policy: Policy, signs: Sequence[Sign]
) -> str:
    """Every condition that is not met now: ``yes, in ...``, ``yes, once ...`` or ``never: ...``."""
    if rung.earliest is not None:
        return _timed(rung, state, rung.earliest)
    if never := _never(rung, reason, state, policy, signs):
        return f"never: {never}"
    wait = f"{length(rung.wait)} have passed, and " if rung.wait >= 1 else ""
    ends = "when both hold: " if wait else "once "
    ended = f" ({_silence(policy)})" if _work(rung, reason) else ""
    return f"yes, {ends}{wait}{_once(rung, reason, state, policy)}, {NO_LIMIT}{ended}"


def ends_by_itself(
    rung: Rung, reason: Refusal, state: TargetState, policy: Policy, signs: Sequence[Sign]
) -> bool:
    """Is it one that ends what runs, and comes without a person's word?"""
    asked = policy.mode is not Mode.AUTO and _own_trouble(reason, policy)
    never = asked or _never(rung, reason, state, policy, signs)
    return ends_work(rung.remedy) and (rung.earliest is not None or not never)


def asks_besides(rung: Rung, reason: Refusal) -> bool:
    """Will a person be asked once what is told of it has ended?"""
    asks = rung.beyond is not None and rung.beyond[0] is Refusal.ASK
    return asks and reason not in NEVER


def _timed(rung: Rung, state: TargetState, seconds: float) -> str:
    wait = _when(seconds)
    if _last_looks(rung, state):
        if rung.refusal is Refusal.PAUSED:
            return (
                "not while that file is there; at the first look after it is gone (the next is "
                f"{wait}), if the fault stays"
            )
        return f"yes, once the server is looked at again, {wait}, and nothing there forbids it"
    if not ends_work(rung.remedy):
        return f"yes, {wait} at the earliest, if the fault stays"
    if rung.held_memory:
        return (
            f"yes, {wait} at the earliest, if the fault stays and no other sign of work appears "
            "(earlier, if the memory is freed)"
        )
    return f"yes, {wait} at the earliest, if the fault stays and no sign of work appears"


def _last_looks(rung: Rung, state: TargetState) -> bool:
    """Is it the last look on the server that refused? It is asked again, and time alone ends nothing."""
    known = state.last_look
    return (
        known is not None
        and rung.refusal not in WAITING
        and known[:2] == (rung.remedy, rung.refusal)
        and not rung.held_memory
        and rung.hazard is None
    )


def _never(
    rung: Rung, reason: Refusal, state: TargetState, policy: Policy, signs: Sequence[Sign]
) -> str:
    """Why only a person ends it; empty if it can end without one."""
    if _own_trouble(reason, policy):
        return ""
    if _host_key(rung, state):
        return "a person has to settle the host key, then it connects again"
    if reason is Refusal.HALTED and _all_targets(rung):
        return ""
    if reason is Refusal.HALTED and rung.afresh is not None:
        reason = rung.afresh[0] if rung.afresh[0] is Refusal.UNARMED else reason
    if reason is Refusal.NO_SIGHT and UNTOLD in (rung.detail, *(rung.after or ())):
        return "nobody can tell any more whether a person stopped it"
    if reason is Refusal.VETO and rung.hazard is not None and not rung.hazard.passes:
        return f"not before {rung.hazard.once}"
    if reason is Refusal.VETO and signs and signs[0].rank is Rank.PROGRESS:
        still = length(policy.stall_after)
        return (
            "as long as a progress file or a checkpoint advances it waits, and once none did for "
            f"{still} or more, a person is asked"
        )
    if reason in NEVER:
        asks = reason is Refusal.ASK and rung.refusal is not Refusal.ASK
        return f"a person is asked, {_when(rung.wait)} at the earliest" if asks else NEVER[reason]
    if rung.beyond is None or rung.beyond[0] not in NEVER:
        return ""
    once = _once(rung, reason, state, policy)
    if asks_besides(rung, reason):
        return f"without a person's word nothing is restarted, even when {once}"
    return f"even when {once}, {NEVER[rung.beyond[0]]}"


def _when(seconds: float) -> str:
    return f"in {length(seconds)}" if seconds >= 1 else "at the next look"


def _own_trouble(reason: Refusal, policy: Policy) -> bool:
    """Does the agent only observe for a reason of its own, whatever the mode?"""
    return reason is Refusal.OBSERVE and policy.mode is not Mode.OBSERVE


def _all_targets(rung: Rung) -> bool:
    """Does what halts it concern all targets together? No reset of one lifts that."""
    return rung.afresh is not None and rung.afresh[0] is Refusal.HALTED


def _work(rung: Rung, reason: Refusal) -> bool:
    return reason is Refusal.VETO and rung.hazard is None


def _once(rung: Rung, reason: Refusal, state: TargetState, policy: Policy) -> str:
    if _own_trouble(reason, policy):
        lives = "the agent has lived for 10 minutes"
        return lives if state.journal_ok else "the journal can be written again"
    if reason is Refusal.HALTED:
        return "enough of those restarts are older than 24h"
    if reason is Refusal.VETO and rung.hazard is not None:
        return rung.hazard.once
    if reason is Refusal.VETO:
        return "the work has ended"
    if rung.unread:
        return "that can be read again and shows no work"
    return ONCE[reason]


def _silence(policy: Policy) -> str:
    """How long after the last sign of work its end is believed."""
    held = f"; {length(PRESENCE_SECONDS)} if it holds GPU memory" if policy.gpus else ""
    return (
        f"{length(SIGN_SECONDS)} after its last sign; {length(policy.hung_after)} if the "
        f"program that worked is still there{held}"
    )


def yours(
    rung: Rung, reason: Refusal, state: TargetState, policy: Policy, work: Work, *, comes: bool
) -> str:
    """What of it is a person's part; ``comes``: a restart follows by itself, which has its cost."""
    part = _part(rung, reason, state, policy)
    if comes and rung.held_memory and rung.earliest is not None:
        return _kept_memory(rung.earliest, work)
    if comes and work.signs and _work(rung, reason):
        return f"{part}; its variables are lost, too, once it has ended, unless you pause it before"
    return f"{part}; {COST}" if comes else part


def _kept_memory(seconds: float, work: Work) -> str:
    ids = f" of {work.named}" if work.named else ""
    ends = f"ends {work.named}" if work.named else "ends what holds it"
    return (
        f"if you need what is in memory there (GPU memory{ids}, variables), pause it within "
        f"{length(seconds)}; else nothing to do: the restart then {ends}, and every kernel loses its "
        "variables"
    )


def _part(rung: Rung, reason: Refusal, state: TargetState, policy: Policy) -> str:
    if _own_trouble(reason, policy):
        log = "read in the agent's log why it crashed"
        return log if state.journal_ok else "look at the disk under the agent's state folder"
    if _host_key(rung, state):
        return "compare the host key with what the server's owner says"
    if reason is Refusal.VETO and rung.hazard is not None:
        return rung.hazard.yours
    if reason is Refusal.UNARMED and rung.wait >= 1:
        return f"wait another {length(rung.wait)} first, it may get healthy; then {YOURS[reason]}"
    if asks_besides(rung, reason) and _work(rung, reason):
        return (
            "leave that work alone while it is worth keeping: once it has ended watchdogd asks, and only "
            "then an approval counts; if it is not worth keeping, force it"
        )
    if Refusal.BUDGET in (rung.refusal, reason):
        return YOURS[Refusal.BUDGET] + _log(state)
    asks_later = reason is Refusal.ASK and rung.refusal is not Refusal.ASK
    if asks_later or (reason is Refusal.VETO and rung.earliest is not None):
        return NOTHING
    if reason is Refusal.NO_SIGHT and rung.unread:
        return "find out on the server why that cannot be read"
    return YOURS.get(reason, NOTHING) + (_log(state) if reason in _LOG else "")


def _log(state: TargetState) -> str:
    known = state.sight.container
    if known is None or not known.name:
        return ""
    return f"; its log may tell (on the server: docker logs --tail 50 {known.name})"
