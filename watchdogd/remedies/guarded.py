"""Giving the guard an order, and what its answer means for a remedy that ends something."""

from __future__ import annotations

from watchdogd.core.model import Intent
from watchdogd.core.words import Refusal, Result
from watchdogd.ports import Deadline, EngineRefused, GuardOrder, GuardResult, Outcome, Reach

_REASONS: dict[GuardResult, Refusal | None] = {
    GuardResult.BUSY: None,
    GuardResult.CHANGED: None,
    GuardResult.HEALED: None,
    GuardResult.PAUSED: Refusal.PAUSED,
    GuardResult.VETO: Refusal.VETO,
    GuardResult.UNREAD: Refusal.NO_SIGHT,
    GuardResult.BUDGET: Refusal.BUDGET,
    GuardResult.MISSING: Refusal.NO_SIGHT,
}
"""What did nothing, and why; without a reason what was believed is dropped."""


def order(
    reach: Reach, intent: Intent, run: str, *, container: str = "", session: str = ""
) -> GuardOrder | None:
    """The order for this intent; ``None`` if it does not carry what it rests on."""
    if intent.seen is None or (intent.seen.processes is None and not intent.ordered):
        return None
    heal = reach.target.heal
    return GuardOrder(
        key=intent.key,
        remedy=intent.remedy,
        place=reach.target.forward.remote,
        container=container,
        session=session,
        run=run,
        seen=intent.seen,
        per_6h=heal.destructive_per_6h,
        per_24h=heal.destructive_per_24h,
        ordered=intent.ordered,
    )


def end_it(reach: Reach, wanted: GuardOrder | None, deadline: Deadline) -> Outcome | None:
    """Have the guard act. ``None``: it did. Else how the remedy ends: with nothing done, or with what
    was done not known. Raises ``Transient`` as ``Link.run``: it may have been done then."""
    if wanted is None:
        text = "it is not known which processes it was decided on"
        return Outcome(result=Result.NOTHING, detail=text, reason=Refusal.NO_SIGHT)
    try:
        answer = reach.guard.act(wanted, deadline)
    except ValueError as error:
        return Outcome(result=Result.NOTHING, detail=str(error), reason=Refusal.NO_SIGHT)
    except EngineRefused as error:
        return Outcome(result=Result.UNKNOWN, detail=error.detail, mend=error.mend)
    match answer.result:
        case GuardResult.ACTED:
            return None
        case GuardResult.FAILED:
            return Outcome(result=Result.FAILED, detail=answer.detail or "the act failed")
        case GuardResult.LATE | GuardResult.REPEAT:
            return Outcome(result=Result.UNKNOWN, detail=answer.detail or "it did not end in time")
        case GuardResult.MISSING:
            mend = "on the server: sudo apt-get install util-linux curl"
            return Outcome(
                result=Result.NOTHING, detail=answer.detail, reason=Refusal.NO_SIGHT, mend=mend
            )
        case _:
            reason = _REASONS[answer.result]
            return Outcome(result=Result.NOTHING, detail=answer.detail, reason=reason)
