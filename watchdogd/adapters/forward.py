"""The local port of a target: bound before the first dial, kept over all links, and each client on its way."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from contextlib import suppress

from watchdogd.adapters.bounded import within
from watchdogd.adapters.forward_answer import Refusal, refuse
from watchdogd.adapters.forward_listener import Listener
from watchdogd.adapters.forward_slot import Slot
from watchdogd.adapters.port_holder import conflict, loopback_family
from watchdogd.adapters.pump import Meter, has_left, peek, pump
from watchdogd.adapters.self_reach import SelfReach
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import HOLDER_RUNTIME, Clock, Deadline, ForwardFacts, Link, Stream
from watchdogd.settings import Address

_OPEN_SECONDS = 10.0
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 0.5
log = logging.getLogger(__name__)


class ListeningForward:
    """Implements ``ports.Forward``. All methods may be called from any thread."""

    def __init__(
        self,
        local: Address,
        remote: Address,
        hold: float,
        clock: Clock,
        *,
        name: str = "forward",
        same_machine: bool = False,
    ) -> None:
        """``hold``: seconds that a client waits for a link; port 0 of ``local`` takes a free one.
        ``same_machine``: the server may be this machine, so ``remote`` may be the listener itself.

        Raises ``ConfigError`` unless ``local`` is a loopback address.
        """
        self.name = name
        self.family = loopback_family(local)
        self._local = local
        self._remote = remote
        self._clock = clock
        self._slot = Slot(hold, clock)
        self._refusal = Refusal("watchdogd: no link to the server yet", 1.0)
        self._meter = Meter()
        self._itself = SelfReach(clock) if same_machine and local.port == remote.port else None
        self._lock = threading.Lock()
        self._binding = threading.Lock()
        self._listener: Listener | None = None
        self._holder = ""
        self._riding: dict[socket.socket, tuple[Link, Stream]] = {}
        self._opening: dict[socket.socket, Link] = {}
        """Whose channel is being opened, and over which link."""
        self._clients: dict[socket.socket, threading.Event] = {}
        """Each with what is set once it has been seen off."""

    # ------------------------------------------------------------ the port

    @property
    def remote(self) -> Address:
        """See the port."""
        return self._remote

    @property
    def address(self) -> Address:
        """Where it listens; before ``bind`` the configured address."""
        servers = self._listener.servers() if self._listener is not None else []
        return Address(self._local.host, servers[0].local_port) if servers else self._local

    def bind(self) -> None:
        """See the port."""
        with self._binding:
            if self._listener is not None or not self._slot.is_open():
                return
            if self._itself is not None and self._itself.proved():
                raise self._back_to_us()
            listener = Listener(self._local, self._remote, self)
            if not listener.listen():
                raise self._conflict(listener.bind_error)
            self._holder = ""
            self._listener = listener

    def facts(self) -> ForwardFacts:
        """See the port."""
        sent, received = self._meter.totals()
        with self._lock:
            clients = len(self._clients)
        return ForwardFacts(
            bound=self._listener is not None,
            holder=self._holder,
            open_connections=clients,
            sent_bytes=sent,
            received_bytes=received,
        )

    def close(self, deadline: Deadline) -> None:
        """See the port. Ends within 5 s."""
        limit = deadline.at_most(_STOP_SECONDS)
        self._slot.close()
        self._stop_listening(limit)
        self._end_clients(limit)

    def _stop_listening(self, limit: Deadline) -> None:
        with self._binding:
            listener, self._listener = self._listener, None
        servers = listener.servers() if listener is not None else []
        if listener is not None:
            with suppress(TimeoutError):
                within(limit, f"{self.name}-stop", lambda: listener.stop(force=True))
        for server in servers:
            server.server_close()

    def _conflict(self, error: OSError | None) -> Transient:
        taken = error is not None and error.errno == errno.EADDRINUSE
        why = error.strerror if error is not None else "cannot be bound"
        self._holder = conflict(self._local, error)
        if taken and self._itself is not None:
            same = "the server is this machine, and forward.remote is this port"
            self._holder += f", perhaps the runtime itself ({same})"
        return Transient(
            Cause.PORT_CONFLICT,
            f"{self._local} is held by {self._holder}" + (f" ({why})" if taken else ""),
            phase="bind",
            mend=f"{f'end {self._holder}, or ' if taken else ''}set another `forward.local`",
        )

    def _back_to_us(self) -> Transient:
        """The port belongs to the runtime, and nobody is to be ended."""
        self._holder = HOLDER_RUNTIME
        return Transient(
            Cause.PORT_CONFLICT,
            f"{self._local} is held by {HOLDER_RUNTIME}",
            phase="bind",
            mend="set another `forward.local`",
        )

    def _end_clients(self, deadline: Deadline) -> None:
        """Reset them all: a cut answer must not look complete. Wakes also who is stuck in a send."""
        with self._lock:
            clients, streams = dict(self._clients), list(self._riding.values())
        for _, stream in streams:
            threading.Thread(target=stream.close, name=f"{self.name}-end", daemon=True).start()
        grace = deadline.at_most(_GRACE_SECONDS)
        for client, ended in clients.items():
            ended.wait(grace.remaining())
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for ended in clients.values():
            ended.wait(deadline.remaining())

    # ------------------------------------------------------------ the link

    def use(self, link: Link | None) -> Link | None:
        """See the port."""
        return self._slot.swap(link)

    def drop(self, link: Link) -> None:
        """See the port."""
        self._slot.drop(link)

    def dialing(self, running: bool) -> None:
        """See the port."""
        self._slot.dialing(running)

    def clients_of(self, link: Link, *, opening: bool) -> int:
        """See the port."""
        with self._lock:
            links = [one for one, _ in self._riding.values()]
            links += self._opening.values() if opening else ()
        return sum(1 for one in links if one is link)

    def hold_for(self, seconds: float) -> None:
        """So long a client waits for a link from now on."""
        self._slot.hold = seconds

    def answer(self, text: str, retry_after: float) -> None:
        """See the port."""
        self._refusal = Refusal(text, retry_after)

    # ------------------------------------------------------------ one client

    def admit(self) -> None:
        """Before a client is accepted: without a link it stays in the accept backlog for a while.

        Raises ``BlockingIOError``, which the accept loop takes as "nothing to accept".
        """
        if self._slot.present() is not None:
            return
        if self._slot.get(_LOOK_SECONDS if self._slot.holds() else 0.0) is None:
            if self._slot.holds():
                raise BlockingIOError
            if not self._slot.is_open():
                raise ConnectionAbortedError

    def rest(self) -> None:
        """A moment without accepting, or until the close."""
        self._slot.await_close(_LOOK_SECONDS)

    def serve(self, client: socket.socket) -> None:
        """One accepted client to its end, in its own thread; closes it."""
        ended = threading.Event()
        with self._lock:
            self._clients[client] = ended
        try:
            with suppress(OSError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ours = self._itself is not None and self._itself.is_ours(client)
            if not ours and not has_left(client):
                self._serve(client)
        finally:
            with self._lock:
                del self._clients[client]
            client.close()
            ended.set()

    def _serve(self, client: socket.socket) -> None:
        try:
            link, stream = self._open(client)
        except (Transient, Permanent) as error:
            told = self._refusal
            if error.cause is not Cause.LINK_LOST:
                told = Refusal(f"watchdogd: {error.detail}", 5.0, error.cause)
            refuse(client, told, self._clock)
            return
        except OSError:
            return  # the client is gone
        with self._lock:
            del self._opening[client]
            self._riding[client] = (link, stream)
        try:
            if not self._slot.is_open():  # the close may have missed this one
                stream.close()
            pump(client, stream, self._meter)
        finally:
            with self._lock:
                del self._riding[client]

    def _open(self, client: socket.socket) -> tuple[Link, Stream]:
        """A stream over the present link, or over the next one if this one is dying.

        Without one no byte of the client has passed, so it may be asked for again without harm. Raises as
        ``Link.open``, ``Transient(LINK_LOST)`` once the client has waited long enough, and ``OSError`` if the
        client is gone.
        """
        patience = Deadline.after(self._clock, self._slot.hold + _OPEN_SECONDS)
        while True:
            link = self._slot.present() or self._slot.get(_LOOK_SECONDS)
            if link is None and not self._slot.holds():
                raise Transient(Cause.LINK_LOST, "no link to the server", phase="open")
            if link is None:
                continue
            try:
                return link, self._channel(client, link)
            except Transient as error:
                if error.cause is not Cause.LINK_LOST or patience.passed():
                    raise
                self._lost(link)

    def _channel(self, client: socket.socket, link: Link) -> Stream:
        with self._lock:
            self._opening[client] = link
        try:
            self._still_serves(link)
            self._not_to_us(link)
            limit = Deadline.after(self._clock, _OPEN_SECONDS)
            return link.open(self._remote, limit, peek(client))
        except BaseException:
            with self._lock:
                del self._opening[client]
            raise

    def _still_serves(self, link: Link) -> None:
        """Raises ``Transient(LINK_LOST)`` if it was replaced before its new client was counted."""
        if self._slot.present() is not link:
            raise Transient(Cause.LINK_LOST, "another link serves", phase="open")

    def _not_to_us(self, link: Link) -> None:
        """Raises ``Transient(PORT_CONFLICT)`` if what ``link`` reaches is our listener: it is given up,
        as the runtime needs the port."""
        if self._itself is None:
            return
        deadline = Deadline.after(self._clock, _OPEN_SECONDS)
        if not self._itself.ask(link, self._remote, deadline):
            return
        error = self._back_to_us()
        if self._listener is not None:
            log.error("%s; to mend it: %s", error.detail, error.mend)
            self._stop_listening(deadline.at_most(_STOP_SECONDS))
        raise error

    def _lost(self, link: Link) -> None:
        if link.alive():
            # Silent, not ended: its keepalive says when it is to be dropped, or that it speaks.
            self._slot.await_other(link, _LOOK_SECONDS)
        else:
            self._slot.drop(link)
