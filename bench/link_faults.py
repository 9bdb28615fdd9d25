"""Tunnel keepers under the same faults, side by side: ``python -m bench.link_faults``.

Each opponent has its own server, line, runtime and local port, and is started anew for each fault. Its
forward serves for 10 s; then the fault comes to all at the same moment, and a client goes on asking
through each until all serve again and did so for 5 s, or the window is over.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.faults_lane import OPPONENTS, Lane, is_root
from bench.faults_line import Loop
from bench.faults_schedule import FAULTS, Fault
from bench.faults_table import Outcome, brief, calm_since, outcome, page, record
from bench.report import say
from tests.lab.guards import Traces, mark_this_run
from watchdogd.adapters.clock import SystemClock

WINDOW = 120.0
STEADY = 10.0
CALM = 5.0
LOOK = 0.2
TRIES = 2
"""A keeper that does not serve within its time is started once more; then the fault is left out."""
CALL_SECONDS = 180.0

Row = dict[str, Outcome | None]


class Race:
    """All lanes through one fault after the other."""

    def __init__(
        self, lanes: Sequence[Lane], loop: Loop, pool: ThreadPoolExecutor, window: float
    ) -> None:
        self._lanes, self._loop, self._pool, self._window = lanes, loop, pool, window
        self._clock, self._over = SystemClock(), threading.Event()

    def meet(self, fault: Fault) -> Row:
        """One fault. Lanes to which it does not apply take no part."""
        self._over.clear()
        racing = [lane for lane in self._lanes if fault.applies(lane)]
        row: Row = {lane.name: None for lane in self._lanes}
        try:
            self._each(racing, lambda lane: _begin(lane, fault, self._over.is_set))
            for lane in racing:
                lane.client.start(fault.patience)
            self._over.wait(STEADY)
            row |= self._raced(racing, fault)
        finally:
            self._each(racing, Lane.end)
        return row

    @property
    def late(self) -> float:
        """Seconds for which this bench itself stood still within the last fault, at the most."""
        return self._loop.late

    def close(self) -> None:
        """No further step of a fault."""
        self._over.set()

    def _raced(self, racing: Sequence[Lane], fault: Fault) -> Row:
        dials = {lane.name: lane.line.accepted for lane in racing}
        began, self._loop.late = self._clock.run(), 0.0
        done = [self._pool.submit(self._suffer, lane, fault, began) for lane in racing]
        try:
            self._watch(racing, fault, began)
        finally:
            self._over.set()
            for one in done:
                one.result(CALL_SECONDS)
            self._over.clear()
            for lane in racing:
                lane.client.stop()
        return {
            lane.name: outcome(
                lane.client.answers,
                began,
                slow=fault.slow,
                dials=lane.line.accepted - dials[lane.name],
                lost=lane.client.lost,
            )
            for lane in racing
        }

    def _suffer(self, lane: Lane, fault: Fault, began: float) -> None:
        for at, act in fault.steps:
            if self._over.wait(max(0.0, began + at - self._clock.run())):
                return
            act(lane)

    def _watch(self, racing: Sequence[Lane], fault: Fault, began: float) -> None:
        """Until all are well again, or the window is over."""
        pause = threading.Event()
        while (now := self._clock.run()) < began + self._window:
            settled = now - CALM > began + fault.steps[-1][0]
            if settled and all(_well(lane, now - CALM, fault.slow) for lane in racing):
                return
            pause.wait(LOOK)

    def _each(self, lanes: Sequence[Lane], act: Callable[[Lane], None]) -> None:
        jobs = [self._pool.submit(act, lane) for lane in lanes]
        try:
            for one in jobs:
                one.result(CALL_SECONDS)
        except BaseException:
            self._over.set()
            wait(jobs, CALL_SECONDS)
            raise


def _well(lane: Lane, since: float, slow: bool) -> bool:
    pending = list(lane.client.pending.values())
    return calm_since(list(lane.client.answers), pending, since, slow=slow)


def _begin(lane: Lane, fault: Fault, given_up: Callable[[], bool]) -> None:
    if fault.before is not None:
        fault.before(lane)
    for number in range(TRIES):
        try:
            lane.begin(given_up)
        except AssertionError:
            say(f"{lane.name} does not serve; {lane.keeper.told()}")
            if number + 1 == TRIES:
                raise
            lane.end()
        else:
            return


# ---------------------------------------------------------------- the command


@contextmanager
def racing(names: Sequence[str], window: float) -> Iterator[Race]:
    """Lanes for these opponents; nothing of them is left at the end."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wd-faults-", dir="/tmp"))
        loop = stack.enter_context(Loop())
        pool = stack.enter_context(ThreadPoolExecutor(2 * len(names), "faults"))
        lanes = [
            stack.enter_context(Lane(name, Path(folder) / str(number), loop))
            for number, name in enumerate(names)
        ]
        race = Race(lanes, loop, pool, window)
        stack.callback(race.close)
        yield race


def main(words: Sequence[str]) -> int:
    """Run the duel and print the table; 64 for a name that there is not."""
    given = _parser().parse_args(words)
    wanted, opponents = _names(given.only, FAULTS), _names(given.opponents, OPPONENTS)
    if wanted is None or opponents is None:
        return 64
    _need_programs()
    mark_this_run()
    before = Traces.now()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    results: dict[str, Row] = {}
    late: dict[str, float] = {}
    try:
        with racing(opponents, given.window) as race:
            _race(race, wanted, results, late)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        say("stopped")
    told = results, given.window, late
    print(json.dumps(record(*told)) if given.json else page(*told))
    left = before.left_over()
    say("\n".join(("left behind:", *left)) if left else "nothing is left behind")
    return 1 if left or len(results) < len(wanted) else 0


def _race(
    race: Race, wanted: Sequence[str], results: dict[str, Row], late: dict[str, float]
) -> None:
    for number, name in enumerate(wanted, 1):
        fault = FAULTS[name]
        if fault.root and not is_root():
            say(f"{name} is left out: it needs root, for an /etc/hosts of its own")
            continue
        load = os.getloadavg()[0]
        say(f"{number} of {len(wanted)}, load {load:.1f}: {name}: {fault.title}")
        try:
            results[name], late[name] = race.meet(fault), race.late
            say(brief(results[name]))
        except AssertionError as error:
            say(f"{name} is left out: {error}")


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {name:<22}{fault.title}" for name, fault in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="make bench-faults",
        description=__doc__,
        epilog=f"opponents: {', '.join(OPPONENTS)}\nfaults:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="these faults, with commas between")
    parser.add_argument("--opponents", default="", help="these opponents, with commas between")
    parser.add_argument("--window", type=float, default=WINDOW, help="seconds for one fault")
    parser.add_argument("--json", action="store_true", help="figures instead of the table")
    return parser


def _names(given: str, known: Iterable[str]) -> list[str] | None:
    names = list(known)
    wanted = [word.strip() for word in given.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in names]
    if unknown:
        say(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
        return None
    return wanted or names


def _need_programs() -> None:
    for program in ("ssh", "autossh"):
        if shutil.which(program) is None:
            raise SystemExit(f"bench: there is no {program}: apt-get install {program}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
