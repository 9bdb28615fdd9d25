"""The truth: laptop, line, server, container, runtime. It changes by faults and by what healers do.

Healers change it through the methods under "acts" only, and are told (``changed``) that something is
different; what they may know of it is their own honesty.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Protocol

from watchdogd.core.words import Cause
from watchdogd.sim.clockwork import Call, Clockwork
from watchdogd.sim.faults import Kind
from watchdogd.sim.scenario import Scenario
from watchdogd.sim.score import Outage, Score
from watchdogd.sim.training import Training

OFFLINE_DIAL_SECONDS = 0.05
DIAL_TIMEOUT_SECONDS = 10.0
"""Dials into a black hole end then (the adapter: 5 s an address, 10 s for the banner)."""


DISTURBING = frozenset({Kind.LOSS, Kind.SLOW, Kind.KERNEL_DIED})
"""These make nothing unusable by themselves, so no outage is theirs."""


class Runtime(StrEnum):
    """What a request gets, where the container runs."""

    OK = "ok"
    HUNG = "hung"
    REFUSED = "refused"
    ERROR = "error"


@dataclass(slots=True)
class Link:
    """One SSH connection. Dead: nothing passes over it any more, though neither end was told."""

    dead: bool = False


class Healer(Protocol):
    """Who repairs it. All methods are called by the world."""

    def begin(self, world: World) -> None:
        """Time starts."""

    def changed(self) -> None:
        """The truth is another one."""

    def link_reset(self) -> None:
        """The connection was ended by the other side: the laptop is told at once."""

    def container_ended(self) -> None:
        """The container ended (the engine tells whoever listens)."""

    def resumed(self, slept: float) -> None:
        """The laptop is awake again."""


class World(Clockwork):
    """See the module. ``score`` is kept by the truth alone."""

    def __init__(self, scenario: Scenario, dice: Random, healer: Healer) -> None:
        super().__init__()
        self.scenario = scenario
        self.dice = dice
        self.healer = healer
        self.training = Training(scenario, dice)
        self.score = Score()
        self.online = True
        self.link: Link | None = None
        self.stalls = 0
        self.losses = 0
        self.server_up = True
        self.booted_at = -1e6
        self.boots = 1
        self.engine_up = True
        self.engine_started_at = -1e6
        self.running = True
        self.ended_at = -1e6
        self.life = 1
        """Counts starts of the container."""
        self.started_at = -1e6
        self.oom = False
        self.end_is_known = True
        """The engine's events still tell how the container ended."""
        self.runtime = Runtime.OK
        self.trouble = 0
        """Counts the runtime's troubles, so that one that ends by itself ends no later one."""
        self.lasting = False
        """Only a restart of the container mends the runtime."""
        self.slow = 0
        self.ready_at = 0.0
        self.view = True
        self._outage = Outage()
        self._settled = 0.0

    # ------------------------------------------------------------ what is true now

    def passes(self) -> bool:
        """Can a packet go from the laptop to the server?"""
        return self.awake and self.online and self.server_up and not self.stalls

    def speaks(self) -> bool:
        """Does the present link carry anything?"""
        return self.link is not None and not self.link.dead and self.passes()

    def serving(self) -> bool:
        """Does a request made on the server get the right answer?"""
        ready = self.running and self.now >= self.ready_at
        return self.server_up and ready and self.runtime is Runtime.OK

    def usable(self) -> bool:
        """Does a request from the laptop?"""
        return self.speaks() and self.serving()

    def working(self) -> bool:
        """Does a training job run at this moment?"""
        self.training.advance(self.now)
        return self.training.working()

    def computing(self) -> bool:
        """Does that job use the CPU and the GPU, instead of waiting?"""
        return self.working() and not self.training.waits()

    # ------------------------------------------------------------ changing it

    def settle(self) -> None:
        """Book the time since the last change, before the next one."""
        elapsed = self.now - self._settled
        self._settled = self.now
        self.training.advance(self.now)
        if not self.awake:
            self.score.asleep += elapsed
            return
        self.score.awake += elapsed
        if self.usable_before:
            self.score.usable += elapsed
        elif self.passes_before:
            self._outage.healable += elapsed

    usable_before = False
    passes_before = True

    def change_done(self) -> None:
        """After a change: close the outage, or go on with it, and tell the healer."""
        self.usable_before, self.passes_before = self.usable(), self.passes()
        self.training.let_start(self.serving())
        if self.usable_before:
            self._outage.end(self.score)
        self.healer.changed()

    def blame(self, kind: Kind) -> None:
        """A fault of this kind came: it is among the causes of an outage that it makes or meets."""
        if kind not in DISTURBING and not self.usable():
            self._outage.causes.append(kind)

    def later(self, seconds: float, call: Call) -> None:
        """A change of the truth after so long; the world books around it."""

        def turn() -> None:
            self.settle()
            call()
            self.change_done()

        self.after(seconds, turn)

    def cut(self) -> None:
        """The link is gone, and both ends know."""
        if self.link is not None:
            self.link = None
            self.healer.link_reset()

    def end_container(self, *, oom: bool = False, known: bool = True) -> None:
        """It does not run any more; what ran in it is lost to the fault."""
        self.running, self.oom, self.end_is_known = False, oom, known
        self.ended_at = self.now
        self.runtime, self.lasting = Runtime.OK, False
        self.trouble += 1
        self.training.kill("fault")
        if known:
            self.healer.container_ended()

    # ------------------------------------------------------------ acts

    def dial(self, ended: Dialled) -> None:
        """A new SSH connection; ``ended`` gets ``None``, or the cause why there is none."""
        if not self.online:
            self.after_awake(OFFLINE_DIAL_SECONDS, lambda: ended(Cause.OFFLINE))
            return
        lossy = 3.0 if self.losses else 1.0
        seconds = self.scenario.spreads["dial"].draw(self.dice) * lossy
        self.after_awake(
            seconds if self.passes() else DIAL_TIMEOUT_SECONDS, lambda: self._dialled(ended)
        )

    def _dialled(self, ended: Dialled) -> None:
        if not self.passes():
            ended(Cause.HOST_UNREACHABLE if self.online else Cause.OFFLINE)
            return
        self.settle()
        self.link = Link()
        ended(None)
        self.change_done()

    def start_container(self, act: str) -> float:
        """Start what does not run; returns when it will serve. The engine must be up."""
        self.settle()
        self.score.acts[act] += 1
        self.life += 1
        self.running, self.runtime, self.lasting = True, Runtime.OK, False
        self.trouble += 1
        self.oom, self.end_is_known, self.started_at = False, True, self.now
        self.ready_at = self.now + self.scenario.spreads["boot"].draw(self.dice)
        self.training.allow(self.ready_at)
        self.later(self.ready_at - self.now, lambda: None)
        self.change_done()
        return self.ready_at

    def stop_container(self, by: str = "healer") -> None:
        """End what runs in it. Destructive."""
        self.settle()
        if by == "healer":
            self.score.destructive += 1
            self.score.needless += self.working() or not (self.lasting and self.running)
        self.training.kill(by)
        self.running = False
        self.runtime, self.lasting = Runtime.OK, False
        self.trouble += 1

    def restart_container(self, act: str, by: str = "healer") -> float:
        """End what runs in it and start it again; returns when it will serve. Destructive."""
        self.stop_container(by)
        return self.start_container(act)

    def finish(self) -> Score:
        """The run is over: book the rest."""
        self.settle()
        self.score.lost_by_healer = self.training.lost["healer"]
        self.score.lost_by_faults = self.training.lost["fault"]
        self.score.trained = self.training.trained
        return self.score


class Dialled(Protocol):
    """What is called when a dial ended."""

    def __call__(self, failed: Cause | None) -> None: ...
