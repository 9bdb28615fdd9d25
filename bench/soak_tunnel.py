"""Random transfers through the tunnel while its link is broken every few seconds:
``python -m bench.soak_tunnel --minutes 30``.

Exit code 1 if one byte was wrong or missing behind an orderly end, if a transfer was cut that no broken link
explains, if one hung, if no link came back, or if the process is not at the end what it was when warm.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.soak_breaks import Break, breaks, do_break, pause
from bench.soak_streams import End, KnownStreams, Plan, Transfer
from bench.sunk import Footprint, footprint
from tests.lab.engines import FAR_HALF, MAKERS
from tests.lab.sshd import Sshd
from tests.lab.tunnel import Tunnel
from watchdogd.core.events import LinkUp

MINUTES = 30.0
CLIENTS = 5
WARM_SHARE = 0.2
"""Of the time, before the first measurement: code, buffers and thread stacks that are used again."""
MOST_PARTS = 10
"""Of what follows: after each the process is looked at, and told."""
GROWTH_KIB = 4 << 10
"""Memory that may be more than when warm: pages that are only partly free (measured: 0.1 MiB)."""
CALM_SECONDS = 150.0
"""Until nobody rides and what was replaced has ended: a slow stream first, then a link's close."""
GONE_SECONDS = 30.0
"""Within them a thread, descriptor or child of a link that was closed ends."""

_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""

Tell = Callable[[str], None]


@dataclass(kw_only=True)
class Soaked:
    """What became of one engine's tunnel."""

    engine: str
    seconds: float = 0.0
    ends: Counter[End] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    links: int = 0
    up: int = 0
    down: int = 0
    """Bytes of the exact ones."""
    idle: Footprint
    """Before any tunnel."""
    warm: Footprint | None = None
    """With a link up and no client, after the first part."""
    after: Footprint | None = None
    """The same at the end."""
    violations: list[str] = field(default_factory=list)

    def judge(self, transfers: Sequence[Transfer], broken: Sequence[Break]) -> None:
        """Book them."""
        self.broken.update(one.how for one in broken)
        self.ends.update(one.end for one in transfers)
        for one in transfers:
            if one.end is End.EXACT:
                self.up += one.plan.up
                self.down += one.plan.down
            elif one.end is not End.CUT or not any(other.explains(one) for other in broken):
                self.violations.append(
                    f"{one.end.value} though nothing explains it: {one.why} after {one.got} bytes "
                    f"and {one.ended - one.began:.1f} s; {one.plan}"
                )


class _Storm:
    """Clients and breaks for a while."""

    def __init__(
        self, engine: str, streams: KnownStreams, sshd: Sshd, tunnel: Tunnel, seed: int
    ) -> None:
        self._engine = engine
        self._streams, self._sshd, self._tunnel = streams, sshd, tunnel
        self._dice = random.Random(seed)  # noqa: S311 - to be repeated
        self._numbers = iter(range(seed << 32, (seed + 1) << 32))
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.transfers: list[Transfer] = []
        self.broken: list[Break] = []
        self.trouble: list[str] = []

    def rage(self, seconds: float) -> None:
        """Returns when the last client has ended."""
        clients = [
            threading.Thread(target=self._ask, name=f"soak-client{number}")
            for number in range(CLIENTS)
        ]
        end = time.monotonic() + seconds
        for client in clients:
            client.start()
        try:
            while time.monotonic() < end:
                for how in self._shuffled():
                    self._over.wait(min(pause(self._dice), max(0.0, end - time.monotonic())))
                    if time.monotonic() < end:
                        self.broken.append(do_break(how, self._sshd, self._tunnel))
        except AssertionError as error:
            self.trouble.append(f"no link came back: {error}")
        finally:
            self._over.set()
            for client in clients:
                client.join()

    def _shuffled(self) -> list[str]:
        """Each kind once, in some order."""
        with self._lock:
            ways = breaks(self._engine)
            return self._dice.sample(ways, len(ways))

    def _ask(self) -> None:
        while not self._over.is_set():
            with self._lock:
                plan = Plan.drawn(next(self._numbers), self._dice, far_half=FAR_HALF[self._engine])
            done = self._streams.transfer(self._tunnel.address, plan)
            with self._lock:
                self.transfers.append(done)


def soak(engine: str, seconds: float, tell: Tell = lambda line: None, seed: int = 1) -> Soaked:
    """One engine for so many seconds, on a real sshd of its own."""
    _one_arena()
    found = Soaked(engine=engine, idle=footprint())
    with tempfile.TemporaryDirectory(prefix="watchdogd-soak-") as name:
        folder = Path(name)
        with Sshd() as sshd, KnownStreams() as streams:
            with Tunnel(engine, sshd.settings(), streams.address, folder) as tunnel:
                tunnel.await_up()
                began = time.monotonic()
                parts = max(1, min(MOST_PARTS, int(seconds / 60)))
                shares = [WARM_SHARE, *[(1 - WARM_SHARE) / parts] * parts]
                for part, share in enumerate(shares):
                    storm = _Storm(engine, streams, sshd, tunnel, seed + part)
                    storm.rage(seconds * share)
                    found.judge(storm.transfers, storm.broken)
                    found.violations += storm.trouble
                    found.after = _calm(tunnel, found.warm, found.violations)
                    found.warm = found.warm or found.after
                    tell(f"{engine}: {sum(found.ends.values())} transfers, {found.after}")
                found.seconds = time.monotonic() - began
                found.links = tunnel.dialer.count(LinkUp)
            if remains := tunnel.remains():
                found.violations.append(f"left in the folder: {', '.join(remains)}")
    _compare("closed", found.idle, _settled(found.idle), found.violations)
    return found


def _calm(tunnel: Tunnel, warm: Footprint | None, violations: list[str]) -> Footprint:
    """The process with one link and no client."""
    limit = time.monotonic() + CALM_SECONDS
    while not tunnel.is_calm() and time.monotonic() < limit:
        time.sleep(0.05)
    if not tunnel.is_calm():
        violations.append("somebody still rides on the tunnel, or no link is up")
    now = _settled(warm)
    if warm is not None:
        _compare("alive", warm, now, violations)
        grown = now.resident_kib - warm.resident_kib
        if grown > GROWTH_KIB:
            violations.append(f"{grown} KiB more memory than when warm")
    return now


def _settled(before: Footprint | None) -> Footprint:
    """The process now, or as soon as it is as small as before; without a before, once it stays the same."""
    limit, last = time.monotonic() + GONE_SECONDS, footprint()
    while time.monotonic() < limit:
        time.sleep(0.5)
        _trim()
        now = footprint()
        if not (surplus(before, now) if before else surplus(now, last)):
            return now
        last = now
    return last


def _trim() -> None:
    """Free memory goes back to the system: else what allocators keep would look like a leak."""
    gc.collect()
    with suppress(AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def _one_arena() -> None:
    """One heap for all threads to come: each would keep another's leftovers."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def surplus(before: Footprint, now: Footprint) -> dict[str, int]:
    """What there is more of, memory apart."""
    units = ("descriptors", "threads", "children")
    return {
        unit: more for unit in units if (more := getattr(now, unit) - getattr(before, unit)) > 0
    }


def _compare(when: str, before: Footprint, now: Footprint, violations: list[str]) -> None:
    names = ", ".join(sorted(thread.name for thread in threading.enumerate()))
    violations += [
        f"{more} more {unit} ({when})" + (f": {names}" if unit == "threads" else "")
        for unit, more in surplus(before, now).items()
    ]


def table(found: Sequence[Soaked]) -> str:
    """For a person."""
    lines = [f"{'':>22}" + "".join(f"{one.engine:>22}" for one in found)]

    def row(name: str, value: Callable[[Soaked], object]) -> None:
        lines.append(f"{name:>22}" + "".join(f"{value(one)!s:>22}" for one in found))

    row("seconds", lambda one: round(one.seconds))
    for end in End:
        row(f"transfers {end.value}", lambda one, end=end: one.ends[end])  # type: ignore[misc]
    row("MB up, down", lambda one: f"{one.up / 1e6:.0f}, {one.down / 1e6:.0f}")
    row("links", lambda one: one.links)
    for how in sorted({how for one in found for how in one.broken}):
        row(how, lambda one, how=how: one.broken[how])  # type: ignore[misc]
    for unit in ("resident_kib", "descriptors", "threads", "children"):
        row(unit, lambda one, unit=unit: _from_to(one, unit))  # type: ignore[misc]
    row("violations", lambda one: len(one.violations))
    return "\n".join(lines)


def _from_to(one: Soaked, unit: str) -> str:
    return f"{getattr(one.warm, unit, '?')} to {getattr(one.after, unit, '?')}"


def run(minutes: float, engines: Sequence[str] = tuple(MAKERS)) -> int:
    """Each engine for so long; prints the table. Returns the exit code."""
    found = [soak(engine, minutes * 60, lambda line: print(line, flush=True)) for engine in engines]
    print(table(found))
    for one in found:
        for violation in one.violations[:20]:
            print(f"{one.engine}: {violation}")
    return 1 if any(one.violations for one in found) else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak_tunnel")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="for each engine (default: 30)"
    )
    parser.add_argument("--engine", choices=list(MAKERS), action="append", help="default: each")
    wanted = parser.parse_args()
    return run(wanted.minutes, wanted.engine or tuple(MAKERS))


if __name__ == "__main__":
    sys.exit(main())
