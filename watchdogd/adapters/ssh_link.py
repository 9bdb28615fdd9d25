"""One authenticated SSH connection of engine ``sshtunnel``: every use of it is a channel.

paramiko's calls may block for ever on a link that takes no more bytes. Each is made in a thread of
its own and left behind at the deadline; closing the connection ends them all.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import paramiko

from watchdogd.adapters.bounded import within
from watchdogd.adapters.crew import CREW
from watchdogd.adapters.keepalive import GUESS_SECONDS, Keepalive
from watchdogd.adapters.remote_command import remote_command
from watchdogd.adapters.ssh_packets import StampedPacketizer
from watchdogd.adapters.ssh_quiet import GONE, QuietTransport, TransportLife, close_transport
from watchdogd.adapters.ssh_refusals import (
    forward_denied,
    lost,
    no_session,
    not_accepted,
    unanswered,
    wedged,
)
from watchdogd.errors import Permanent, Transient, one_line
from watchdogd.ports import Clock, Completed, Deadline, LinkFacts, LinkNews
from watchdogd.settings import Address

_CHUNK = 32_768
"""What a command is given to read goes with its start if it is no longer: it fits into sshd's window."""
_CLOSE_SECONDS = 1.0
_PROHIBITED = 1
_CONNECT_FAILED = 2
_WORDS = 300
"""Of the server's, at most."""


class ChannelStream:
    """``ports.Stream`` over one channel."""

    passed = 0

    def __init__(self, channel: paramiko.Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock

    def recv(self, size: int) -> bytes:
        """See the port."""
        try:
            return self._channel.recv(size)
        except paramiko.SSHException as error:
            raise OSError("the link is gone") from error

    def sendall(self, data: bytes) -> None:
        """See the port."""
        rest = memoryview(data)  # paramiko copies what is left after each message
        try:
            while rest:
                sent = self._channel.send(rest)  # type: ignore[arg-type]  # any bytes will do
                if not sent:
                    raise OSError("the channel takes nothing more")
                rest = rest[sent:]
        except paramiko.SSHException as error:
            raise OSError("the link is gone") from error

    def shutdown_write(self) -> None:
        """See the port."""
        with suppress(*GONE):
            self._channel.shutdown_write()

    def ended_cleanly(self) -> bool:
        """See the port."""
        return bool(self._channel.eof_received)

    def closed(self) -> bool:
        """See the port."""
        return bool(self._channel.closed)

    def close(self) -> None:
        """See the port."""
        close_channel(self._channel, self._clock)


def close_channel(channel: paramiko.Channel, clock: Clock) -> None:
    """Close it, waiting 1 s at most: the message that says so may never be taken."""
    if not channel.closed:
        with suppress(*GONE):
            within(Deadline.after(clock, _CLOSE_SECONDS), "ssh-close", channel.close, errors=GONE)


class _Transcript:
    """One output of a command, read to its end and kept up to a limit."""

    def __init__(self, receive: Callable[[int], bytes], limit: int, name: str) -> None:
        self._receive = receive
        self._limit = limit
        self.kept = bytearray()
        self.truncated = False
        self._ended = threading.Event()
        CREW.start(name, self._read)

    def await_end(self, deadline: Deadline) -> None:
        """Raises ``TimeoutError``."""
        if not self._ended.wait(deadline.remaining()):
            raise TimeoutError("the command's output did not end in time")

    def _read(self) -> None:
        try:
            with suppress(*GONE):
                while data := self._receive(_CHUNK):
                    room = self._limit - len(self.kept)
                    self.kept += data[:room]
                    self.truncated = self.truncated or len(data) > room
        finally:
            self._ended.set()


class SshLink:
    """``ports.Link`` over a paramiko transport that is logged in. Ends with ``close`` or by itself."""

    def __init__(
        self,
        transport: QuietTransport,
        packetizer: StampedPacketizer,
        *,
        keepalive: float,
        clock: Clock,
        news: LinkNews,
        name: str,
        guess: float = GUESS_SECONDS,
    ) -> None:
        """``keepalive``: seconds; ``name``: of its threads; ``guess``: seconds of a round trip, at most."""
        self._transport = transport
        self._packetizer = packetizer
        self._silence = 2 * keepalive
        self._clock = clock
        self._name = name
        self._connected_at = clock.run()
        self._keepalive = Keepalive(
            TransportLife(transport),
            lambda: packetizer.pulse.last,
            interval=keepalive,
            clock=clock,
            news=news,
            name=name,
            unanswered=lambda: packetizer.pulse.unanswered,
            guess=guess,
        )
        transport.rest()
        self._keepalive.start()

    def open(self, to: Address, deadline: Deadline, first: bytes = b"") -> ChannelStream:
        """See the port. paramiko sends nothing before the channel is open, and may block then: ``first`` is
        left to the stream."""
        asked = self._clock.run()
        try:
            channel = self._channel(
                lambda: self._transport.open_channel(
                    "direct-tcpip", (to.host, to.port), ("127.0.0.1", 0)
                ),
                deadline,
            )
        except paramiko.ChannelException as error:
            raise _open_refused(to, error) from error
        except TimeoutError as error:
            raise unanswered(to, speaks=self._speaks(asked)) from error
        except GONE as error:
            raise lost(error, "open") from error
        return ChannelStream(channel, self._clock)

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        limit: int = 262_144,
    ) -> Completed:
        """See the port."""
        asked = self._clock.run()
        short = len(stdin) <= _CHUNK
        command = remote_command(argv, deadline.remaining())
        channel = self._exec(command, argv[0], deadline, stdin=stdin if short else None)
        name = f"{self._name}-exec"
        outputs = (
            _Transcript(channel.recv, limit, name),
            _Transcript(channel.recv_stderr, limit, name),
        )
        try:
            if not short:
                within(deadline, name, lambda: _feed(channel, stdin), errors=GONE)
            for output in outputs:
                output.await_end(deadline)
            status = self._status(channel, name, deadline)
        except TimeoutError as error:
            raise wedged(argv[0], speaks=self._speaks(asked)) from error
        except GONE as error:
            raise lost(error, "exec") from error
        finally:
            close_channel(channel, self._clock)
        if status < 0 and not self.alive():
            raise lost(EOFError("the link ended while the command ran"), "exec")
        return Completed(
            status=status,
            stdout=bytes(outputs[0].kept),
            stderr=bytes(outputs[1].kept),
            truncated=any(output.truncated for output in outputs),
        )

    def stdio(self, argv: Sequence[str], deadline: Deadline) -> ChannelStream:
        """See the port."""
        return ChannelStream(self._exec(shlex.join(argv), argv[0], deadline), self._clock)

    def ask(self) -> None:
        """See the port."""
        self._keepalive.ask_now()

    def facts(self) -> LinkFacts:
        """See the port."""
        return LinkFacts(
            connected_at=self._connected_at,
            last_received_at=self._packetizer.pulse.last,
            round_trip=self._keepalive.round_trip,
        )

    def alive(self) -> bool:
        """See the port."""
        return self._transport.is_active() and self._transport.is_alive()

    def close(self, deadline: Deadline) -> None:
        """See the port. No news comes after it."""
        self._keepalive.stop()
        close_transport(self._transport, deadline)
        self._keepalive.join(deadline)

    def _channel(self, job: Callable[[], paramiko.Channel], deadline: Deadline) -> paramiko.Channel:
        # paramiko's own limit stays long: a channel that opens late comes back here and is closed,
        # where after its own timeout it would stay open on the server.
        return within(
            deadline,
            f"{self._name}-open",
            job,
            late=lambda channel: close_channel(channel, self._clock),
            errors=GONE,
        )

    def _exec(
        self, command: str, shown: str, deadline: Deadline, *, stdin: bytes | None = None
    ) -> paramiko.Channel:
        """``stdin``: all that the command is given to read; ``None``: that comes later."""
        asked = self._clock.run()

        def start() -> paramiko.Channel:
            channel = self._transport.open_session()
            channel.exec_command(command)
            if stdin is not None:
                _feed(channel, stdin)
            return channel

        try:
            return self._channel(start, deadline)
        except paramiko.ChannelException as error:
            raise no_session(one_line(error.text, _WORDS)) from error
        except TimeoutError as error:
            raise wedged(shown, speaks=self._speaks(asked)) from error
        except GONE as error:
            raise lost(error, "exec") from error

    def _status(self, channel: paramiko.Channel, name: str, deadline: Deadline) -> int:
        if channel.exit_status_ready():
            return channel.recv_exit_status()
        return within(deadline, name, channel.recv_exit_status, errors=GONE)

    def _speaks(self, asked: float) -> bool:
        return self.alive() and self._packetizer.pulse.speaks(asked, self._silence)


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    # A command may end without reading all of its input.
    with suppress(*GONE):
        channel.sendall(stdin)
    with suppress(*GONE):
        channel.shutdown_write()


def _open_refused(to: Address, error: paramiko.ChannelException) -> Permanent | Transient:
    if error.code == _PROHIBITED:
        return forward_denied(to, one_line(error.text, _WORDS))
    return not_accepted(to, one_line(error.text, _WORDS), connected=error.code == _CONNECT_FAILED)
