"""Listens to one server's container engine, and hands on the end of each container as it happens.

In the flow: one thread a target; each end becomes one ``ContainerDied`` in the loop's inbox, and what it means
the core decides. A stream that breaks says nothing: it is opened again over the link that is there by then,
from where it ended, so that what happened meanwhile is told, too. It never dials.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from watchdogd.core.events import ContainerDied
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Clock, ContainerEngine, DeathNotice, EngineRefused, LinkStatus

IDLE_SECONDS = 200.0
"""A stream without a word is opened anew after so long: nothing else tells a dead one from a quiet one.
Below the life of a connection to the engine."""
LINK_LOOK_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Between two openings; doubled while they last less than ``GOOD_SECONDS``: each costs a command there."""
GOOD_SECONDS = 30.0
REMEMBERED = 256
"""Containers whose last end is remembered: the engine itself keeps no more events."""


class DeathWatch:
    """One thread from ``start`` to ``close``. A word may be told twice, never is one made up."""

    def __init__(
        self,
        engine: ContainerEngine,
        link: Callable[[], LinkStatus],
        clock: Clock,
        post: Callable[[ContainerDied], None],
        *,
        target: str = "",
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """``post`` must neither block nor raise. ``engine`` is closed by its owner, before ``close``."""
        self._engine = engine
        self._link = link
        self._clock = clock
        self._post = post
        self._first_pause = first_pause
        self._since = 0.0
        self._told: OrderedDict[str, float] = OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{target}-deaths", daemon=True)

    def start(self) -> None:
        """Begin to listen, as soon as there is a link."""
        self._thread.start()

    def stop(self) -> None:
        """Hand on nothing more; the thread ends once the engine is closed."""
        self._stopping.set()

    def join(self, seconds: float) -> None:
        """Wait so long for the thread."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        pause = self._first_pause
        while not self._stopping.is_set():
            status = self._link()
            if status.link is None or status.silent:
                self._stopping.wait(LINK_LOOK_SECONDS)
                continue
            begun = self._clock.run()
            self._listen()
            lasted = self._clock.run() - begun
            pause = self._first_pause if lasted >= GOOD_SECONDS else min(2 * pause, LONGEST_PAUSE)
            self._stopping.wait(pause)

    def _listen(self) -> None:
        """One stream to its end. Why it ended does not matter: the rounds say what is wrong."""
        try:
            for notice in self._engine.deaths(self._since, IDLE_SECONDS):
                if self._stopping.is_set():
                    return
                self._since = max(self._since, notice.at)
                if notice.container and self._is_new(notice):
                    self._post(ContainerDied(container=notice.container, at=notice.at))
        except (Transient, Permanent, EngineRefused, OSError):
            return

    def _is_new(self, notice: DeathNotice) -> bool:
        """False for what was told before a stream was opened again."""
        if notice.at <= self._told.get(notice.container, 0.0):
            return False
        self._told[notice.container] = notice.at
        self._told.move_to_end(notice.container)
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True
