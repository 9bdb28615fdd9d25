"""One target's links: carries out the core's link commands, and gives probes and remedies their link.

Every link has a number, so that an old one's news is not taken for the present one's. It never
dials by itself: the core or a remedy asks, one dial at a time, and each dial ends in one event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from watchdogd.core.events import (
    BindFailed,
    DialFailed,
    Event,
    LinkLost,
    LinkSilent,
    LinkSpeaking,
    LinkUp,
    PortBound,
)
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import (
    Clock,
    Deadline,
    Forward,
    ForwardFacts,
    Link,
    LinkStatus,
    SshEngine,
)

_CLOSE_SECONDS = 5.0
_LOOK_SECONDS, _REST_SECONDS, _SOON_SECONDS = 0.1, 1.0, 10.0
"""A replaced link is looked at ten times a second for its last client, and later once: it may stay for days."""


@dataclass(slots=True)
class _Held:
    """A link that is up, silent or being drained."""

    link: Link
    silent: bool = False
    draining: bool = False


@dataclass(slots=True)
class _Flight:
    """A dial on its way; who comes later waits for its end."""

    number: int
    ended: threading.Event = field(default_factory=threading.Event)
    error: Transient | Permanent | None = None
    broke: bool = True
    """It ended without a word: neither a link nor a failure that could be told."""
    early: list[str] = field(default_factory=list)
    """News of its link's end that came before the link itself."""
    silent: bool = False
    """Its link fell silent before it was there: one that is shared may be old."""


class _News:
    """``ports.LinkNews`` of one link: the same news with its number."""

    def __init__(self, links: TargetLinks, number: int) -> None:
        self._links = links
        self._number = number

    def silent(self) -> None:
        self._links.link_silent(self._number)

    def speaking(self) -> None:
        self._links.link_speaking(self._number)

    def lost(self, detail: str) -> None:
        self._links.link_lost(self._number, detail)


class TargetLinks:
    """Implements ``ports.LinkSource``. All methods may be called from any thread.

    ``post`` must neither block nor call back: the events of one link are posted in their order,
    under this object's lock.
    """

    def __init__(
        self,
        engine: SshEngine,
        forward: Forward,
        clock: Clock,
        post: Callable[[Event], None],
        *,
        target: str = "",
        order: Callable[[], None] = lambda: None,
    ) -> None:
        """``target``: its name, for what a waiting client is told. ``order``: tells ``engine`` that a person
        wants the next dial."""
        self._engine = engine
        self._forward = forward
        self._clock = clock
        self._post = post
        self._target = target
        self._order = order
        self._lock = threading.RLock()
        self._held: dict[int, _Held] = {}
        self._flight: _Flight | None = None
        self._last_number = 0
        self._last_up: int | None = None
        self._failure: Transient | Permanent | None = None
        self._failed_at: float | None = None
        self._closed = threading.Event()
        self._drains: set[threading.Thread] = set()

    # ------------------------------------------------------------ the core's commands

    def dial(self, number: int, deadline: Deadline) -> None:
        """Make a link and let it serve; posts ``LinkUp`` or ``DialFailed``.

        The number used is the first free one from ``number`` on. While another dial runs this waits
        for its end, and that dial's event is the answer. Anything else than ``Transient`` and
        ``Permanent`` from the engine is handed on, without an event.
        """
        flight, own = self._board(number)
        if flight is not None and own:
            self._fly(flight, deadline)
        elif flight is not None and flight.ended.wait(deadline.remaining()) and flight.broke:
            raise RuntimeError("the dial that was waited for broke, and told nobody its end")

    def close_link(self, number: int, drain_seconds: float) -> None:
        """Close that link once no client rides on it, or nothing came over it for ``drain_seconds``.

        A client keeps its connection as long as the link speaks. Returns at once. No news of it is posted
        from now on; an unknown number is done already.
        """
        with self._lock:
            held = self._held.get(number)
            if held is None or held.draining or self._closed.is_set():
                return
            held.draining = True
            self._forward.drop(held.link)
            thread = threading.Thread(
                target=self._drain,
                args=(number, held.link, drain_seconds),
                kwargs={"silent": held.silent},
                name=f"{self._target or 'link'}-drain{number}",
                daemon=True,
            )
            self._drains.add(thread)
            thread.start()

    def ask_link(self, number: int) -> None:
        """Have that link asked now, if it is still in use: its silence would be news, its answer is none.
        Returns at once."""
        with self._lock:
            held = self._held.get(number)
            if held is not None and not held.draining:
                held.link.ask()

    def start_over(self) -> None:
        """A dial on its way begins anew, in the network as it is now; its end is told once, as that of any.
        Returns at once."""
        with self._lock:
            flies = self._flight is not None and not self._closed.is_set()
        if flies:
            self._engine.start_over()

    def bind(self) -> None:
        """Bind the local port, if it is not ours already; posts ``PortBound`` or ``BindFailed``."""
        try:
            self._forward.bind()
        except Transient as error:
            self._post(BindFailed(holder=self._forward.facts().holder or error.detail))
        else:
            self._post(PortBound())

    def set_answer(self, cause: Cause | None, retry_after: float) -> None:
        """What clients are told while no link is up; ``retry_after``: seconds to the next dial."""
        whom = f" to {self._target}" if self._target else ""
        why = f" ({cause.value})" if cause is not None else ""
        when = f"in {retry_after:.0f} s" if retry_after >= 1.0 else "soon"
        if retry_after == float("inf"):
            when = "when a person has mended it"
        told = min(retry_after, 3600.0)
        self._forward.answer(f"watchdogd: no SSH link{whom}{why}; next attempt {when}", told)

    def close(self, deadline: Deadline) -> None:
        """Close the forward and every link. No event is posted from now on.

        A dial in flight is not waited for: its link is closed as soon as it is there.
        """
        with self._lock:
            self._closed.set()
            held, self._held = self._held, {}
        # Half of the time: a client whose channel a frozen link does not open ends with that link only.
        self._forward.close(deadline.at_most(deadline.remaining() / 2))
        for one in held.values():
            one.link.close(deadline)
        for thread in tuple(self._drains):
            thread.join(deadline.remaining())

    # ------------------------------------------------------------ what probes and remedies use

    def status(self) -> LinkStatus:
        """See the port. The newest link that is not being closed."""
        with self._lock:
            number = self._newest()
            held = self._held[number] if number is not None else None
            failure = self._failure
            return LinkStatus(
                link=held.link if held else None,
                number=number if number is not None else self._last_up,
                silent=held.silent if held else False,
                dialing=self._flight is not None,
                failure=failure.cause if failure else None,
                failure_detail=failure.detail if failure else "",
                failure_mend=failure.mend if failure else "",
                failed_at=self._failed_at if failure else None,
            )

    def current(self) -> Link:
        """See the port. A silent link is none: nothing would answer over it."""
        with self._lock:
            number = self._newest()
            if number is None:
                raise Transient(Cause.LINK_LOST, "there is no SSH link now")
            if self._held[number].silent:
                raise Transient(Cause.LINK_LOST, "the SSH link is silent")
            return self._held[number].link

    def reconnect(self, deadline: Deadline, *, ordered: bool = False) -> None:
        """See the port."""
        flight, own = self._board(0)
        if flight is None:
            raise Transient(Cause.LINK_LOST, "the agent is stopping")
        if own:
            if ordered:
                self._order()
            self._fly(flight, deadline)
        elif not flight.ended.wait(deadline.remaining()):
            raise Transient(Cause.LINK_LOST, "another dial did not end in time")
        if flight.error is not None:
            raise flight.error
        self.current().run(["true"], deadline=deadline)

    def reopen(self, deadline: Deadline) -> None:
        """See the port. A refusal by the runtime proves the channel as well as an open one."""
        if not self._forward.facts().bound:
            self.bind()
        facts = self._forward.facts()
        if not facts.bound:
            raise Transient(Cause.PORT_CONFLICT, f"the local port is held by {facts.holder}")
        try:
            self.current().open(self._forward.remote, deadline).close()
        except Transient as error:
            if error.cause is not Cause.RUNTIME_REFUSED:
                raise

    def forward(self) -> ForwardFacts:
        """See the port."""
        return self._forward.facts()

    # ------------------------------------------------------------ one dial

    def _board(self, number: int) -> tuple[_Flight | None, bool]:
        """The flight to be on, and whether the caller has to fly it. ``None`` once closed."""
        with self._lock:
            if self._closed.is_set():
                return None, False
            if self._flight is not None:
                return self._flight, False
            self._last_number = max(number, self._last_number + 1)
            self._flight = _Flight(self._last_number)
            self._forward.dialing(True)
            return self._flight, True

    def _fly(self, flight: _Flight, deadline: Deadline) -> None:
        flight.error = Transient(Cause.BUG, "the dial broke")
        try:
            link = self._engine.dial(deadline, _News(self, flight.number))
            self._arrived(flight, link)
        except (Transient, Permanent) as error:
            self._failed(flight, error)
        finally:
            self._landed(flight)
            flight.ended.set()

    def _landed(self, flight: _Flight) -> None:
        # Before its event is posted: the next dial, which that may lead to, must not wait for it.
        with self._lock:
            if self._flight is flight:
                self._flight = None
                self._forward.dialing(False)

    def _arrived(self, flight: _Flight, link: Link) -> None:
        flight.error, flight.broke = None, False
        with self._lock:
            if not self._closed.is_set():
                self._failure = None
                self._last_up = flight.number
                self._held[flight.number] = _Held(link)
                self._forward.use(link)
                self._landed(flight)
                self._post(LinkUp(number=flight.number))
                if flight.silent:
                    self.link_silent(flight.number)
                if flight.early:
                    self.link_lost(flight.number, flight.early[0])
                return
        link.close(Deadline.after(self._clock, _CLOSE_SECONDS))

    def _failed(self, flight: _Flight, error: Transient | Permanent) -> None:
        flight.error, flight.broke = error, False
        with self._lock:
            self._failure = error
            self._failed_at = self._clock.run()
            self._landed(flight)
            if self._closed.is_set():
                return
            self._post(
                DialFailed(
                    number=flight.number,
                    cause=error.cause,
                    permanent=isinstance(error, Permanent),
                    reached=error.reached,
                    detail=error.detail,
                    mend=error.mend,
                )
            )

    # ------------------------------------------------------------ news of a link, from its threads

    def link_silent(self, number: int) -> None:
        """New clients are held; nothing is cut."""
        with self._lock:
            if self._early(number, silent=True):
                return
            held = self._held.get(number)
            if held is None or held.draining:
                return
            held.silent = True
            self._forward.drop(held.link)
            self._post(LinkSilent(number=number))

    def link_speaking(self, number: int) -> None:
        """It serves again, unless a newer one took its place."""
        with self._lock:
            if self._early(number, silent=False):
                return
            held = self._held.get(number)
            if held is None or held.draining:
                return
            held.silent = False
            if self._newest() == number:
                self._forward.use(held.link)
            self._post(LinkSpeaking(number=number))

    def link_lost(self, number: int, detail: str) -> None:
        """The link ended by itself."""
        with self._lock:
            flight = self._flight
            if flight is not None and flight.number == number:
                flight.early.append(detail)
                return
            held = self._held.pop(number, None)
            if held is None:
                return
            self._forward.drop(held.link)
            if not held.draining:
                self._post(LinkLost(number=number, detail=detail))

    # ------------------------------------------------------------ the inside

    def _early(self, number: int, *, silent: bool) -> bool:
        """Is it news of a link that is not there yet? Then it is noted."""
        flight = self._flight
        if flight is None or flight.number != number:
            return False
        flight.silent = silent
        return True

    def _newest(self) -> int | None:
        numbers = [number for number, held in self._held.items() if not held.draining]
        return max(numbers, default=None)

    def _drain(self, number: int, link: Link, silence: float, *, silent: bool) -> None:
        """``silent``: it was; what is about to be opened over it never will be, and goes over the next."""
        began = self._clock.run()
        while link.alive() and self._forward.clients_of(link, opening=not silent):
            heard = max(began, link.facts().last_received_at)
            now = self._clock.run()
            rest = _LOOK_SECONDS if now - began < _SOON_SECONDS else _REST_SECONDS
            if now - heard > silence or self._closed.wait(rest):
                break
        with self._lock:
            self._held.pop(number, None)
        link.close(Deadline.after(self._clock, _CLOSE_SECONDS))
        self._drains.discard(threading.current_thread())
