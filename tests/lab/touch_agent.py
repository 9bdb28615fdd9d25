"""An ssh-agent whose key waits for a touch that never comes: it lists the key, and signs nothing."""

from __future__ import annotations

import base64
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

from tests.lab.closing import Closing

_LIST, _LISTED, _SIGN = 11, 12, 13
_FAILURE = b"\x05"


class TouchAgent(Closing):
    """Listens at ``path`` and holds the public half of ``key``."""

    def __init__(self, path: Path, key: Path) -> None:
        self.path = path
        self.asked = threading.Event()
        """Set once somebody waits for a signature."""
        self._blob = base64.b64decode(key.with_suffix(".pub").read_text().split()[1])
        self._clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._start(self._accept)

    def close(self) -> None:
        """Let go of everybody; waits for the threads."""
        for one in (self._listener, *self._clients):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for one in (self._listener, *self._clients):
            one.close()

    def _start(self, target: object, *args: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=args, name="touch-agent", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, struct.error):
            while True:
                (size,) = struct.unpack(">I", client.recv(4, socket.MSG_WAITALL))
                kind = client.recv(size, socket.MSG_WAITALL)[0]
                if kind == _SIGN:
                    self.asked.set()
                    continue
                answer = self._list() if kind == _LIST else _FAILURE
                client.sendall(struct.pack(">I", len(answer)) + answer)

    def _list(self) -> bytes:
        key = struct.pack(">I", len(self._blob)) + self._blob
        return bytes([_LISTED]) + struct.pack(">I", 1) + key + struct.pack(">I", 5) + b"touch"
