"""How long the forward is of no use after its link was killed, frozen, slept through or stalled.

Beside autossh tuned as far as people advise: ``-M 0``, ``ServerAliveInterval 5``, ``ServerAliveCountMax 2``.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from bench import link
from bench.report import Figure, say
from bench.scene import forwarding, running, scene, serves
from bench.tunnel_far import Far
from bench.tunnel_speed import ENGINES, opened_echo
from tests.lab.sshd import Sshd
from tests.lab.waiting import until
from watchdogd.adapters.clock import SystemClock
from watchdogd.settings import Address

AUTOSSH = ("autossh", "-M", "0")
OPPONENT = "autossh, ServerAlive 5 x 2"
LANES, TURNS = 4, 5
"""Of each kind at once, and how often each is frozen: 20 times in all."""
STEADY_SECONDS, SPREAD_SECONDS = 11.0, 5.0
"""A link is replaced at once after 10 s of life; then any moment between two keepalives."""
EVERY_SECONDS = 0.2
LONGEST_SECONDS = 90.0
STALL_SECONDS, CONNECTIONS = 40.0, 5
COUNTED_SECONDS = 90.0
SLEEP_SECONDS, NETWORK_SECONDS, HOUR = 6.0, 1.0, 3600.0
_CLOCK = SystemClock()
_REST = threading.Event()
_STARTING = threading.Lock()
"""One after the other: a free port of one is not taken by the next before it is bound."""


def killed(quick: bool) -> Iterator[Figure]:
    """``bench.link``, within the limits of this table."""
    for figure in link.figures(3 if quick else link.REPETITIONS):
        yield replace(figure, limit=0.1)
        yield replace(figure, limit=0.5, measure="ratio", note="")


def frozen(quick: bool) -> Iterator[Figure]:
    """The server's session processes are stopped: nothing is closed, nothing answers, new links are let in."""
    turns = 1 if quick else TURNS
    with ThreadPoolExecutor(2 * LANES, "lane") as lanes:
        asking = [lanes.submit(_freezes, turns, asks=True) for _ in range(LANES)]
        idle = [lanes.submit(_freezes, turns, asks=False) for _ in range(LANES)]
        kinds = (
            ("while a client asks", asking, 5.0, 1 / 3),
            ("on an idle link", idle, 7.0, 1 / 2),
        )
        for name, flights, seconds, part in kinds:
            pairs = [pair for flight in flights for pair in flight.result()]
            figure = Figure(
                name=f"frozen {name}",
                unit="s",
                ours=[ours for ours, _ in pairs],
                opponent=OPPONENT,
                theirs=[theirs for _, theirs in pairs],
                limit=seconds,
                measure="ours",
                worst=True,
            )
            yield figure
            yield replace(figure, limit=round(part, 2), measure="ratio")


def keepalives(quick: bool) -> Iterator[Figure]:
    """What an idle link costs: questions an hour, as the server reads them."""
    with ExitStack() as stack:
        verbose = {"LogLevel": "DEBUG3"}
        ours, theirs = (stack.enter_context(scene(sshd_options=verbose)) for _ in range(2))
        stack.enter_context(running(ours))
        stack.enter_context(forwarding(theirs, *AUTOSSH))
        seconds = COUNTED_SECONDS / 3 if quick else COUNTED_SECONDS
        say(f"keepalives, {seconds:.0f} s")
        with ThreadPoolExecutor(2, "count") as counters:
            rates = list(counters.map(lambda made: _questions(made.sshd, seconds), (ours, theirs)))
    yield Figure(
        name="keepalives of an idle link",
        unit="/h",
        ours=[rates[0]],
        opponent=OPPONENT,
        theirs=[rates[1]],
        limit=1.0,
        measure="ratio",
    )


def stall(quick: bool) -> Iterator[Figure]:
    """Nothing passes for 40 s, then everything does: which open connections still work."""
    with (
        scene(engines=ENGINES, behind=Far) as made,
        running(made),
        forwarding(made, *AUTOSSH) as theirs,
    ):
        places = {
            who: opened
            for who, opened in zip((*ENGINES, OPPONENT), (*made.local, theirs), strict=True)
        }
        riding = {
            who: [opened_echo(place) for _ in range(CONNECTIONS)] for who, place in places.items()
        }
        say(f"a stall of {STALL_SECONDS:.0f} s")
        stopped = made.sshd.session_pids()
        _signal(stopped, signal.SIGSTOP)
        _REST.wait(STALL_SECONDS)
        _signal(stopped, signal.SIGCONT)
        lost = {who: float(sum(not _echoes(one) for one in all)) for who, all in riding.items()}
    for engine in ENGINES:
        yield Figure(
            name=f"lost in a stall of {STALL_SECONDS:.0f} s, {engine}",
            unit=f"of {CONNECTIONS}",
            ours=[lost[engine]],
            opponent=OPPONENT,
            theirs=[lost[OPPONENT]],
            limit=0,
            measure="ours",
        )


def wake(quick: bool) -> Iterator[Figure]:
    """The laptop sleeps, its link dies meanwhile, and the network answers a second after the wake."""
    pairs = []
    for number in range(2 if quick else 5):
        say(f"wake {number + 1}")
        pairs.append(_wakes())
    yield Figure(
        name="awake, from when the network answers",
        unit="s",
        ours=[ours for ours, _ in pairs],
        opponent=OPPONENT,
        theirs=[theirs for _, theirs in pairs],
        limit=2.0,
        measure="ours",
        worst=True,
        note="autossh was not stopped meanwhile: it could count the silence that watchdogd slept through",
    )


# ---------------------------------------------------------------- a frozen link


def _freezes(turns: int, *, asks: bool) -> list[tuple[float, float]]:
    """Seconds until usable again, ours and theirs; each on a server of its own."""
    found = []
    with ExitStack() as stack:
        with _STARTING:
            ours, theirs = (stack.enter_context(scene()) for _ in range(2))
            stack.enter_context(running(ours))
            places = (ours.local[0], stack.enter_context(forwarding(theirs, *AUTOSSH)))
        for _ in range(turns):
            _REST.wait(STEADY_SECONDS + random.random() * SPREAD_SECONDS)  # noqa: S311
            with ThreadPoolExecutor(2) as both:
                times = both.map(
                    lambda made, place: _frozen(made.sshd, place, asks=asks), (ours, theirs), places
                )
            found.append(tuple(times))
            say(
                f"frozen, {'asking' if asks else 'idle'}: {found[-1][0]:.2f} s, autossh {found[-1][1]:.2f} s"
            )
    return found  # type: ignore[return-value]


def _frozen(sshd: Sshd, place: Address, *, asks: bool) -> float:
    stopped, logins = sshd.session_pids(), _logins(sshd)
    begun = _CLOCK.run()
    _signal(stopped, signal.SIGSTOP)
    try:
        if not asks:
            until(lambda: _logins(sshd) > logins, "a new login", LONGEST_SECONDS)
        return _until_served(place, begun)
    finally:
        _signal(stopped, signal.SIGKILL)


def _logins(sshd: Sshd) -> int:
    return sshd.log_text().count("Accepted publickey")


def _until_served(place: Address, begun: float) -> float:
    """Seconds from ``begun``; a new request every 0.2 s, whatever became of those before."""
    served = threading.Event()

    def ask() -> None:
        if serves(place):
            served.set()

    threads = []
    while not served.is_set() and _CLOCK.run() < begun + LONGEST_SECONDS:
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
        served.wait(EVERY_SECONDS)
    taken = _CLOCK.run() - begun
    for thread in threads:
        thread.join()
    return taken


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


# ---------------------------------------------------------------- the others


def _questions(sshd: Sshd, seconds: float) -> float:
    """An hour, from the first to the last global request that the server reads in so many seconds."""
    begin, seen = _CLOCK.run(), sshd.log_text().count("receive packet: type 80")
    times: list[float] = []
    while _CLOCK.run() < begin + seconds:
        _REST.wait(0.02)
        count = sshd.log_text().count("receive packet: type 80")
        times += [_CLOCK.run()] * (count - seen)
        seen = count
    return HOUR * (len(times) - 1) / (times[-1] - times[0])


def _echoes(one: socket.socket) -> bool:
    with one:
        one.settimeout(10)
        try:
            one.sendall(b"x")
            return one.recv(1) == b"x"
        except OSError:
            return False


def _wakes() -> tuple[float, float]:
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(scene()) for _ in range(2))
        slept = ours.folder / "slept"
        slept.write_text("0")
        agent = stack.enter_context(
            running(ours, sys.executable, str(Path(__file__).with_name("waking.py")), str(slept))
        )
        place = stack.enter_context(forwarding(theirs, *AUTOSSH))
        _REST.wait(STEADY_SECONDS)
        servers = [(made.sshd.pid, *made.sshd.session_pids()) for made in (ours, theirs)]
        for pids in servers:
            _signal(pids, signal.SIGSTOP)
        try:
            _sleep(agent.pid, slept)
            _REST.wait(NETWORK_SECONDS)
            _signal([pids[0] for pids in servers], signal.SIGCONT)
            begun = _CLOCK.run()
            with ThreadPoolExecutor(2) as both:
                times = list(
                    both.map(lambda one: _until_served(one, begun), (ours.local[0], place))
                )
        finally:
            for pids in servers:
                _signal(pids[:1], signal.SIGCONT)
                _signal(pids[1:], signal.SIGKILL)
        return times[0], times[1]


def _sleep(pid: int, slept: Path) -> None:
    _signal([pid], signal.SIGSTOP)
    _REST.wait(SLEEP_SECONDS)
    slept.write_text(str(HOUR))
    _signal([pid], signal.SIGCONT)
