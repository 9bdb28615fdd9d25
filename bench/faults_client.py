"""The client of one forward: asks it 50 times a second, or once while it hangs, and keeps one connection
open through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from bench.faults_line import Loop
from bench.faults_table import Answer, Got
from watchdogd.settings import Address

PERIOD = 0.02
HANGS = 0.1
"""Seconds without an answer after which a request is thought to hang."""
HANGING_PERIOD = 1.0
"""While one hangs a new one goes out so often: it shows to so many seconds when the way is free again."""
PATIENCE = 5.0
"""Seconds after which a request is given up."""
OPEN_PERIOD = 0.5
"""Between two requests on the open connection."""
OPEN_PATIENCE = 5.0
"""An open connection whose answer is still missing so long when the measuring ends counts as lost."""
GET = b"GET /api HTTP/1.1\r\nHost: localhost\r\n"
LAST = GET + b"Connection: close\r\n\r\n"
KEPT = GET + b"\r\n"


class Client:
    """Of one forward, on the loop of all; ``start`` and ``stop`` may follow each other again and again."""

    def __init__(self, loop: Loop, local: Address, now: Callable[[], float]) -> None:
        self._loop = loop
        self._local = local
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked_at = 0.0
        self.patience = PATIENCE
        self.quiet = False
        """Ask nothing for a while, and end the open connection."""
        self.answers: list[Answer] = []
        self.pending: dict[asyncio.Task[None], float] = {}
        """When each request without an answer was sent."""
        self.lost = 0

    def start(self, patience: float = PATIENCE) -> None:
        """Forget what was, and ask."""
        self.patience, self.quiet = patience, False
        self.answers, self.pending, self.lost, self._asked_at = [], {}, 0, 0.0
        self._loop.call(self._start())

    def stop(self) -> None:
        """End; whatever still waits for an answer for longer than ``OPEN_PATIENCE`` is counted as lost."""
        if self._asked_at and self._now() - self._asked_at > OPEN_PATIENCE:
            self.lost += 1
        self._loop.call(self._stop())

    async def _start(self) -> None:
        for job in (self._poll(), self._keep_open()):
            self._tasks.add(asyncio.create_task(job))

    async def _stop(self) -> None:
        tasks = {*self._tasks, *self.pending}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=OPEN_PATIENCE)
        self._tasks.clear()

    async def _poll(self) -> None:
        while True:
            if not self.quiet and self._due():
                task = asyncio.create_task(self._ask())
                self.pending[task] = self._now()
                task.add_done_callback(lambda done: self.pending.pop(done, None))
            await asyncio.sleep(PERIOD)

    def _due(self) -> bool:
        now, sent = self._now(), self.pending.values()
        return not sent or now - min(sent) < HANGS or now - max(sent) >= HANGING_PERIOD

    async def _ask(self) -> None:
        begun = self._now()
        got = Got.FAILED
        try:
            async with asyncio.timeout(self.patience):
                got = await _asked(self._local)
        except ConnectionRefusedError:
            got = Got.REFUSED
        except (OSError, asyncio.IncompleteReadError):
            pass
        self.answers.append(Answer(begun, self._now(), got))

    async def _keep_open(self) -> None:
        while True:
            await asyncio.sleep(OPEN_PERIOD)
            if not self.quiet:
                with suppress(OSError):
                    await self._one_open()

    async def _one_open(self) -> None:
        """One connection to its end; it counts as lost if it had been of use."""
        reader, writer = await asyncio.open_connection(self._local.host, self._local.port)
        useful = False
        try:
            while True:
                if self.quiet:
                    return
                self._asked_at = self._now() if useful else 0.0
                writer.write(KEPT)
                useful = await _answered(reader) is Got.SERVED or useful
                self._asked_at = 0.0
                await asyncio.sleep(OPEN_PERIOD)
        except (OSError, asyncio.IncompleteReadError):
            self._asked_at = 0.0
            self.lost += useful
        finally:
            writer.transport.abort()


async def _asked(local: Address) -> Got:
    reader, writer = await asyncio.open_connection(local.host, local.port)
    try:
        writer.write(LAST)
        return await _answered(reader)
    finally:
        writer.transport.abort()


async def _answered(reader: asyncio.StreamReader) -> Got:
    """One whole answer. A 503 says that there is no way now: as good as a refused connect."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0].strip()
    if length:
        await reader.readexactly(int(length))
    status = head.split(maxsplit=2)[1]
    return {"200": Got.SERVED, "503": Got.REFUSED}.get(status, Got.FAILED)
