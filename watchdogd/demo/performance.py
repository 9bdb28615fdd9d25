"""From options to an exit status: the stage is set, the play is played, everything is taken away."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from watchdogd.adapters.clock import SystemClock
from watchdogd.demo.director import Director, Say
from watchdogd.demo.sight import LOOPBACK
from watchdogd.demo.stage import Stage

HEALED, NOT_HEALED, INTERRUPTED = 0, 1, 130
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def perform(say: Say, *, more_seconds: float = 0.0, keep: bool = False) -> int:
    """Plays the demo; returns its exit status. Ctrl-C, SIGTERM and SIGHUP clean up and give 130."""
    clock = SystemClock()
    try:
        with _interruptible(), Stage(clock, endurance=more_seconds > 0) as stage:
            try:
                healed = Director(stage, clock, say).play(more_seconds)
                if keep:
                    _keep(stage, say)
            finally:
                _deaf()
            status = stage.agent.stop()
    except KeyboardInterrupt:
        say("\ninterrupted; everything is taken away again")
        return INTERRUPTED
    except (OSError, subprocess.SubprocessError) as error:
        say(f"the demo cannot go on here: {error}")
        return NOT_HEALED
    if status != 0:
        say(f"the agent ended with status {status} instead of 0")
    return HEALED if healed and status == 0 else NOT_HEALED


def _keep(stage: Stage, say: Say) -> None:
    stage.witness.close()
    config = stage.agent.config
    say(f"\nStill running. Metrics: http://{LOOPBACK}:{stage.metrics_port}/metrics")
    say(f"Address for the browser: watchdogd url --config {config}")
    say(f"State: watchdogd status --config {config}")
    say("Ctrl-C ends it and takes everything away.")
    threading.Event().wait()


@contextmanager
def _interruptible() -> Iterator[None]:
    """The signals that end a program end this one like Ctrl-C."""
    before = {number: signal.getsignal(number) for number in ENDINGS}

    def interrupt(number: int, frame: object) -> None:
        _deaf()
        raise KeyboardInterrupt

    for number in ENDINGS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _deaf() -> None:
    """From now on nothing interrupts: the cleaning up has its own deadlines."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
