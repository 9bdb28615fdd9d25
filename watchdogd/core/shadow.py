"""What would have been done but was not, and whether hindsight says that it would have been right.

In the flow: ``shadowing`` fills these records, the sinks and ``status`` tell them. No decision reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.core.sight import Generation
from watchdogd.core.words import Cause, Hindsight, Refusal, Remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldHave:
    """One remedy that nothing held back but the mode, a person's missing word, or a veto."""

    remedy: Remedy
    cause: Cause
    reason: Refusal
    """What alone held it back: ``observe``, ``ask`` or ``veto``."""
    incident: str
    generation: Generation
    wall: float
    boot: float
    boot_id: str
    """The laptop's boot id, as for a charge: what ``boot`` is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The one that waits for hindsight. It does not survive the agent: what was counted is stale."""

    would: WouldHave
    run: float
    """``run`` clock of the last conclusive round."""
    looked: float
    """When that round began to look: any other is a new one."""
    seconds: float = 0.0
    """Awake-observed, since it was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How often hindsight agreed with one remedy."""

    remedy: Remedy
    right: int = 0
    false_alarms: int = 0
    """Health came back by itself within the time that the remedy is given to prove itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """What is kept of a target's would-haves; it survives the agent."""

    recent: tuple[WouldHave, ...] = ()
    """The shadow budget: those of the last 24 h or of the open incident, oldest first."""
    scores: tuple[Score, ...] = ()
    """One for each remedy that was judged, in the order of its first."""

    def scored(self, remedy: Remedy, outcome: Hindsight) -> Shadow:
        """With one more of this outcome; an undecided one counts nowhere."""
        if outcome is Hindsight.UNDECIDED:
            return self
        old = next((one for one in self.scores if one.remedy is remedy), Score(remedy=remedy))
        right = outcome is Hindsight.RIGHT
        new = Score(
            remedy=remedy,
            right=old.right + right,
            false_alarms=old.false_alarms + (not right),
        )
        if old in self.scores:
            scores = tuple(new if one is old else one for one in self.scores)
        else:
            scores = (*self.scores, new)
        return Shadow(recent=self.recent, scores=scores)


def sentence(remedy: str, right: int, false_alarms: int) -> str:
    """A score for people: ``restart_container would have been right 3 of 9 times``."""
    times = right + false_alarms
    return f"{remedy} would have been right {right} of {times} time{'' if times == 1 else 's'}"
