"""The work: training runs of days with checkpoints. Advanced lazily, so it costs no events."""

from __future__ import annotations

import math
from collections import defaultdict
from random import Random

from watchdogd.sim.scenario import Scenario


class Training:
    """One job after another. A kill throws the present one back to its last checkpoint."""

    def __init__(self, scenario: Scenario, dice: Random) -> None:
        """Draws all jobs, and the stretches in which a job waits and uses no CPU."""
        job, gap, lull = (scenario.spreads[name] for name in ("job", "job_gap", "lull"))
        self._every = scenario.numbers["checkpoint_every"]
        self._resume = scenario.numbers["resume_seconds"]
        self._jobs: list[tuple[float, float]] = []
        drawn = 0.0
        while drawn < scenario.length:
            self._jobs.append((gap.draw(dice), job.draw(dice)))
            drawn += sum(self._jobs[-1])
        self._lulls: list[tuple[float, float]] = []
        at = 0.0
        while at < scenario.length and scenario.numbers["lull_every"] > 0:
            at += dice.expovariate(1.0 / scenario.numbers["lull_every"])
            self._lulls.append((at, at + lull.draw(dice)))
            at = self._lulls[-1][1]
        self._next_lull = 0
        self._job = 0
        self._begins = self._jobs[0][0]
        self._started = False
        self._able_from = 0.0
        self._startable = True
        self.clock = 0.0
        self.done = 0.0
        """Seconds of work in the present job that are not lost."""
        self.trained = 0.0
        """Seconds of work that were kept, of all jobs."""
        self.cpu = 0.0
        self.process = 1
        """Counts processes: a killed job goes on in another one."""
        self.lost: defaultdict[str, float] = defaultdict(float)
        """Seconds lost, by who ended it."""

    def working(self) -> bool:
        """Does a job run at ``clock``?"""
        return self._started and self.clock >= self._able_from

    def ends_at(self) -> float:
        """When the running job ends if nothing happens; ``clock`` if none runs."""
        return self.clock + (self._length() - self.done if self.working() else 0.0)

    def waits(self) -> bool:
        """Is ``clock`` within a stretch in which a job uses no CPU?"""
        return any(start <= self.clock < stop for start, stop in self._near())

    def next_change(self) -> float:
        """When the work next begins, ends, pauses or goes on, if nothing happens."""
        edges = [edge for lull in self._near() for edge in lull if edge > self.clock]
        if self.working():
            return min([self.ends_at(), *edges])
        begins = self._able_from if self._started else max(self._able_from, self._begins)
        return begins if begins > self.clock else math.inf

    def advance(self, to: float) -> None:
        """Let the job run until ``to``."""
        while self.clock < to:
            begin = max(self.clock, self._able_from)
            if not self._started:
                begin = max(begin, self._begins)
            if begin >= to or (not self._started and not self._startable):
                self.clock = to
                return
            self._started = True
            end = min(to, begin + self._length() - self.done)
            self._work(begin, end)
            self.clock = end
            if self.done >= self._length() - 1e-6:
                self._finish()

    def kill(self, by: str, *, frozen: bool = False) -> None:
        """Everything that runs in the runtime ends now; nothing runs before ``allow``. ``frozen``: the
        process is still there, and holds what it held, but does nothing any more."""
        if self.working():
            back = self.done - math.floor(self.done / self._every) * self._every
            self.done -= back
            self.trained -= back
            self.lost[by] += back + self._resume
        self._able_from = math.inf
        if not frozen:
            self.cpu = 0.0
            self.process += 1

    def allow(self, at: float) -> None:
        """A kernel can run from ``at`` on; a job that was interrupted needs its time to load first."""
        self._able_from = at + (self._resume if self._started else 0.0)

    def able(self) -> bool:
        """Is there, or will there be by itself, a kernel that a job could run in?"""
        return self._able_from < math.inf

    def let_start(self, startable: bool) -> None:
        """May the next job be started by its owner (does the runtime answer)?"""
        self._startable = startable

    def _length(self) -> float:
        return self._jobs[min(self._job, len(self._jobs) - 1)][1]

    def _finish(self) -> None:
        self._started, self.done = False, 0.0
        self._job += 1
        self._begins = self.clock + self._jobs[min(self._job, len(self._jobs) - 1)][0]

    def _work(self, begin: float, end: float) -> None:
        self.done += end - begin
        self.trained += end - begin
        self.cpu += end - begin - self._waiting(begin, end)

    def _near(self) -> list[tuple[float, float]]:
        """The lull that is on, or the next one."""
        while self._next_lull < len(self._lulls) and self._lulls[self._next_lull][1] <= self.clock:
            self._next_lull += 1
        return self._lulls[self._next_lull : self._next_lull + 1]

    def _waiting(self, begin: float, end: float) -> float:
        """Seconds of the stretch in which the job uses no CPU."""
        while self._next_lull < len(self._lulls) and self._lulls[self._next_lull][1] <= begin:
            self._next_lull += 1
        total = 0.0
        for start, stop in self._lulls[self._next_lull :]:
            if start >= end:
                break
            total += min(end, stop) - max(begin, start)
        return total
