"""One round of probes: two lanes side by side, joined into exactly one ``Observed``.

In the flow: a ``Probe`` command becomes jobs; what they read becomes one event. A probe that did not
answer by the lane's deadline stands in it as UNKNOWN; one that raised is a bug of ours.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from watchdogd.core.events import Observed
from watchdogd.core.model import Observation
from watchdogd.core.sight import Sight
from watchdogd.core.words import Cause, Layer, Outcome, ProbeName, Vantage
from watchdogd.errors import WatchdogdError
from watchdogd.ports import Deadline, ProbeFunction, Reach, Reading
from watchdogd.workers import Answer, Job, Overdue, Raised, Value, Workers

log = logging.getLogger(__name__)

Probes = Mapping[ProbeName, ProbeFunction]

LAPTOP_SLACK = 5.0
"""Beyond ``probe.timeout``: what the quick probes of the laptop's lane may take together."""
SERVER_SECONDS = 30.0
"""For all that is read on the server in one round; more on a slow line (``SERVER_TIMEOUTS``)."""
SERVER_TIMEOUTS = 3.0
SERVER_MOST_SECONDS = 90.0
"""So many times what a single probe may take, and no longer: after 120 s a round is given up."""
LAST_WORD = 0.5
"""So much earlier than the lane ends a probe's own deadline: it can still say what it saw."""

PLACES: dict[ProbeName, tuple[Layer, Vantage]] = {
    ProbeName.AGENT: (Layer.AGENT, Vantage.LAPTOP),
    ProbeName.NETWORK: (Layer.NETWORK, Vantage.LAPTOP),
    ProbeName.SSH: (Layer.SSH, Vantage.LAPTOP),
    ProbeName.HOST: (Layer.HOST, Vantage.SERVER),
    ProbeName.CONTAINER: (Layer.CONTAINER, Vantage.SERVER),
    ProbeName.SESSION: (Layer.CONTAINER, Vantage.SERVER),
    ProbeName.FORWARD: (Layer.FORWARD, Vantage.LAPTOP),
    ProbeName.RUNTIME_TUNNEL: (Layer.RUNTIME, Vantage.TUNNEL),
    ProbeName.RUNTIME_SERVER: (Layer.RUNTIME, Vantage.SERVER),
    ProbeName.KERNEL: (Layer.KERNEL, Vantage.TUNNEL),
    ProbeName.GPU: (Layer.HOST, Vantage.SERVER),
    ProbeName.TRAINING: (Layer.TRAINING, Vantage.SERVER),
}
"""Where a probe's word belongs when it gave none itself."""

IN_MEMORY = frozenset({ProbeName.SSH, ProbeName.FORWARD})
"""They read what this process knows, and cannot wait: no job with a deadline of its own."""


def unknown(probe: ProbeName, started: float, ended: float, detail: str) -> Observation:
    """What stands in a round for a probe that did not answer."""
    layer, vantage = PLACES[probe]
    return Observation(
        probe=probe,
        layer=layer,
        vantage=vantage,
        outcome=Outcome.UNKNOWN,
        started=started,
        ended=ended,
        detail=detail,
    )


def bug(probe: ProbeName, started: float, ended: float, error: Exception) -> Observation:
    """A probe that raised what it must not: our own fault, so the round is void."""
    return Observation(
        probe=probe,
        layer=Layer.AGENT,
        vantage=Vantage.LAPTOP,
        outcome=Outcome.FAIL,
        started=started,
        ended=ended,
        cause=Cause.BUG,
        detail=f"probe {probe} raised {type(error).__name__}; the log has the traceback",
    )


class Lane:
    """Probes one after another, each a job; ``done`` is called once, by the lane's deadline."""

    def __init__(
        self,
        probes: Probes,
        reach: Reach,
        workers: Workers,
        *,
        seconds: float,
        each: float,
        inside: dict[ProbeName, Job],
        done: Callable[[Lane], None],
    ) -> None:
        """``each``: a single probe's own deadline; ``inside``: jobs of earlier rounds by probe."""
        self._left = deque(probes.items())
        self._reach = reach
        self._workers = workers
        self._deadline = Deadline.after(reach.clock, seconds)
        self._each = each
        self._inside = inside
        self._done = done
        self.readings: list[Reading] = []
        self.observations: list[Observation] = []

    def go_on(self) -> None:
        """Begin the next probe, or end the lane."""
        clock = self._reach.clock
        while self._left:
            probe, function = self._left.popleft()
            now = clock.run()
            earlier = self._inside.get(probe)
            if self._deadline.passed():
                self.observations.append(unknown(probe, now, now, "no time was left in this round"))
            elif earlier is not None and earlier.running():
                self.observations.append(unknown(probe, now, now, "still held by an earlier round"))
            elif probe in IN_MEMORY and self.observations:
                # The first of a lane begins on the decision loop, where nothing of ours may run.
                self._take(probe, now, self._read(function, now))
            else:
                self._begin(probe, function, now)
                return
        self._done(self)

    def _read(self, function: ProbeFunction, now: float) -> Answer[Reading]:
        until = Deadline(self._reach.clock, now + self._each)
        try:
            return Value(function(self._reach, until, tuple(self.readings)))
        except Exception as error:  # noqa: BLE001 - as of a job: whatever it raises is its answer
            return Raised(error)

    def _begin(self, probe: ProbeName, function: ProbeFunction, now: float) -> None:
        until = max(now, min(now + self._each, self._deadline.at - LAST_WORD))
        work = partial(
            function, self._reach, Deadline(self._reach.clock, until), tuple(self.readings)
        )
        self._inside[probe] = self._workers.submit(
            f"probe {self._reach.target.name} {probe}",
            work,
            self._deadline.remaining(),
            partial(self._answered, probe, now),
        )

    def _answered(self, probe: ProbeName, started: float, answer: Answer[Reading]) -> None:
        self._take(probe, started, answer)
        self.go_on()

    def _take(self, probe: ProbeName, started: float, answer: Answer[Reading]) -> None:
        ended = self._reach.clock.run()
        match answer:
            case Value(reading):
                self.readings.append(reading)
                self.observations.extend(reading.observations)
            case Overdue():
                self.observations.append(unknown(probe, started, ended, "no answer in time"))
            case Raised(WatchdogdError() as error):
                self.observations.append(unknown(probe, started, ended, str(error)))
            case Raised(error):
                log.error("probe %s of %s failed", probe, self._reach.target.name, exc_info=error)
                self.observations.append(bug(probe, started, ended, error))


class Round:
    """Joins the lanes. ``done`` is called exactly once, with the whole round."""

    def __init__(self, number: int, started: float, done: Callable[[Observed], None]) -> None:
        self._number = number
        self._started = started
        self._done = done
        self._lock = threading.Lock()
        self._open = 0
        self._lanes: list[Lane] = []
        self._extra: list[Observation] = []

    def begin(self, lanes: tuple[Lane, ...], extra: tuple[Observation, ...] = ()) -> None:
        """Start all lanes; ``extra`` is told with what they find."""
        self._lanes, self._extra, self._open = list(lanes), list(extra), len(lanes)
        for lane in lanes:
            lane.go_on()

    def lane_done(self, _: Lane) -> None:
        """One lane ended; the last one ends the round."""
        with self._lock:
            self._open -= 1
            if self._open:
                return
        self._done(self._joined())

    def _joined(self) -> Observed:
        readings = [reading for lane in self._lanes for reading in lane.readings]
        seen = [one for lane in self._lanes for one in lane.observations]
        return Observed(
            round=self._number,
            started=self._started,
            observations=(*seen, *self._extra),
            sight=Sight(
                host=next((one.host for one in readings if one.host), None),
                container=next((one.container for one in readings if one.container), None),
                session=next((one.session for one in readings if one.session), None),
                gpu=next((one.gpu for one in readings if one.gpu), None),
                kernels=next((one.kernels for one in readings if one.kernels), None),
                training=next((one.training for one in readings if one.training), None),
            ),
        )
