"""How probes write down what they saw: one ``Observation``, with both times and one line of detail."""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Layer, Outcome, ProbeName, Vantage
from watchdogd.errors import one_line
from watchdogd.ports import Clock

_DETAIL_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Watch:
    """Who measures, from where, since when. Made at the start of a measurement."""

    clock: Clock
    probe: ProbeName
    layer: Layer
    vantage: Vantage
    started: float
    """``run`` clock."""

    @classmethod
    def start(cls, clock: Clock, probe: ProbeName, layer: Layer, vantage: Vantage) -> Watch:
        """Begin measuring now."""
        return cls(clock, probe, layer, vantage, clock.run())

    def ok(self, detail: str = "") -> Observation:
        """It is as it should be."""
        return self._saw(Outcome.OK, None, detail, "")

    def fail(self, cause: Cause, detail: str, mend: str = "") -> Observation:
        """It is not, and this is why."""
        return self._saw(Outcome.FAIL, cause, detail, mend)

    def unknown(self, detail: str, mend: str = "") -> Observation:
        """It could not be measured, which is no failure."""
        return self._saw(Outcome.UNKNOWN, None, detail, mend)

    def _saw(self, outcome: Outcome, cause: Cause | None, detail: str, mend: str) -> Observation:
        return Observation(
            probe=self.probe,
            layer=self.layer,
            vantage=self.vantage,
            outcome=outcome,
            started=self.started,
            ended=self.clock.run(),
            cause=cause,
            detail=one_line(detail, _DETAIL_LIMIT),
            mend=mend,
        )
