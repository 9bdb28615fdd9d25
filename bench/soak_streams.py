"""Transfers whose every byte is known beforehand: the server, its clients, and what became of each.

A transfer is told to the server in a head: its shape, its seed and two lengths. Both sides make the same
streams from the seed, so nothing has to be kept, and a wrong byte is seen where it arrives.
"""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from tests.lab.closing import Closing
from tests.lab.tcp_server import TcpServer
from watchdogd.settings import Address

LARGEST_BYTES = 1 << 20
PATIENCE_SECONDS = 120.0
"""Longer than a client may have to wait for a link, an open channel and a slow stream together."""
_HEAD = struct.Struct(">BBQQQ")
_DIGEST_BYTES = 32
_PIECE_BYTES = 65_536
_PIECES, _PAUSE_SECONDS = 16, 0.05
"""A slow stream comes in so many pieces, each so long after the last: it is there when its link is killed."""


class Shape(Enum):
    """Who ends its half first."""

    TALK = 1
    """Both send at once; the server adds the hash of what it heard once the client ended."""
    ASK = 2
    """The client sends all and ends its half; then comes the whole answer, with the hash."""
    TELL = 3
    """The server sends all and ends its half; then the client sends, and the server books the hash."""


class End(Enum):
    """How a transfer ended, for its client."""

    EXACT = "exact"
    CUT = "cut"
    """A reset or another error; what had come was right."""
    WRONG = "wrong"
    """An orderly end with bytes missing, or a wrong byte."""
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Plan:
    """One transfer."""

    shape: Shape
    slow: bool
    number: int
    up: int
    """Bytes to the server."""
    down: int

    @classmethod
    def drawn(cls, number: int, dice: random.Random, *, far_half: bool) -> Plan:
        """Small ones as often as large ones, some empty. ``far_half``: see ``tests.lab.engines``."""
        up, down = (
            int(LARGEST_BYTES ** dice.random()) - 1 if dice.random() < 0.9 else 0 for _ in range(2)
        )
        shape = dice.choice(list(Shape))
        if shape is Shape.TELL and not far_half:
            up = 0
        return cls(shape, dice.random() < 0.3, number, up, down)

    def stream(self, way: str) -> bytes:
        """What is sent ``up`` or ``down``."""
        size = self.up if way == "up" else self.down
        return random.Random(f"{self.number} {way}").randbytes(size)  # noqa: S311 - to be repeated

    def pieces(self, way: str) -> Iterator[bytes]:
        """The same, in its time."""
        data = self.stream(way)
        size = max(1, -(-len(data) // _PIECES)) if self.slow else _PIECE_BYTES
        for start in range(0, len(data), size):
            yield data[start : start + size]
            if self.slow:
                time.sleep(_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One that has ended. Times are of the monotonic clock."""

    plan: Plan
    began: float
    ended: float
    end: End
    got: int
    """Bytes that came."""
    why: str = ""


@dataclass(slots=True)
class _Booked:
    """What the server heard in a ``TELL``."""

    ended: threading.Event = field(default_factory=threading.Event)
    digest: bytes = b""


class KnownStreams(Closing):
    """The server."""

    def __init__(self) -> None:
        self._booked: dict[int, _Booked] = {}
        self._server = TcpServer(self._serve)
        self.address: Address = self._server.address

    def close(self) -> None:
        """With all connections."""
        self._server.close()

    def transfer(self, to: Address, plan: Plan) -> Transfer:
        """Be the client of one transfer, through the port ``to``. Raises nothing."""
        began = time.monotonic()
        booked = self._booked[plan.number] = _Booked()
        client = _Client(plan)
        try:
            end, why = client.play(to)
        finally:
            del self._booked[plan.number]
        if end is End.EXACT and plan.shape is Shape.TELL:
            end, why = _told(booked, plan)
        return Transfer(plan, began, time.monotonic(), end, client.got, why)

    def _serve(self, client: socket.socket) -> None:
        head = client.recv(_HEAD.size, socket.MSG_WAITALL)
        if len(head) < _HEAD.size:
            return
        shape, slow, number, up, down = _HEAD.unpack(head)
        plan = Plan(Shape(shape), bool(slow), number, up, down)
        booked = self._booked.get(number, _Booked())
        if plan.shape is Shape.ASK:
            digest = _heard(client)
            _send(client, plan, "down")
            client.sendall(digest)
            client.shutdown(socket.SHUT_WR)
        elif plan.shape is Shape.TALK:
            sender = threading.Thread(target=_send, args=(client, plan, "down"), name="soak-send")
            sender.start()
            try:
                digest = _heard(client)
            finally:
                sender.join()
            client.sendall(digest)
            client.shutdown(socket.SHUT_WR)
        else:
            _send(client, plan, "down")
            client.shutdown(socket.SHUT_WR)
            try:
                booked.digest = _heard(client)
            finally:
                booked.ended.set()


class _Client:
    """Of one transfer."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._wanted = plan.stream("down")
        self.got = 0
        self._unsent: OSError | None = None
        if plan.shape is not Shape.TELL:
            self._wanted += hashlib.sha256(plan.stream("up")).digest()

    def play(self, to: Address) -> tuple[End, str]:
        """To its end."""
        try:
            with socket.create_connection((to.host, to.port), PATIENCE_SECONDS) as server:
                server.settimeout(PATIENCE_SECONDS)
                self._play(server)
        except TimeoutError:
            return End.HUNG, f"nothing passed for {PATIENCE_SECONDS:.0f} s"
        except _WrongByte as error:
            return End.WRONG, str(error)
        except OSError as error:
            return End.CUT, error.strerror or str(error)
        if self._unsent is not None:
            # A reset is told once, to whoever asks first: the other one sees an orderly end.
            return End.CUT, self._unsent.strerror or str(self._unsent)
        if self.got < len(self._wanted):
            return End.WRONG, f"an orderly end after {self.got} of {len(self._wanted)} bytes"
        return End.EXACT, ""

    def _play(self, server: socket.socket) -> None:
        plan = self._plan
        server.sendall(_HEAD.pack(plan.shape.value, plan.slow, plan.number, plan.up, plan.down))
        if plan.shape is Shape.TALK:
            sender = threading.Thread(target=self._say_and_end, args=(server,), name="soak-send")
            sender.start()
            try:
                self._hear(server)
            finally:
                with suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                sender.join()
        elif plan.shape is Shape.ASK:
            self._say(server)
            self._hear(server)
        else:
            self._hear(server)
            if self.got == len(self._wanted):
                self._say(server)

    def _say_and_end(self, server: socket.socket) -> None:
        try:
            self._say(server)
        except OSError as error:
            if self.got < len(self._wanted):
                self._unsent = error

    def _say(self, server: socket.socket) -> None:
        for piece in self._plan.pieces("up"):
            server.sendall(piece)
        server.shutdown(socket.SHUT_WR)

    def _hear(self, server: socket.socket) -> None:
        while data := server.recv(_PIECE_BYTES):
            if data != self._wanted[self.got : self.got + len(data)]:
                raise _WrongByte(f"a wrong byte within {len(data)} after {self.got}")
            self.got += len(data)


class _WrongByte(Exception):
    """What came is not what was sent."""


def _told(booked: _Booked, plan: Plan) -> tuple[End, str]:
    """Nothing tells the client of a ``TELL`` that all arrived; the server's book does."""
    if not booked.ended.wait(PATIENCE_SECONDS):
        return End.CUT, "the server never saw the end"
    if booked.digest != hashlib.sha256(plan.stream("up")).digest():
        return End.CUT, "the server saw the end too early"
    return End.EXACT, ""


def _send(client: socket.socket, plan: Plan, way: str) -> None:
    with suppress(OSError):
        for piece in plan.pieces(way):
            client.sendall(piece)


def _heard(client: socket.socket) -> bytes:
    digest = hashlib.sha256()
    while data := client.recv(_PIECE_BYTES):
        digest.update(data)
    return digest.digest()
