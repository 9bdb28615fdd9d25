"""What people use today, modelled from documented defaults, in the same world as watchdogd.

Each rule sees what its original sees: the line from the laptop, or the runtime from the server. Where the
documents leave a choice, the one that is kinder to the opponent is taken, and said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from watchdogd.sim.world import Runtime, World


class Rule(Protocol):
    """The server's side of an opponent."""

    def begin(self, world: World) -> None: ...

    def changed(self) -> None: ...


class Nothing:
    """No remedy on the server at all: somebody looks in the morning."""

    def begin(self, world: World) -> None:
        """Nothing."""

    def changed(self) -> None:
        """Nothing."""


class RestartAlways:
    """``docker run --restart=always``: starts what ended, 100 ms doubling to 1 min between two; reset once it
    ran 10 s. (docs.docker.com, "Start containers automatically"; moby restartmanager.)"""

    first, again, cap, good = 0.1, 0.2, 60.0, 10.0

    def begin(self, world: World) -> None:
        self.world, self.pause, self.pending = world, self.first, False

    def changed(self) -> None:
        world = self.world
        if world.running or self.pending or not (world.server_up and world.engine_up):
            return
        if world.now - world.started_at > self.good:
            self.pause = self.first
        self.pending = True
        world.after(self.pause, self._start)
        self.pause = min(self.cap, max(2 * self.pause, self.again))

    def _start(self) -> None:
        self.pending, world = False, self.world
        if world.server_up and world.engine_up and not world.running:
            world.start_container("restart_policy")
        else:
            self.changed()


class CrashLoopBackOff(RestartAlways):
    """Kubernetes, restartPolicy Always: at once, then 10 s doubling to 5 min, reset after 10 min of running.
    (kubernetes.io, "Pod Lifecycle", "How Pods handle problems with containers".)"""

    first, again, cap, good = 0.0, 10.0, 300.0, 600.0


class Poll:
    """Asks in a fixed period, acts after so many bad answers in a row. Good answers cost no event."""

    rests = False
    """The period begins when the former answer was there (Docker's), not when it was asked for."""

    def __init__(
        self,
        world: World,
        period: float,
        retries: int,
        bad: Callable[[], float],
        act: Callable[[], None],
    ) -> None:
        """``bad``: 0 if the answer is good now, else the seconds that the bad one takes."""
        self.world, self.period, self.retries, self.bad, self.act = world, period, retries, bad, act
        self.ticking, self.fails, self.took = False, 0, 0.0

    def changed(self) -> None:
        """Something is different: be there at the next tick."""
        if self.bad() and not self.ticking:
            self.ticking = True
            self.world.after(self.period - self.world.now % self.period, self._tick)

    def _tick(self) -> None:
        took = self.bad()
        if not took:
            self.ticking, self.fails = False, 0
            return
        self.fails += 1
        self.took = took
        self.world.after(took, self._answered)

    def _answered(self) -> None:
        if self.fails >= self.retries:
            self.ticking, self.fails = False, 0
            if self.bad():
                self.act()
            self.changed()
        else:
            self.world.after(self.period - (0.0 if self.rests else self.took), self._tick)


def _answer(world: World, timeout: float) -> float:
    """Seconds of a bad answer from the running container within ``timeout``; 0 if it is good, or booting."""
    if not (world.server_up and world.engine_up and world.running) or world.now < world.ready_at:
        return 0.0
    if world.runtime is Runtime.HUNG or (
        world.slow and world.scenario.numbers["slow_answer"] > timeout
    ):
        return timeout
    return 0.0 if world.runtime is Runtime.OK else 0.01


class Liveness:
    """A Kubernetes liveness probe with its defaults: HTTP GET, periodSeconds 10, timeoutSeconds 1,
    failureThreshold 3, then the container is killed. A startup probe covers the boot (kinder: the default
    initialDelaySeconds is 0). (kubernetes.io, "Configure Liveness, Readiness and Startup Probes".)"""

    def begin(self, world: World) -> None:
        self.world, self.restart = world, CrashLoopBackOff()
        self.restart.begin(world)
        self.poll = Poll(world, 10.0, 3, lambda: _answer(world, 1.0), self._kill)

    def changed(self) -> None:
        self.restart.changed()
        self.poll.changed()

    def _kill(self) -> None:
        self.world.stop_container()
        self.world.change_done()


class Autoheal:
    """docker-autoheal beside ``--restart=always``: HEALTHCHECK with interval 30 s, timeout 30 s, retries 3;
    autoheal looks every 5 s for what is unhealthy and restarts it. (docs.docker.com, Dockerfile reference;
    willfarrell/docker-autoheal, AUTOHEAL_INTERVAL=5.)"""

    def begin(self, world: World) -> None:
        self.world, self.restart = world, RestartAlways()
        self.restart.begin(world)
        self.poll = Poll(world, 30.0, 3, lambda: _answer(world, 30.0), self._unhealthy)
        self.poll.rests = True

    def changed(self) -> None:
        self.restart.changed()
        self.poll.changed()

    def _unhealthy(self) -> None:
        self.world.after(5.0, self._act)

    def _act(self) -> None:
        if _answer(self.world, 30.0):
            self.world.restart_container("autoheal")


class Monit:
    """monit, ``if failed port ... protocol http for 3 cycles then restart``: a cycle is 120 s (Debian's monitrc,
    ``set daemon 120``; monit's manual shows 30 s), its timeout 5 s. What ended is started the same way."""

    def begin(self, world: World) -> None:
        self.world = world
        self.poll = Poll(world, 120.0, 3, self._bad, self._restart)

    def changed(self) -> None:
        self.poll.changed()

    def _bad(self) -> float:
        up = self.world.server_up and self.world.engine_up
        if up and not self.world.running:
            return 0.01
        return _answer(self.world, 5.0)

    def _restart(self) -> None:
        if self.world.running:
            self.world.restart_container("monit")
        else:
            self.world.start_container("monit")
