"""From a name to addresses: what the resolver says is kept whole."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence

import pytest

from tests.fakes_clock import FakeClock
from tests.lab.sockets import connected
from watchdogd.adapters import engine_sshtunnel, ssh_connect
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.dial_attempts import Attempt, Hold
from watchdogd.adapters.engine_sshtunnel import SshtunnelEngine
from watchdogd.adapters.ssh_connect import addresses, await_banner, connect, ways_to
from watchdogd.adapters.ssh_resolve import plan_from
from watchdogd.errors import Transient
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings


def test_a_link_local_address_keeps_its_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ("fe80::1", 22, 0, 7)

    def resolver(*_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", told)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    plan = plan_from(SshSettings(host="h", user="u"), {})
    assert addresses(plan, Deadline.after(SystemClock(), 5.0), Attempt().hold) == (
        (socket.AF_INET6, told),
    )


@pytest.mark.parametrize(
    ("seconds", "many", "given"),
    [
        (30.0, 1, [5.0]),
        (3.0, 1, [2.0]),
        (30.0, 3, [5.0, 5.0, 5.0]),
        (9.0, 3, [2.0, 7 / 3, 28 / 9]),
    ],
)
def test_dead_addresses_leave_the_others_their_turn(
    monkeypatch: pytest.MonkeyPatch, seconds: float, many: int, given: list[float]
) -> None:
    clock, tried = FakeClock(), list[float]()

    def dead(
        family: socket.AddressFamily, address: object, limit: float, hold: Hold
    ) -> socket.socket:
        tried.append(limit)
        clock.pass_by(limit)
        raise TimeoutError

    monkeypatch.setattr(ssh_connect, "_connect_one", dead)
    found = [(socket.AF_INET, ("192.0.2.1", 22))] * many
    with pytest.raises(Transient, match="timed out"):
        connect(found, "h:22", Deadline.after(clock, seconds), Attempt().hold)
    assert tried == pytest.approx(given)


def test_the_address_that_was_reached_last_is_dialed_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near, far = connected()
    found = tuple((socket.AF_INET, (host, 22)) for host in ("192.0.2.1", "192.0.2.2"))
    reached, orders = ("192.0.2.2", 22), list[list[str]]()

    class Reached(socket.socket):
        def getpeername(self) -> tuple[str, int]:
            return reached

    def reach(
        asked: Sequence[ssh_connect.Found], shown: str, deadline: Deadline, hold: Hold
    ) -> socket.socket:
        orders.append([address[0] for _, address in asked])
        return Reached(fileno=os.dup(near.fileno()))

    monkeypatch.setattr(engine_sshtunnel, "addresses", lambda plan, deadline, hold: found)
    monkeypatch.setattr(engine_sshtunnel, "connect", reach)
    plan = plan_from(SshSettings(host="h", user="u"), {})
    engine = SshtunnelEngine(plan, 5.0, SystemClock())
    for _ in range(2):
        engine._connect(Attempt(), Deadline.after(SystemClock(), 5.0)).close()
    assert orders == [["192.0.2.1", "192.0.2.2"], ["192.0.2.2", "192.0.2.1"]]
    near.close()
    far.close()


def test_a_name_whose_resolver_hangs_is_left_once_the_dial_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempt, may_end = Attempt(), threading.Event()

    def resolver(*_: object) -> list[tuple[object, ...]]:
        attempt.give_up()
        may_end.wait(5)  # sooner than the resolver's limit: who waits for this gets an answer
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    plan = plan_from(SshSettings(host="h", user="u"), {})
    try:
        with pytest.raises(Transient, match="not resolved"):
            addresses(plan, Deadline.after(FakeClock(), 20.0), attempt.hold)
    finally:
        may_end.set()


def test_a_dial_that_was_given_up_connects_to_no_further_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        attempt = Attempt()
        attempt.give_up()
        found = [(socket.AF_INET, listener.getsockname())] * 2
        with pytest.raises(Transient, match="another one"):
            connect(found, "h:22", Deadline.after(SystemClock(), 5.0), attempt.hold)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_only_addresses_that_there_is_a_way_to_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    here = (socket.AF_INET, ("127.0.0.1", 22))
    nowhere = (socket.AF_INET, ("255.255.255.255", 22))  # not without SO_BROADCAST
    assert ways_to([here, here]) == 2
    assert ways_to([here, nowhere]) == 1
    assert ways_to([nowhere]) == 1


def test_a_port_that_says_nothing_may_be_no_ssh_server() -> None:
    near, far = socket.socketpair()
    with near, far, pytest.raises(Transient, match="is there an SSH server on that port"):
        await_banner(near, Deadline.after(SystemClock(), 0.05))
