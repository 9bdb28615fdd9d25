"""Copies bytes between one client's socket and its stream on the server, both ways at once.

Two blocking threads: a half-closed client still gets its answer, and full duplex cannot deadlock.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeGuard

from watchdogd.adapters.crew import CREW
from watchdogd.ports import Stream, WideStream

_CHUNK = 131_072
"""Four of paramiko's messages."""
_WIDE = 262_144
"""With 256 KiB in memory of our own a GB took 0.84 s of this process's time, by 32 KiB 1.03 s (measured)."""
_NARROW = 16_384
_FIRST_BYTES = 16_384
_PEEK_BYTES = 4096
"""A request's head; as much as a local socket takes at once on every system."""
_JOIN_SECONDS = 1.0
_LOOK_SECONDS = 0.2
_GONE = (OSError, EOFError)


class Tally:
    """Bytes of one client in one direction. A single thread adds to it, so it needs no lock."""

    __slots__ = ("passed",)

    def __init__(self) -> None:
        self.passed = 0


class Meter:
    """Byte counts, of many clients at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[set[Tally], set[Tally]] = (set(), set())
        self._ended = [0, 0]

    def sending(self) -> AbstractContextManager[Tally]:
        """To count what goes to the server, in one thread."""
        return self._counting(0)

    def receiving(self) -> AbstractContextManager[Tally]:
        """To count what comes from the server, in one thread."""
        return self._counting(1)

    def totals(self) -> tuple[int, int]:
        """Bytes sent to the server, bytes received from it."""
        with self._lock:
            sent, received = (
                ended + sum(tally.passed for tally in running)
                for ended, running in zip(self._ended, self._running, strict=True)
            )
        return sent, received

    @contextmanager
    def _counting(self, way: int) -> Iterator[Tally]:
        tally = Tally()
        with self._lock:
            self._running[way].add(tally)
        try:
            yield tally
        finally:
            with self._lock:
                self._running[way].discard(tally)
                self._ended[way] += tally.passed


def has_left(client: socket.socket) -> bool:
    """True if the client went away while it waited; one that sent something has not."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def peek(client: socket.socket) -> bytes:
    """What the client has sent so far, 4 KiB at most; nothing of it is taken. Raises ``OSError`` if the client is
    gone: that is told once, and the next look would take it for an orderly end."""
    try:
        return client.recv(_PEEK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def pump(client: socket.socket, stream: Stream, meter: Meter) -> None:
    """Copies until both halves ended or one side is gone; closes both. What was peeked at
    and passed with the wish for the stream is taken from the client first.

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
    with meter.sending() as tally:
        try:
            if stream.passed:
                tally.passed = stream.passed
                _drop(client, stream.passed)
                return
            data = client.recv(_FIRST_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except _GONE:  # told once: the next look would take it for an end
            stream.close()
            return
        if data:  # an end is seen again
            stream.sendall(data)
            tally.passed = len(data)


def _drop(client: socket.socket, size: int) -> None:
    """Takes so many bytes that were peeked at. Raises ``OSError`` or ``EOFError`` if it is gone."""
    while size:
        data = client.recv(size)
        if not data:
            raise EOFError
        size -= len(data)


def _is_wide(stream: Stream) -> TypeGuard[WideStream]:
    return hasattr(stream, "recv_into")  # to ask the protocol itself takes as long as a wake-up


def _copy_up(client: socket.socket, stream: Stream, meter: Meter, ended: threading.Event) -> None:
    try:
        with meter.sending() as tally:
            if _is_wide(stream):
                _copy_wide(client.recv_into, stream.sendall, tally)
            else:
                _copy(client.recv, stream.sendall, tally)
        stream.shutdown_write()
    except _GONE:
        stream.close()
    finally:
        ended.set()


def _copy_down(client: socket.socket, stream: Stream, meter: Meter) -> bool:
    """True if the far side ended its half and the client was told so."""
    with suppress(*_GONE):
        with meter.receiving() as tally:
            if _is_wide(stream):
                _copy_wide(stream.recv_into, client.sendall, tally)
            else:
                _copy(stream.recv, client.sendall, tally)
        if stream.ended_cleanly():
            client.shutdown(socket.SHUT_WR)
            return True
    return False


def _copy_wide(
    receive: Callable[[memoryview], int], send: Callable[[memoryview], object], tally: Tally
) -> None:
    """To the end. Much memory only for who fills a little: to have it made took as long as a wake-up."""
    buffer = memoryview(bytearray(_NARROW))
    while count := receive(buffer):
        send(buffer[:count])  # before all else: the other end waits for it
        tally.passed += count
        if count == len(buffer) < _WIDE:
            buffer = memoryview(bytearray(_WIDE))


def _copy(receive: Callable[[int], bytes], send: Callable[[bytes], object], tally: Tally) -> None:
    while data := receive(_CHUNK):
        send(data)
        tally.passed += len(data)
