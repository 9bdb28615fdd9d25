"""What a run was worth, by the truth: filled by the world, read by whoever compares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from watchdogd.sim.faults import Kind

RANK = {kind: rank for rank, kind in enumerate(Kind)}


@dataclass(slots=True)
class Score:
    """Seconds, unless it says otherwise."""

    awake: float = 0.0
    """The laptop was awake."""
    usable: float = 0.0
    """A request from the laptop got the right answer, or would have."""
    asleep: float = 0.0
    heal: dict[Kind, list[float]] = field(default_factory=dict)
    """By true cause: from the moment it could be healed (awake, a network, the server up) to usable."""
    destructive: int = 0
    """Acts that ended something that ran."""
    needless: int = 0
    """Those among them that nothing needed, or that ended work."""
    acts: Counter[str] = field(default_factory=Counter)
    by_hand: int = 0
    """How often a person had to repair it."""
    lost_by_healer: float = 0.0
    """Training that the healer's own acts threw away."""
    lost_by_faults: float = 0.0
    trained: float = 0.0
    messages: int = 0
    """Facts that were told."""
    rounds: int = 0
    """Played or skipped."""

    def availability(self) -> float:
        """Usable share of the time awake."""
        return self.usable / self.awake if self.awake else 0.0


class Outage:
    """One stretch in which it was not usable: its causes so far, and how long it could be healed."""

    def __init__(self) -> None:
        self.causes: list[Kind] = []
        self.healable = 0.0

    def end(self, score: Score) -> None:
        """Usable again: book it under the cause that is nearest to the work."""
        if self.causes:
            cause = max(self.causes, key=RANK.__getitem__)
            score.heal.setdefault(cause, []).append(self.healable)
        self.causes, self.healable = [], 0.0
