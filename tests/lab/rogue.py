"""An SSH server that nobody vouches for: it lets everybody in, and keeps every word that it is told."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko
from paramiko.packet import Packetizer

from tests.lab.closing import Closing
from tests.lab.sshd import keygen
from tests.lab.tcp_server import TcpServer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nrogue"
"""To whoever opens a channel."""
_DEBUG, _KEX_REPLY = bytes([4]), bytes([31])
"""SSH_MSG_DEBUG, and the message with the host key."""
_HARMLESS = frozenset({1, 2, 3, 4, 7, *range(20, 50)})
"""Numbers of messages that tell nothing of a client: the transport's own (RFC 4253) and the key exchange."""


class Rogue(Closing):
    """``port`` is where; ``host_key`` its private half."""

    def __init__(self, folder: Path, *, words: str = "") -> None:
        """``words``: what it has a client's ssh print (SSH_MSG_DEBUG) before it is verified."""
        self._words = words
        self.host_key = keygen(folder / "rogue_ed25519")
        self.told: list[bytes] = []
        """Payloads of all messages beyond the key exchange: logins, channels, data."""
        self.exchanges = 0
        """Connections on which keys were exchanged: its public key was seen there."""
        self._transports: list[paramiko.Transport] = []
        self._server = TcpServer(self._serve)
        self.port = self._server.address.port

    def close(self) -> None:
        """End all connections; waits for their threads."""
        for transport in self._transports:
            transport.close()
            transport.join(5)
        self._server.close()

    def _serve(self, client: socket.socket) -> None:
        packets = _Overheard(client, self.told)
        transport = _Talker(client, packets, self._words)
        transport.add_server_key(paramiko.Ed25519Key(filename=str(self.host_key)))
        self._transports.append(transport)
        with suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(event=None, server=_LetsIn())
            self.exchanges += 1
            while transport.is_active():
                channel = transport.accept(0.2)
                if channel is not None:
                    channel.sendall(ANSWER)
                    channel.close()
        transport.close()


class _Talker(paramiko.Transport):
    """Says something of its own just before it shows its host key."""

    def __init__(self, client: socket.socket, packets: Packetizer, words: str) -> None:
        self._words = words
        # A client that was promised a strict key exchange would end it at the first other message.
        super().__init__(client, packetizer_class=lambda _: packets, strict_kex=not words)  # type: ignore[arg-type]

    def _send_message(self, data: paramiko.Message) -> None:
        if self._words and data.asbytes()[:1] == _KEX_REPLY:
            said = paramiko.Message()
            said.add_byte(_DEBUG)
            said.add_boolean(True)
            said.add_string(self._words)
            said.add_string("")
            super()._send_message(said)  # type: ignore[misc]
        super()._send_message(data)  # type: ignore[misc]


class _Overheard(Packetizer):
    """Keeps what was decrypted."""

    def __init__(self, client: socket.socket, told: list[bytes]) -> None:
        super().__init__(client)
        self._told = told

    def read_message(self) -> tuple[int, paramiko.Message]:
        """As paramiko's."""
        kind, message = super().read_message()
        if kind not in _HARMLESS:
            self._told.append(bytes([kind]) + message.asbytes())
        return kind, message

    def start_handshake(self, timeout: float) -> None:
        """No timer thread: it would outlive the connection."""


class _LetsIn(paramiko.ServerInterface):
    """Whoever, with whatever, wherever."""

    def get_allowed_auths(self, username: str) -> str:
        """All."""
        return "password,publickey,keyboard-interactive"

    def check_auth_none(self, username: str) -> Any:
        """Not at once: what else would it show?"""
        return paramiko.AUTH_FAILED  # type: ignore[attr-defined]

    def check_auth_password(self, username: str, password: str) -> Any:
        """Yes."""
        return paramiko.AUTH_SUCCESSFUL  # type: ignore[attr-defined]

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> Any:
        """Yes."""
        return paramiko.AUTH_SUCCESSFUL  # type: ignore[attr-defined]

    def check_channel_request(self, kind: str, chanid: int) -> Any:
        """Yes."""
        return paramiko.OPEN_SUCCEEDED  # type: ignore[attr-defined]

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> Any:
        """Yes."""
        return paramiko.OPEN_SUCCEEDED  # type: ignore[attr-defined]

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Yes."""
        return True
