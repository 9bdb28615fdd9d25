"""paramiko's connection, made to be quiet: it says when something came, and wakes nobody in between.

paramiko looks ten times a second whether it was closed. With two hundred links that alone is two
thousand wake-ups a second; here the end of the connection wakes who reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import paramiko

from watchdogd.adapters.bounded import within
from watchdogd.adapters.link_socket import LinkSocket
from watchdogd.adapters.ssh_packets import StampedPacketizer
from watchdogd.adapters.ssh_transport import LinkTransport
from watchdogd.ports import Deadline

GONE: tuple[type[Exception], ...] = (OSError, EOFError, paramiko.SSHException)
"""What paramiko raises on a connection that is gone or going."""
_REST_SECONDS = 60.0
"""A read that waits longer looks whether it was closed: a net, in case nobody woke it."""
_LAST_SECONDS = 1.0
_KEYS_SECONDS = 86_400.0
"""So long who sends waits for new keys to be agreed, or for the connection's end. After paramiko's 30 s a stall
that heals would have cut who was on their way."""


class QuietTransport(LinkTransport):
    """Says its end, and once logged in reads without looking up ten times a second."""

    ended: threading.Event
    _at_end: list[Callable[[], None]]

    def __init__(self, connection: LinkSocket, packetizer: StampedPacketizer) -> None:
        self.ended = threading.Event()
        self._at_end = []
        super().__init__(
            connection,  # all that is asked of it is there
            packetizer_class=lambda _: packetizer,
        )
        self.clear_to_send_timeout = _KEYS_SECONDS

    def run(self) -> None:
        """As paramiko's."""
        try:
            super().run()
        finally:
            self.ended.set()
            for told in self._at_end:
                told()

    def when_ended(self, told: Callable[[], None]) -> None:
        """Have ``told`` called at the connection's end, or now if it has ended."""
        self._at_end.append(told)
        if self.ended.is_set():
            told()

    def rest(self) -> None:
        """From now on only ``close_transport`` ends it: paramiko's own ``close`` is not noticed at once."""
        with suppress(OSError):  # it may have ended since: the keepalive tells
            self.sock.settimeout(_REST_SECONDS)


class TransportLife:
    """``keepalive.Asked`` over a paramiko transport."""

    def __init__(self, transport: QuietTransport) -> None:
        self._transport = transport
        self._stirred = threading.Event()
        transport.when_ended(self.stir)

    def ask(self) -> bool:
        """See the port. sshd answers an unknown request with a refusal, which is an answer."""
        try:
            self._transport.global_request("keepalive@openssh.com", wait=True)
        except GONE:
            return False
        return self._transport.is_active()

    def await_end(self, seconds: float) -> str | None:
        """See the port."""
        self._stirred.wait(seconds)
        self._stirred.clear()
        if self._transport.ended.is_set():
            self._transport.join(_LAST_SECONDS)
        if self._transport.is_alive():
            return None
        error = self._transport.get_exception()
        if error is None or isinstance(error, EOFError):
            return "the server closed the connection"
        return f"the connection broke: {error}"

    def stir(self) -> None:
        """See the port."""
        self._stirred.set()


def close_transport(transport: paramiko.Transport, deadline: Deadline) -> None:
    """End the connection and wait for its thread; never raises, never waits beyond the deadline."""
    transport.sock.close()
    with suppress(*GONE):
        within(deadline, "ssh-close", transport.close, errors=GONE)
    if transport.is_alive() and transport is not threading.current_thread():
        transport.join(deadline.remaining())
