"""The line between a keeper and its SSH server: a TCP relay that can do what bad networks do.

One event loop carries the lines and clients of all opponents: threads, as ``tests.lab.relay`` has four of
for each connection, would compete with the opponents for the processor.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from tests.lab.closing import Closing

LOOK_SECONDS = 0.02
BIND_TRIES = 100
LOWEST, HIGHEST = 20000, 32000
"""Ports that are closed for a while and needed again lie below those that the system gives to clients."""
CALL_SECONDS = 10.0
T = TypeVar("T")


def lasting_port() -> int:
    """A free port that no client of this machine is given while it is closed."""
    while True:
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - no secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Loop(Closing):
    """An event loop in a thread of its own, until closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faults-loop")
        self._thread.start()
        self.late = 0.0
        """Seconds by which the loop came late at the most, since somebody set it to 0: so far its figures
        may be wrong."""
        self.start(self._watch())

    async def _watch(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            before = now()
            await asyncio.sleep(LOOK_SECONDS)
            self.late = max(self.late, now() - before - LOOK_SECONDS)

    def call(self, job: Coroutine[object, object, T]) -> T:
        """Run that, and wait at most ``CALL_SECONDS`` for its end."""
        return self.start(job).result(CALL_SECONDS)

    def start(self, job: Coroutine[object, object, T]) -> Future[T]:
        """Run that, and do not wait."""
        return asyncio.run_coroutine_threadsafe(job, self._loop)

    def close(self) -> None:
        """Cancel what runs, and end."""
        if self._loop.is_closed():
            return
        with suppress(TimeoutError):
            self.call(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others, timeout=CALL_SECONDS / 2) if others else None


@dataclass(slots=True, eq=False)
class _Wire:
    """One connection through the line. ``down`` is from the server to the client."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    up: bool = True
    down: bool = True
    brought: int = 0
    """Bytes that came down so far."""
    cut_at: int = 0
    """Reset once so many came down; 0: never."""
    dead: bool = False

    def reset(self) -> None:
        self.dead = True
        for writer in (self.client, self.server):
            if writer is not None:
                end = writer.get_extra_info("socket")
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()


class Line(Closing):
    """Listens on ``port`` of the loopback addresses named to ``listen``, passes to ``target``.

    What is set holds from now on for connections present and new, if not said otherwise.
    """

    def __init__(self, loop: Loop, target: int) -> None:
        self._loop = loop
        self._servers: dict[str, asyncio.Server] = {}
        self._wires: set[_Wire] = set()
        self.port = lasting_port()
        self.accepted = 0
        """TCP connections that were accepted."""
        self.target = target
        """The server's port on 127.0.0.1, for new connections."""
        self.calm()

    def calm(self) -> None:
        """Pass everything, at once; what was holed stays so."""
        self.delay: Callable[[], float] = lambda: 0.0
        """Asked for each piece: seconds by which it is late. The order stays."""
        self.bytes_per_second = 0.0
        """0: as fast as it goes. Each way."""
        self.frozen = False
        """No byte passes; it does later. New connections are taken and do not reach the server."""
        self.mute = False
        """New connections are taken, and never answered."""
        self.turns_away = False
        """New connections are closed at once, as sshd does beyond its MaxStartups."""
        self.first_byte_after = 0.0
        """Seconds by which the server's first byte to a new connection is late."""
        self.lifetime = 0.0
        """Seconds until a new connection is reset; 0: none."""
        self.cuts = 0
        """So many new connections are reset within the key exchange."""

    def listen(self, *hosts: str) -> None:
        """Listen on these addresses and no other; on none, connects are refused."""
        self._loop.call(self._listen(hosts))

    def reset_all(self) -> None:
        """Reset every present connection on both sides."""
        self._loop.call(self._each(_Wire.reset))

    def hole(self, *, up: bool = False, down: bool = False) -> None:
        """Present connections pass only what is allowed here; new ones pass everything."""
        self._loop.call(self._each(lambda wire: _limit(wire, up, down)))

    def half_close(self) -> None:
        """Present connections: the client's side is told that the server says no more."""
        self._loop.call(self._each(_end_half))

    def close(self) -> None:
        """End the listeners and all connections."""
        self._loop.call(self._listen(()))
        self.reset_all()

    async def _each(self, act: Callable[[_Wire], None]) -> None:
        for wire in tuple(self._wires):
            with suppress(OSError, RuntimeError):
                act(wire)

    async def _listen(self, hosts: tuple[str, ...]) -> None:
        for host in set(self._servers) - set(hosts):
            self._servers.pop(host).close()
        for host in set(hosts) - set(self._servers):
            self._servers[host] = await self._bound(host)

    async def _bound(self, host: str) -> asyncio.Server:
        """A process that is just being started may hold a copy of the former listener until it is."""
        for _ in range(BIND_TRIES):
            with suppress(OSError):
                return await asyncio.start_server(self._serve, host, self.port)
            await asyncio.sleep(LOOK_SECONDS)
        return await asyncio.start_server(self._serve, host, self.port)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        wire = _Wire(client)
        self._wires.add(wire)
        try:
            await self._carried(wire, reader)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            wire.reset() if not self.turns_away else client.close()
            self._wires.discard(wire)

    async def _carried(self, wire: _Wire, reader: asyncio.StreamReader) -> None:
        if self.turns_away:
            return
        if self.mute:
            await reader.read(-1)
            return
        if self.lifetime:
            asyncio.get_running_loop().call_later(self.lifetime, wire.reset)
        if self.cuts:
            self.cuts, wire.cut_at = self.cuts - 1, 200  # the banner, and a piece of KEXINIT
        late = self.first_byte_after
        while self.frozen and not wire.dead:
            await asyncio.sleep(LOOK_SECONDS)
        answers, wire.server = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._up(wire, reader), self._down(wire, answers, late))

    async def _up(self, wire: _Wire, reader: asyncio.StreamReader) -> None:
        assert wire.server is not None
        await self._copy(reader, wire.server, wire, lambda: wire.up)

    async def _down(self, wire: _Wire, reader: asyncio.StreamReader, late: float) -> None:
        first = await reader.read(65536)
        await asyncio.sleep(late)
        await self._copy(reader, wire.client, wire, lambda: wire.down, first)

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wire: _Wire,
        passes: Callable[[], bool],
        first: bytes = b"",
    ) -> None:
        """From one to the other until the end, late by what ``delay`` says."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writing = asyncio.ensure_future(self._write(pieces, writer, wire, passes))
        now, due = asyncio.get_running_loop().time, 0.0
        try:
            while True:
                data = first or await reader.read(65536)
                first = b""
                due = max(due, now() + self.delay())
                pieces.put_nowait((due, data))
                if not data:
                    await writing
                    return
        except OSError:
            wire.reset()
        finally:
            writing.cancel()

    async def _write(
        self,
        pieces: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        wire: _Wire,
        passes: Callable[[], bool],
    ) -> None:
        now = asyncio.get_running_loop().time
        with suppress(OSError):
            while not wire.dead:
                due, data = await pieces.get()
                await asyncio.sleep(max(0.0, due - now()))
                if self.bytes_per_second:
                    await asyncio.sleep(len(data) / self.bytes_per_second)
                while not wire.dead and (self.frozen or not passes()):
                    await asyncio.sleep(LOOK_SECONDS)
                if not data or wire.dead:
                    writer.write_eof()
                    return
                self._count(wire, writer, data)
                await writer.drain()
        wire.reset()

    @staticmethod
    def _count(wire: _Wire, writer: asyncio.StreamWriter, data: bytes) -> None:
        if writer is wire.client:
            wire.brought += len(data)
            if wire.cut_at and wire.brought > wire.cut_at:
                wire.reset()
                return
        writer.write(data)


def _end_half(wire: _Wire) -> None:
    wire.down = False
    wire.client.write_eof()


def _limit(wire: _Wire, up: bool, down: bool) -> None:
    wire.up, wire.down = up, down
