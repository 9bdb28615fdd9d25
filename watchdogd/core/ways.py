"""What a person can type about a remedy that is held back, and what exactly each command would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from watchdogd.core.choose import APPROVABLE
from watchdogd.core.ladders import ladder
from watchdogd.core.lengths import length
from watchdogd.core.life import Rank, Sign
from watchdogd.core.model import Policy, TargetState
from watchdogd.core.operating import APPROVAL_SECONDS, impossible
from watchdogd.core.rung import Rung, ends_work, needed_seconds
from watchdogd.core.words import HARM, WAITING, Harm, Mode, Refusal, Remedy

DOES: dict[Remedy, str] = {
    Remedy.START_CONTAINER: "starts the container",
    Remedy.CREATE_CONTAINER: "creates and starts the container",
    Remedy.START_SESSION: "starts the command in its tmux session",
    Remedy.RESTART_CONTAINER: "restarts the container",
    Remedy.RESTART_SESSION: "restarts the command in its tmux session",
}
RESETTABLE = frozenset({Refusal.HALTED, Refusal.FAILED_START})
NO_RESET = frozenset({Refusal.HALTED, Refusal.UNARMED})
"""What would refuse it after a reset as well: that one would be in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What a person can do: one verb of this program."""

    does: str
    verb: str
    remedy: Remedy | None = None
    forced: bool = False
    """It goes over what holds the remedy back: possible, which is not to say advised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is known of work in the runtime, for whoever would end it."""

    signs: Sequence[Sign] = ()
    unread: str = ""
    """What could not be read; empty if "no sign" may be believed."""
    processes: tuple[int, ...] = ()
    """Ids on the server of those that the strongest sign is of, where they are known."""
    kernels: bool = False
    """The runtime told lately what its kernels do."""

    @property
    def named(self) -> str:
        """Those processes, for people; empty if none is known."""
        ids = ", ".join(str(one) for one in self.processes[:5])
        return f"process{'' if len(self.processes) == 1 else 'es'} {ids}" if ids else ""


PAUSE = Way(
    does="watchdogd then restarts nothing there by itself, whatever it sees, until you end that "
    "(watchdogd resume)",
    verb="pause",
)
_LOSES = "every kernel loses its variables"
_COSTS = ", which loses every kernel's variables"


def ways(
    rung: Rung, reason: Refusal, state: TargetState, policy: Policy, work: Work, *, comes: bool
) -> tuple[Way, ...]:
    """Only what is of use now: each lifts what holds the remedy back; and what prevents one that
    ``comes`` by itself and ends what runs."""
    if HARM[rung.remedy] is Harm.HARMLESS:
        return ()
    found = []
    if reason is Refusal.OPERATOR and not impossible(state, rung.remedy):
        does = f"{_does(rung.remedy)} now, and looks whether it gets healthy"
        return (Way(does=does, verb="heal", remedy=rung.remedy),)
    if rung.refusal in APPROVABLE and state.phase in WAITING and rung.wait < APPROVAL_SECONDS:
        found.append(Way(does=_approval(rung, policy), verb="approve"))
    if reason in RESETTABLE and not (rung.afresh and rung.afresh[0] in NO_RESET):
        found.append(Way(does=_reset(rung, state, policy), verb="reset"))
    if comes:
        found.append(PAUSE)
    approvable = any(way.verb == "approve" for way in found)
    # A PAUSE on the server stops a person's order as well.
    if not approvable and reason is not Refusal.PAUSED and not impossible(state, rung.remedy):
        forced = policy.mode is not Mode.OBSERVE
        does = _force(rung, work)
        found.append(Way(does=does, verb="heal", remedy=rung.remedy, forced=forced))
    return tuple(found)


def resume(state: TargetState, policy: Policy) -> Way:
    """What ends a pause, and what may follow."""
    return Way(does=f"ends the pause; {anew(state, policy)}", verb="resume")


def anew(state: TargetState, policy: Policy) -> str:
    """What comes after all is judged afresh, and when at the earliest."""
    # Where nobody asked on the server lately: the strongest that a closer look may lead to.
    closer = replace(state.verdict, served=bool(state.verdict.served))
    rungs = ladder(replace(state, verdict=closer), policy)
    if not rungs or policy.mode is Mode.OBSERVE:
        return "all is counted from zero then"
    strongest = rungs[-1]
    asked = ends_work(strongest) and policy.mode is Mode.ASK
    word = "asks for" if asked else "may do"
    seconds = needed_seconds(state, policy, strongest)
    loses = _COSTS if ends_work(strongest) else ""
    return (
        f"all is counted from zero then, and watchdogd {word} {strongest} {length(seconds)} later "
        f"at the earliest{loses}"
    )


def _does(remedy: Remedy) -> str:
    return DOES.get(remedy, f"does {remedy}")


def _approval(rung: Rung, policy: Policy) -> str:
    soon = length(policy.suspect_interval + policy.timeout)
    when = f"at its next look, within about {soon}"
    if rung.wait >= 1:
        when = f"in {length(rung.wait)} at the earliest ({rung.clock})"
    work = f"; it still waits if it sees work; {_LOSES}" if ends_work(rung.remedy) else ""
    return (
        f"watchdogd then {_does(rung.remedy)} once, {when}; valid for "
        f"{length(APPROVAL_SECONDS)}{work}"
    )


def _reset(rung: Rung, state: TargetState, policy: Policy) -> str:
    clears = "lifts the halt only, and restarts nothing now"
    if rung.afresh is not None:
        return f"{clears}; after that it is still held back: {rung.afresh[1]}"
    if policy.mode is Mode.OBSERVE:
        return clears
    needed = needed_seconds(state, policy, rung.remedy)
    limit = rung.window if rung.next_budget > needed else None
    stays = f"the limit of {limit[0]} in {limit[1] / 3600:.0f}h stays, and " if limit else ""
    loses = _COSTS if ends_work(rung.remedy) else ""
    return (
        f"{clears}; all is counted from zero then; {stays}watchdogd may do {rung.remedy} again in "
        f"{length(max(rung.wait, needed))} at the earliest{loses}"
    )


def _force(rung: Rung, work: Work) -> str:
    """What a person who orders it must know."""
    now = f"{_does(rung.remedy)} now, whatever of the above holds it back"
    if not ends_work(rung.remedy):
        return now
    return f"{now}: {_lost(rung, work)}; {_LOSES}; asks before it does"


def _lost(rung: Rung, work: Work) -> str:
    if work.signs:
        holds = work.signs[0].rank is Rank.PRESENCE
        what = "the program that holds GPU memory" if holds else "the work that was seen"
        return f"KILLS {what}" + (f" ({work.named} on the server)" if work.named else "")
    if work.unread:
        return "it may KILL work that could not be seen"
    seen = "no running work was seen"
    seen += "" if work.kernels else ", but its kernels could not be asked"
    return seen if rung.hazard is None else f"{seen}; besides, {rung.hazard.risk}"
