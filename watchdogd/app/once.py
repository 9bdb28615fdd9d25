"""``run --once``: knows when every target has had its first whole round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from watchdogd.app.results import CheckResult, result_of
from watchdogd.core.commands import Fact
from watchdogd.core.events import DialFailed, Event, LinkUp, Observed
from watchdogd.core.model import Env, TargetState
from watchdogd.core.words import Kind, State, Vantage


class FirstRound:
    """A sink. A round counts if it began after the first dial ended, looked from the server too, and
    no remedy runs; without a network no dial is made, and such a round counts as well.
    """

    def __init__(self, kinds: Mapping[str, Kind], done: Callable[[], None]) -> None:
        """``done`` is called once, when every target has its result."""
        self._kinds = dict(kinds)
        self._done = done
        self._dialed: dict[str, float] = {}
        self._results: dict[str, CheckResult] = {}

    def told(
        self, target: str, event: Event, facts: Sequence[Fact], state: TargetState, env: Env
    ) -> None:
        """Take note of dials and rounds."""
        if isinstance(event, LinkUp | DialFailed):
            self._dialed.setdefault(target, env.run)
        elif isinstance(event, Observed) and target not in self._results and not event.stalled:
            result = result_of(event.observations, self._kinds[target])
            whole = event.started >= self._dialed.get(target, float("inf"))
            deep = any(seen.vantage is Vantage.SERVER for seen in event.observations)
            if state.intent is None and ((whole and deep) or result.state is State.OFFLINE):
                self._results[target] = result
                if len(self._results) == len(self._kinds):
                    self._done()

    def results(self) -> Mapping[str, CheckResult]:
        """Of all targets; one that had no whole round is unknown."""
        return {
            name: self._results.get(name) or _without_round(kind)
            for name, kind in self._kinds.items()
        }


def _without_round(kind: Kind) -> CheckResult:
    result = result_of((), kind)
    return replace(result, verdict=replace(result.verdict, detail="no whole round ended in time"))
