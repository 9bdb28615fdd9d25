"""Process 1 of a container without a restart policy is killed: how long until its runtime answers again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

from bench.report import Figure, say
from tests.e2e.lab import OWN_TOKEN, Bench
from tests.lab.docker import Dockerd
from tests.lab.image import jupyter_image
from watchdogd.adapters.clock import SystemClock

REPETITIONS = 3
"""Starts have a budget, five in an hour."""
REST_SECONDS = 15.0
"""The pause after a start before the next one may follow is 10 s."""
LONGEST = 120.0
EXTRA = 3.0
DEFAULTS: dict[str, object] = {
    key: None
    for key in (
        "ssh.keepalive",
        "probe.interval",
        "probe.suspect_interval",
        "probe.timeout",
        "heal.start_grace",
    )
}
"""The product's own numbers, not the short ones of the tests."""


def figures() -> Iterator[Figure]:
    """First the bare start, by hand, then the agent on the same container."""
    rest = threading.Event()
    with Dockerd() as engine:
        image = jupyter_image(engine)
        with Bench(engine, image, settings={**OWN_TOKEN, **DEFAULTS}) as bench:
            life = bench.prepare()
            theirs = []
            for number in range(REPETITIONS):
                say(f"container, by hand {number + 1} of {REPETITIONS}")
                _kill(bench, life.id)
                bench.server.docker.out("wait", life.id)
                theirs.append(
                    _timed(lambda: bench.server.docker.out("start", life.id), bench.runtime_answers)
                )
                rest.wait(1.0)
            bench.start()
            rest.wait(REST_SECONDS)
            ours = []
            for number in range(REPETITIONS):
                say(f"container, by the agent {number + 1} of {REPETITIONS}")
                ours.append(_timed(lambda: _kill(bench, life.id), lambda: _usable(bench, life.id)))
                rest.wait(REST_SECONDS)
    yield Figure(
        name="usable again after process 1 was killed",
        unit="s",
        ours=ours,
        opponent="docker start, and the boot",
        theirs=theirs,
        limit=EXTRA,
        measure="difference",
    )


def _kill(bench: Bench, ident: str) -> None:
    os.kill(bench.server.life(ident).pid, signal.SIGKILL)


def _usable(bench: Bench, ident: str) -> bool:
    return bench.server.life(ident).pid > 0 and bench.usable()


def _timed(act: Callable[[], object], done: Callable[[], bool]) -> float:
    clock, pause = SystemClock(), threading.Event()
    begun = clock.run()
    act()
    while not done():
        if clock.run() - begun > LONGEST:
            return LONGEST
        pause.wait(0.02)
    return clock.run() - begun
