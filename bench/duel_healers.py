"""Who heals in the duel beside watchdogd: autossh with a rule on the server, and the oracle."""

from __future__ import annotations

from bench.duel_rules import Rule
from watchdogd.core.words import Cause
from watchdogd.sim.world import Link, World

SERVER_ALIVE_SECONDS = 90.0
"""``ServerAliveInterval=30``, ``ServerAliveCountMax=3``, as autossh's manual advises with ``-M 0``. (ssh's
own default is 0: it would never notice. Kinder.)"""
AUTOSSH_POLL = 600.0
"""AUTOSSH_POLL, default of autossh(1)."""
FAST_TRIES = 5
"""N_FAST_TRIES in autossh.c: so many restarts at once, then ever slower."""
LIVED = 60.0
"""autossh.c, ``grace_time``: an ssh that lived a tenth of AUTOSSH_POLL resets the count."""


def autossh_pause(tries: int) -> float:
    """Seconds before restart number ``tries`` (autossh.c: poll / 100 * t * t / 3, at most poll)."""
    slow = tries - FAST_TRIES
    return min(AUTOSSH_POLL, float(int(AUTOSSH_POLL / 100 * slow * slow / 3))) if slow > 0 else 0.0


class Opponent:
    """autossh on the laptop, and a rule on the server. A ``Healer``."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.tries, self.dialling, self.since = 0, False, 0.0
        self.watched: Link | None = None

    def begin(self, world: World) -> None:
        """ssh starts."""
        self.world = world
        self.rule.begin(world)
        self._dial()

    def changed(self) -> None:
        """ssh misses its keepalives; the rule looks for itself."""
        self.rule.changed()
        link = self.world.link
        if link is None or self.world.speaks():
            self.watched = None
        elif self.watched is not link and self.world.awake:
            self.watched = link
            self.world.after_awake(SERVER_ALIVE_SECONDS, lambda: self._missed(link))

    def link_reset(self) -> None:
        """ssh exits, autossh starts it again."""
        self._exited()

    def container_ended(self) -> None:
        """Nobody on the laptop listens."""

    def resumed(self, slept: float) -> None:
        """autossh knows nothing of sleep."""

    def _missed(self, link: Link) -> None:
        if self.watched is link and self.world.link is link and not self.world.speaks():
            self.world.link = None
            self._exited()

    def _exited(self) -> None:
        if self.dialling:
            return
        lived = self.world.run - self.since
        self.tries = 0 if lived >= LIVED else self.tries + 1
        self.dialling = True
        self.world.after_awake(autossh_pause(self.tries), self._dial)

    def _dial(self) -> None:
        self.dialling, self.since = True, self.world.run
        self.world.dial(self._dialled)

    def _dialled(self, failed: Cause | None) -> None:
        self.dialling = False
        if failed is not None:
            self._exited()


class Oracle:
    """Knows the true cause at once and repairs exactly that, as fast as the repair takes; a destructive repair
    waits for the work to end. A ``Healer`` that cannot exist: the measure for the others."""

    def begin(self, world: World) -> None:
        """Dial."""
        self.world, self.dialling, self.waiting = world, False, -1.0
        self.changed()

    def changed(self) -> None:
        """Everything that is different is known."""
        world = self.world
        if world.passes() and not world.speaks() and not self.dialling:
            self.dialling = True
            world.dial(self._dialled)
        if not (world.server_up and world.engine_up):
            return
        if not world.running:
            world.start_container("oracle")
        elif world.lasting and not world.working():
            world.restart_container("oracle")
        elif world.lasting:
            ends = world.training.ends_at()
            if ends > self.waiting:
                self.waiting = ends
                world.after(ends - world.now + 0.01, self.changed)

    def _dialled(self, failed: Cause | None) -> None:
        self.dialling = False

    def link_reset(self) -> None:
        """Known anyway."""

    def container_ended(self) -> None:
        """Known anyway."""

    def resumed(self, slept: float) -> None:
        """Known anyway."""
