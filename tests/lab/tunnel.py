"""One target's whole tunnel without the rest of the agent: engine, links, listener, and who dials.

The dials follow the core's own policy (``watchdogd.core.dialing``); only its clock runs faster, so that its
pauses are short.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.lab.closing import Closing
from tests.lab.engines import CLOCK, MAKERS, soon
from tests.lab.waiting import until
from watchdogd.adapters.forward import ListeningForward
from watchdogd.core import dialing
from watchdogd.core.events import (
    DialFailed,
    Event,
    LinkLost,
    LinkSilent,
    LinkSpeaking,
    LinkUp,
)
from watchdogd.core.link import Dialing
from watchdogd.core.model import Env
from watchdogd.links import TargetLinks
from watchdogd.settings import Address, SshSettings

HASTE = 30.0
"""So many times as fast as the agent's: a pause of 15 s takes half a second."""
_LOOK_SECONDS = 0.05
_DIAL_SECONDS = 30.0
_DRAIN_SECONDS = 60.0
"""As the core asks for."""


class Dialer(Closing):
    """Plays the core for one target: dials when its policy says so, and closes links that were replaced."""

    def __init__(self, links: TargetLinks, events: queue.Queue[Event], haste: float) -> None:
        self.seen: list[Event] = []
        self.state = Dialing()
        """What the core would know."""
        self._links = links
        self._events = events
        self._haste = haste
        self._stopped = threading.Event()
        self._dials: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, name="test-dialer")
        self._thread.start()

    def count(self, kind: type[Event]) -> int:
        """How many such events came."""
        return sum(isinstance(event, kind) for event in tuple(self.seen))

    def failures(self) -> list[DialFailed]:
        """The dials that ended without a link, in their order."""
        return [event for event in tuple(self.seen) if isinstance(event, DialFailed)]

    def close(self) -> None:
        """No dial from now on; the one in flight is waited for."""
        self._stopped.set()
        self._thread.join(_DIAL_SECONDS + 10)
        for dial in self._dials:
            dial.join(_DIAL_SECONDS + 10)

    def _env(self) -> Env:
        now = CLOCK.run() * self._haste
        return Env(run=now, boot=now, wall=now, boot_id="test", chance=0.5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Empty):
                self._hear(self._events.get(timeout=_LOOK_SECONDS))
            if not self._stopped.is_set() and dialing.due(self.state, self._env()):
                self._dial()

    def _hear(self, event: Event) -> None:
        before, env = self.state, self._env()
        match event:
            case LinkUp():
                self.state = dialing.link_up(before, event, env)
                if before.up is not None:
                    self._links.close_link(before.up, _DRAIN_SECONDS)
            case LinkSilent():
                self.state = dialing.link_silent(before, event, env)
            case LinkSpeaking():
                self.state = dialing.link_speaking(before, event, env)
            case LinkLost():
                self.state = dialing.link_lost(before, event, env)
            case DialFailed():
                self.state = dialing.dial_failed(before, event, env)
        self.seen.append(event)

    def _dial(self) -> None:
        number = self.state.last_number + 1
        self.state = replace(self.state, dialing=number, last_number=number)
        self._dials = [dial for dial in self._dials if dial.is_alive()]
        dial = threading.Thread(
            target=self._links.dial, args=(number, soon(_DIAL_SECONDS)), name="test-dial"
        )
        self._dials.append(dial)
        dial.start()


class Tunnel(Closing):
    """Bound, and dialing, from the constructor on; ``close`` ends everything."""

    def __init__(
        self,
        engine: str,
        settings: SshSettings,
        remote: Address,
        folder: Path,
        *,
        hold: float = 30.0,
        haste: float = HASTE,
    ) -> None:
        """``engine``: a name of ``MAKERS``; ``folder``: for control sockets and ledger; ``hold``: seconds."""
        self.folder = folder
        events: queue.Queue[Event] = queue.Queue()
        local = Address("127.0.0.1", 0)
        self.forward = ListeningForward(local, remote, hold, CLOCK, name=f"test-{engine}")
        self.links = TargetLinks(MAKERS[engine](settings, folder), self.forward, CLOCK, events.put)
        self.links.bind()
        self.address = self.forward.address
        self.dialer = Dialer(self.links, events, haste)

    def says_up(self) -> bool:
        """What the metric ``tunnel_up`` is made of."""
        status = self.links.status()
        return status.link is not None and not status.silent

    def await_up(self, seconds: float = 30.0) -> None:
        """Until a link serves."""
        until(self.says_up, "a link", seconds)

    def await_ups(self, number: int, seconds: float = 30.0) -> None:
        """Until so many links have come up, all together."""
        until(lambda: self.dialer.count(LinkUp) >= number, f"link number {number}", seconds)

    def children(self) -> list[int]:
        """Process ids of the ``ssh`` that carry links, by the ledger."""
        return [int(entry.stem) for entry in (self.folder / "children").glob("*.json")]

    def remains(self) -> list[str]:
        """Control sockets and entries of the ledger; none may be left after the close."""
        return sorted(
            str(path.relative_to(self.folder))
            for name in ("run", "children")
            for path in (self.folder / name).rglob("*")
        )

    def close(self) -> None:
        """Ends within a minute."""
        self.dialer.close()
        self.links.close(soon())

    def is_calm(self) -> bool:
        """One link serves, nobody rides on it, and none is being made."""
        riding = self.forward.facts().open_connections
        return self.says_up() and not self.links.status().dialing and not riding
