"""Two minutes of clients on the forward while its link is killed again and again."""

from __future__ import annotations

import errno
import http.client
import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.e2e.lab import Bench

pytestmark = pytest.mark.real

SECONDS = 120.0
EVERY = 0.02
KILL_EVERY = 12.0
CLIENTS = 200
"""More than can wait for one redial."""
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request on a connection of its own. Times are of the monotonic clock."""

    begun: float
    ended: float
    trouble: str
    """Empty = it was answered with 200."""


@dataclass(frozen=True, slots=True)
class Kill:
    """From before the first session process was killed until after the last."""

    begun: float
    ended: float

    def caught(self, asked: Asked) -> bool:
        """That request was on its way when the link ended."""
        return asked.begun <= self.ended and asked.ended >= self.begun


def ask(port: int) -> Asked:
    begun = time.monotonic()
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        asking.request("GET", "/api", headers={"Connection": "close"})
        answer = asking.getresponse()
        trouble = (
            "" if answer.status == 200 and b'"version"' in answer.read() else str(answer.status)
        )
    except OSError as error:
        trouble = errno.errorcode.get(error.errno or 0, type(error).__name__)
    except http.client.HTTPException as error:
        trouble = type(error).__name__
    finally:
        asking.close()
    return Asked(begun, time.monotonic(), trouble)


def fire(bench: Bench, over: threading.Event, kills: list[Kill]) -> None:
    """Kill the link every 12 s."""
    while not over.wait(KILL_EVERY):
        begun = time.monotonic()
        bench.server.sshd.kill_sessions()
        kills.append(Kill(begun, time.monotonic()))


@pytest.mark.timeout(300)
def test_two_minutes_of_clients_while_the_link_is_killed(
    own: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    life = own.settle()
    begin = own.mark()
    kills: list[Kill] = []
    over = threading.Event()
    with ThreadPoolExecutor(CLIENTS, "client") as clients:
        killer = threading.Thread(target=fire, args=(own, over, kills), name="killer")
        killer.start()
        start = time.monotonic()
        pace = threading.Event()
        flights = []
        try:
            for number in range(int(SECONDS / EVERY)):
                pace.wait(max(0.0, start + number * EVERY - time.monotonic()))
                flights.append(clients.submit(ask, own.local))
        finally:
            over.set()
            killer.join()
        asked = [flight.result() for flight in flights]
    took = time.monotonic() - start
    good = sorted(one.ended for one in asked if not one.trouble)
    longest = max(later - sooner for sooner, later in itertools.pairwise(good))
    failed = [one for one in asked if one.trouble]
    words = (
        f"\n{len(asked)} requests in {took:.1f} s, {len(kills)} links killed: "
        f"{sum(one.trouble == 'ECONNREFUSED' for one in asked)} refused, {len(failed)} failed; "
        f"longest gap between two answers {longest:.2f} s, "
        f"slowest answer {max(one.ended - one.begun for one in asked):.2f} s\n"
    )
    with capsys.disabled():
        sys.stdout.write(words)
    assert len(asked) == 6000
    assert len(kills) in (9, 10)
    assert [one for one in failed if one.trouble == "ECONNREFUSED"] == []
    assert [one for one in failed if not any(kill.caught(one) for kill in kills)] == []
    assert longest < 5
    own.calm()
    assert own.actions(begin) == []
    assert own.acts(begin) == []
    assert own.server.life(life.id) == life
    assert own.logins(begin) == len(kills)
