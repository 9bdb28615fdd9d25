"""The data path of both engines beside ``ssh -L``: bulk bytes, first byte of a connection, round trip.

All in turns, on one server, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from bench.report import Figure, say
from bench.scene import forwarding, running, scene
from bench.tunnel_far import CHUNK, DONE, Far, receive
from watchdogd.adapters.clock import SystemClock
from watchdogd.settings import Address

ENGINES = ("openssh", "sshtunnel")
OPPONENT = "ssh -L"
BULK_BYTES = 1 << 28
"""256 MiB: a second of ``ssh -L``, so that the ramp of the windows does not count."""
WARM_BYTES = 1 << 24
_LIMITS = {
    "throughput": {"openssh": 1.0, "sshtunnel": 0.6},
    "first_byte": {"openssh": 1.5, "sshtunnel": 3.0},
    "round_trip": {"openssh": 1.3, "sshtunnel": 2.5},
}
"""Of ``ssh -L`` with its own ciphers: at least this part of its throughput, at most so many of its times."""
Places = Mapping[str, Address]
Timed = Mapping[str, Sequence[float]]
Place = TypeVar("Place")


@contextmanager
def _places() -> Iterator[Places]:
    """Where each forward listens; the agent carries both engines."""
    with (
        scene(engines=ENGINES, behind=Far) as made,
        running(made),
        forwarding(made) as theirs,
    ):
        yield dict(zip(ENGINES, made.local, strict=True)) | {OPPONENT: theirs}


def throughput(quick: bool) -> Iterator[Figure]:
    """MB/s of one connection, each way."""
    with _places() as places:
        for name, move in (("download", _download), ("upload", _upload)):
            for place in places.values():
                move(place, WARM_BYTES)
            times = _in_turns(name, places, partial(move, size=BULK_BYTES), 2 if quick else 5)
            rates = {who: [BULK_BYTES / 1e6 / one for one in took] for who, took in times.items()}
            yield from _figures("throughput", name, "MB/s", rates, at_least=True)


def first_byte(quick: bool) -> Iterator[Figure]:
    """From the connect to the first byte of the answer."""
    with _places() as places:
        times = _in_turns("first byte", places, _first_byte, 50 if quick else 300)
    yield from _figures("first_byte", "first byte, new connection", "ms", _milliseconds(times))


def round_trip(quick: bool) -> Iterator[Figure]:
    """A byte there and back over a connection that is open."""
    with _places() as places:
        echoes = {who: opened_echo(place) for who, place in places.items()}
        try:
            times = _in_turns("round trip", echoes, _there_and_back, 200 if quick else 2000)
        finally:
            for one in echoes.values():
                one.close()
    yield from _figures("round_trip", "round trip, open connection", "ms", _milliseconds(times))


def _figures(
    row: str, name: str, unit: str, values: Timed, *, at_least: bool = False
) -> Iterator[Figure]:
    for engine in ENGINES:
        yield Figure(
            name=f"{name}, {engine}",
            unit=unit,
            ours=values[engine],
            opponent=f"{OPPONENT}, own ciphers",
            theirs=values[OPPONENT],
            limit=_LIMITS[row][engine],
            measure="ratio",
            at_least=at_least,
        )


def _in_turns(
    name: str, places: Mapping[str, Place], act: Callable[[Place], object], times: int
) -> dict[str, list[float]]:
    """Seconds that each took."""
    clock = SystemClock()
    found: dict[str, list[float]] = {who: [] for who in places}
    for number in range(times):
        if number % 100 == 0:
            say(f"{name}, {number + 1} of {times}")
        for who, place in places.items():
            begun = clock.run()
            act(place)
            found[who].append(clock.run() - begun)
    return found


def _milliseconds(times: Timed) -> Timed:
    return {who: [1000 * one for one in took] for who, took in times.items()}


def _connected(place: Address) -> socket.socket:
    one = socket.create_connection((place.host, place.port), timeout=60)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def _download(place: Address, size: int) -> None:
    with _connected(place) as one:
        one.sendall(b"DOWN %d\r\n\r\n" % size)
        receive(one, size)


def _upload(place: Address, size: int) -> None:
    data = memoryview(os.urandom(CHUNK))
    with _connected(place) as one:
        one.sendall(b"UP %d\r\n\r\n" % size)
        assert one.recv(1) == DONE
        for _ in range(size // CHUNK):
            one.sendall(data)
        assert one.recv(1) == DONE


def _first_byte(place: Address) -> None:
    with _connected(place) as one:
        one.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert one.recv(1)


def opened_echo(place: Address) -> socket.socket:
    """A connection on which every byte comes back."""
    one = _connected(place)
    one.sendall(b"ECHO\r\n\r\n")
    assert one.recv(1) == DONE
    return one


def _there_and_back(one: socket.socket) -> None:
    one.sendall(b"x")
    assert one.recv(1) == b"x"
