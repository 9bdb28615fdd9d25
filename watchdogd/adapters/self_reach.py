"""Does a forward lead back to its own listener? Then each client would make another one, without end.

The addresses alone do not tell: behind a port of this machine's loopback may be another machine. So a
request that only we can have made is sent once over each link; whoever accepts it here has proved it.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
from contextlib import suppress

from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Clock, Deadline, Link
from watchdogd.settings import Address

_ANSWER_SECONDS = 2.0
"""For whoever is there to answer a request that it does not know."""
_LOOKS = 3
_PEEK_SECONDS = 1.0
_LOOK_SECONDS = 0.01


def this_machine(host: str) -> bool:
    """True if that name or address is this machine's own. Asks no name server."""
    if host in ("localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as trial:
        trial.bind((host, 0))  # possible for an own address only
        return True
    return False


class SelfReach:
    """Of one forward. All methods may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._request = f"GET /watchdogd-{secrets.token_hex(16)} HTTP/1.0\r\n\r\n".encode()
        self._asking = threading.Lock()
        self._open = False
        """A look was made, and nobody answered it yet: it may still arrive here."""
        self._met = threading.Event()
        self._looked_over: Link | None = None
        self._looks = 0
        self._trusted: Link | None = None

    def proved(self) -> bool:
        """It leads back to its own listener."""
        return self._met.is_set()

    def ask(self, link: Link, remote: Address, deadline: Deadline) -> bool:
        """Look where ``remote`` leads, once for each link; True if back to us. Raises as ``Link.open``.

        Clients that come meanwhile wait for the outcome. A runtime that hangs answers no look: after a
        few the link is used, and a look that arrives here later still tells.
        """
        if not self._asking.acquire(timeout=deadline.remaining()):
            raise Transient(Cause.LINK_LOST, "the link is silent", phase="open")
        try:
            if link is self._trusted or self.proved():
                return self.proved()
            if link is not self._looked_over:
                self._looked_over, self._looks = link, 0
            self._looks += 1
            self._open = True
            answered = self._answered(link, remote, deadline)
            self._open = not answered
            if answered or self._looks >= _LOOKS:
                self._trusted = link
            return self.proved()
        finally:
            self._asking.release()

    def is_ours(self, client: socket.socket) -> bool:
        """True if what this client sends is our own request; nothing of it is taken."""
        if not self._open or self._head(client) != self._request:
            return False
        self._met.set()
        return True

    def _head(self, client: socket.socket) -> bytes:
        """What the client sent first, as far as it is our request; left in the socket."""
        deadline, head = Deadline.after(self._clock, _PEEK_SECONDS), b""
        with suppress(OSError):
            while self._open and self._request.startswith(head) and not deadline.passed():
                client.settimeout(max(_LOOK_SECONDS, deadline.remaining()))
                before, head = head, client.recv(len(self._request), socket.MSG_PEEK)
                if head in (b"", self._request):
                    break
                if head == before:
                    self._clock.wait(_LOOK_SECONDS)
        client.settimeout(None)
        return head

    def _answered(self, link: Link, remote: Address, deadline: Deadline) -> bool:
        """True if another than we answered."""
        stream = link.open(remote, deadline)
        limit = threading.Timer(_ANSWER_SECONDS, stream.close)
        limit.daemon = True
        limit.start()
        try:
            stream.sendall(self._request)
            return bool(stream.recv(1)) and not self.proved()
        except (OSError, EOFError):
            return False
        finally:
            limit.cancel()
            stream.close()
