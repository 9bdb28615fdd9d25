"""Copies bytes between one client's socket and its stream on the server, both ways at once.

Two blocking threads: a half-closed client still gets its answer, and full duplex cannot deadlock.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

from watchdogd.adapters.crew import CREW
from watchdogd.ports import Stream, WideStream

_CHUNK = 131_072
"""Four of paramiko's messages."""
_WIDE = 262_144
"""With 256 KiB in memory of our own a GB took 0.84 s of this process's time, by 32 KiB 1.03 s (measured)."""
_FIRST_BYTES = 16_384
_JOIN_SECONDS = 1.0
_LOOK_SECONDS = 0.2
_GONE = (OSError, EOFError)


class Meter:
    """Byte counts, added to by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0
        self._received = 0

    def add(self, *, sent: int = 0, received: int = 0) -> None:
        """Bytes to, and from, the server."""
        with self._lock:
            self._sent += sent
            self._received += received

    def totals(self) -> tuple[int, int]:
        """Bytes sent to the server, bytes received from it."""
        with self._lock:
            return self._sent, self._received


def has_left(client: socket.socket) -> bool:
    """True if the client went away while it waited; one that sent something has not."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def pump(client: socket.socket, stream: Stream, meter: Meter) -> None:
    """Copies until both halves ended or one side is gone; closes both.

    A far side that really ended its half is passed on as an end. One that vanished is passed on as
    a reset: a cut answer must not look complete.
    """
    with suppress(*_GONE):
        _first_bytes(client, stream, meter)
    sent = threading.Event()
    up = f"{threading.current_thread().name}-up"
    CREW.start(up, lambda: _copy_up(client, stream, meter, sent))
    clean = _copy_down(client, stream, meter)
    if clean:
        while not sent.is_set() and not stream.closed():
            sent.wait(_LOOK_SECONDS)
    stream.close()
    if not clean:
        reset_on_close(client)
    with suppress(OSError):
        client.shutdown(socket.SHUT_RD)
    sent.wait(_JOIN_SECONDS)
    client.close()


def reset_on_close(client: socket.socket) -> None:
    """Closing it from now on sends a reset instead of an orderly end."""
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _first_bytes(client: socket.socket, stream: Stream, meter: Meter) -> None:
    """What the client has sent while it waited is on its way before anything else. So few bytes that they
    are taken at once."""
    try:
        data = client.recv(_FIRST_BYTES, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return
    except OSError:  # told once: the next look would take it for an end
        stream.close()
        return
    if data:  # an end is seen again
        stream.sendall(data)
        meter.add(sent=len(data))


def _copy_up(client: socket.socket, stream: Stream, meter: Meter, ended: threading.Event) -> None:
    try:
        if isinstance(stream, WideStream):
            buffer = memoryview(bytearray(_WIDE))
            while count := client.recv_into(buffer):
                stream.sendall(buffer[:count])
                meter.add(sent=count)
        else:
            while data := client.recv(_CHUNK):
                stream.sendall(data)
                meter.add(sent=len(data))
        stream.shutdown_write()
    except _GONE:
        stream.close()
    finally:
        ended.set()


def _copy_down(client: socket.socket, stream: Stream, meter: Meter) -> bool:
    """True if the far side ended its half and the client was told so."""
    with suppress(*_GONE):
        if isinstance(stream, WideStream):
            buffer = memoryview(bytearray(_WIDE))
            while count := stream.recv_into(buffer):
                client.sendall(buffer[:count])
                meter.add(received=count)
        else:
            while data := stream.recv(_CHUNK):
                client.sendall(data)
                meter.add(received=len(data))
        if stream.ended_cleanly():
            client.shutdown(socket.SHUT_WR)
            return True
    return False
