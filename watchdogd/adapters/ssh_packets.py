"""How SSH messages of engine ``sshtunnel`` are read from the connection: many at once, and each noted."""

from __future__ import annotations

import hmac

import paramiko
from paramiko import util
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_EOF, MSG_CHANNEL_WINDOW_ADJUST
from paramiko.packet import Packetizer

from watchdogd.adapters.keepalive import Pulse
from watchdogd.adapters.link_socket import LinkSocket
from watchdogd.ports import Clock

_AHEAD_BYTES = 131_072
"""Four of sshd's largest messages."""
_ASK_NOTHING = frozenset({MSG_CHANNEL_WINDOW_ADJUST, MSG_CHANNEL_EOF, MSG_CHANNEL_CLOSE})
"""Nothing need come after them. With them each probe's last word brought a question of its own: 990 an hour
on an idle link instead of 720 (measured)."""
# paramiko's own takes each byte in a Python loop: a quarter of what an idle link cost (measured).
util.constant_time_bytes_eq = hmac.compare_digest  # type: ignore[assignment]  # bytes is all it is given


class ReadAhead:
    """What ``Packetizer`` takes for its socket. It asks for a message's first block, then for its rest, each
    a system call or two; here they come from memory, with the messages behind it. One thread reads."""

    def __init__(self, connection: LinkSocket) -> None:
        self._connection = connection
        self._memory = memoryview(bytearray(_AHEAD_BYTES))
        self._unread = self._memory[:0]

    def recv(self, size: int) -> bytes:
        """As a socket's."""
        if not self._unread:
            self._unread = self._memory[: self._connection.recv_into(self._memory)]
        data = bytes(self._unread[:size])
        self._unread = self._unread[size:]
        return data

    def send(self, data: bytes) -> int:
        """As a socket's."""
        return self._connection.send(data)

    def close(self) -> None:
        """As a socket's."""
        self._connection.close()


class StampedPacketizer(Packetizer):
    """Notes when the last whole SSH message came, of any kind: that is what proves a live link."""

    def __init__(self, connection: LinkSocket, clock: Clock) -> None:
        super().__init__(ReadAhead(connection))  # type: ignore[arg-type]  # recv, send, close will do
        self.pulse = Pulse(clock)

    def read_message(self) -> tuple[int, paramiko.Message]:
        """As paramiko's."""
        message: tuple[int, paramiko.Message] = super().read_message()
        self.pulse.beat()
        return message

    def send_message(self, data: paramiko.Message) -> None:
        """As paramiko's."""
        if data.asbytes()[0] not in _ASK_NOTHING:
            self.pulse.sent()
        super().send_message(data)

    def start_handshake(self, timeout: float) -> None:
        """No timer thread, which would outlive a broken dial: the dial has its own deadline."""
