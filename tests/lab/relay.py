"""A small TCP relay to put in front of a server: passes, freezes, resets, stays mute, or is late."""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from contextlib import suppress
from enum import Enum

from tests.lab.closing import Closing

_POLL = 0.05


class RelayMode(Enum):
    """What happens to connections, present and new ones."""

    PASS = "pass"
    FREEZE = "freeze"
    """Accepted and held; no byte passes in either direction until ``PASS`` again."""
    MUTE = "mute"
    """New connections are accepted and read, nothing is ever answered or passed on."""
    RESET = "reset"
    """New connections are reset at once; see also ``reset_all``."""
    REFUSE = "refuse"
    """New connections are ended with no byte, as sshd does under MaxStartups."""


class Relay(Closing):
    """Listens on a free loopback port and passes to ``target`` (host, port) until closed."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.accepted = 0
        self.delay = 0.0
        """Seconds by which each direction is late, from now on; the order of what passes stays."""
        self._mode = RelayMode.PASS
        self._passing = threading.Event()
        self._passing.set()
        self._closed = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept, "relay-accept")

    def set(self, mode: RelayMode) -> None:
        """Applies from now on."""
        self._mode = mode
        if mode is RelayMode.FREEZE:
            self._passing.clear()
        else:
            self._passing.set()

    def reset_all(self) -> None:
        """Reset every present connection on both sides."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            _reset(one)

    def close(self) -> None:
        """End the listener and all connections; waits for the threads."""
        self._closed.set()
        self._passing.set()
        self.reset_all()
        for thread in list(self._threads):
            thread.join(5)
        self._listener.close()

    def _start(self, target: object, name: str, *args: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.accepted += 1
            self._take(client)

    def _take(self, client: socket.socket) -> None:
        if self._mode is RelayMode.RESET:
            _reset(client)
        elif self._mode is RelayMode.REFUSE:
            client.close()
        elif self._mode is RelayMode.MUTE:
            self._keep(client)
        else:
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target, 5)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        self._keep(client, server)
        self._start(self._copy, "relay-up", client, server)
        self._start(self._copy, "relay-down", server, client)

    def _keep(self, *sockets: socket.socket) -> None:
        with self._lock:
            self._sockets.update(sockets)

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        late: queue.Queue[tuple[float, bytes]] = queue.Queue()
        self._start(self._write, "relay-write", late, source, sink)
        with suppress(OSError):
            while data := source.recv(65536):
                late.put((time.monotonic() + self.delay, data))
            late.put((time.monotonic() + self.delay, b""))
            return
        _reset(source)
        _reset(sink)
        late.put((0.0, b""))

    def _write(
        self,
        late: queue.Queue[tuple[float, bytes]],
        source: socket.socket,
        sink: socket.socket,
    ) -> None:
        with suppress(OSError):
            while True:
                due, data = late.get()
                self._closed.wait(max(0.0, due - time.monotonic()))
                self._passing.wait()
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
        _reset(source)
        _reset(sink)


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    one.close()
