"""The SSH link is killed at the server: how long until a request gets through again, and who was refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

from bench.report import Figure, say
from bench.scene import forwarding, running, scene
from tests.lab.asking import fetch
from watchdogd.adapters.clock import SystemClock
from watchdogd.settings import Address

REPETITIONS = 10
STEADY_SECONDS = 10.0
LONGEST = 60.0
LIMIT = 0.5


class Client:
    """Asks again and again, a new connection each time."""

    def __init__(self, local: Address) -> None:
        self._local = local
        self._clock = SystemClock()
        self.refused = 0

    def until_served(self, killed: float) -> float:
        """Seconds from ``killed`` (run clock) to the end of the first good answer after it."""
        pause = threading.Event()
        while self._clock.run() < killed + LONGEST:
            try:
                if fetch(self._local, "/api")[0] == 200:
                    return self._clock.run() - killed
                self.refused += 1
            except OSError:
                self.refused += 1
            pause.wait(0.005)
        return LONGEST


def figures(repetitions: int = REPETITIONS) -> Iterator[Figure]:
    """Both at once, on one server, so that one kill hits both."""
    if shutil.which("autossh") is None:
        raise SystemExit("bench: there is no autossh: apt-get install autossh")
    clock, steady = SystemClock(), threading.Event()
    with scene() as made, running(made), forwarding(made, "autossh", "-M", "0") as theirs:
        clients = (Client(made.local[0]), Client(theirs))
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(repetitions):
            steady.wait(STEADY_SECONDS)
            say(f"link {number + 1} of {repetitions}")
            killed = clock.run()
            made.sshd.kill_sessions()
            threads = [
                threading.Thread(target=_measure, args=(client, killed, result))
                for client, result in zip(clients, times, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    refused = clients[0].refused
    yield Figure(
        name="usable again after the link was killed",
        unit="s",
        ours=times[0],
        opponent="autossh, ServerAlive 5 x 2",
        theirs=times[1],
        limit=LIMIT,
        measure="ours",
        failed=f"{refused} requests refused" if refused else "",
        note=f"requests refused meanwhile: {refused}, autossh {clients[1].refused}",
    )


def _measure(client: Client, killed: float, into: list[float]) -> None:
    into.append(client.until_served(killed))
