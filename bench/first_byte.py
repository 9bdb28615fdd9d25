"""The first byte through a new connection, beside ``ssh -L``."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from bench.report import Figure
from bench.scene import forwarding, running, scene
from watchdogd.adapters.clock import SystemClock
from watchdogd.settings import Address

REPETITIONS = 200
REQUEST = b"GET /api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LIMIT = 3.0


def figures() -> Iterator[Figure]:
    """In turns, so that whatever else the machine does hits both."""
    with scene() as made, running(made), forwarding(made) as theirs:
        places = (made.local[0], theirs)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(REPETITIONS):
            for place, result in zip(places, times, strict=True):
                result.append(1000 * _first_byte(place))
    yield Figure(
        name="first byte through a new connection",
        unit="ms",
        ours=times[0],
        opponent="ssh -L",
        theirs=times[1],
        limit=LIMIT,
        measure="ratio",
    )


def _first_byte(place: Address) -> float:
    clock = SystemClock()
    begun = clock.run()
    with socket.create_connection((place.host, place.port), timeout=10) as client:
        client.sendall(REQUEST)
        assert client.recv(1)
        return clock.run() - begun
