"""A forward whose remote port is its own listener: one look is made, and the port is given up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes_ssh import FakeEngine, FakeLink
from tests.lab.engines import KEEPALIVE, MAKERS
from tests.lab.sshd import Sshd, free_port
from tests.lab.tcp_server import TcpServer, answer_http
from tests.ports.test_forward import Quiet, await_true, get, soon
from watchdogd.adapters import self_reach
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.forward import ListeningForward
from watchdogd.adapters.self_reach import SelfReach, this_machine
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import HOLDER_RUNTIME, OWN_ANSWER_HEADER, Deadline, Link
from watchdogd.settings import Address

CLOCK = SystemClock()


class Counting:
    """A link that counts what is opened over it."""

    def __init__(self, link: Link, to: Address | None = None) -> None:
        self._link = link
        self._to = to
        self.opened = 0

    def open(self, to: Address, deadline: object, first: bytes = b"") -> object:
        self.opened += 1
        return self._link.open(self._to or to, deadline, first)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._link, name)


@pytest.fixture
def forward() -> Iterator[ListeningForward]:
    here = Address("127.0.0.1", free_port())
    made = ListeningForward(here, here, 1.0, CLOCK, name="test", same_machine=True)
    made.bind()
    yield made
    made.close(soon())


def over(link: FakeLink | Link, to: Address | None = None) -> Counting:
    return Counting(link, to)


def refused_once(forward: ListeningForward, link: Counting) -> None:
    forward.use(link)  # type: ignore[arg-type]
    answer = get(forward.address)
    assert answer.status == 503
    assert answer.headers[OWN_ANSWER_HEADER] == str(Cause.PORT_CONFLICT)
    assert b"would reach itself" in answer.body  # type: ignore[attr-defined]
    assert link.opened == 1, "one look, and no client of a client"
    facts = forward.facts()
    assert not facts.bound
    assert facts.holder == HOLDER_RUNTIME
    with pytest.raises(Transient, match=r"reach itself") as caught:
        forward.bind()
    assert caught.value.cause is Cause.PORT_CONFLICT
    local = forward.address
    socket.create_server((local.host, local.port)).close()  # the runtime may have it


def test_a_forward_that_reaches_itself_gives_the_port_up(forward: ListeningForward) -> None:
    refused_once(forward, over(FakeEngine(CLOCK).dial(soon(), Quiet())))


@pytest.mark.real
@pytest.mark.parametrize("engine", MAKERS)
def test_so_it_is_over_ssh(forward: ListeningForward, engine: str, tmp_path: Path) -> None:
    with Sshd() as sshd:
        link = MAKERS[engine](sshd.settings(keepalive=KEEPALIVE), tmp_path).dial(soon(), Quiet())
        try:
            refused_once(forward, over(link))
        finally:
            link.close(soon())


def test_another_machine_behind_this_ones_port_is_asked_once(forward: ListeningForward) -> None:
    with TcpServer(answer_http) as far:
        link = over(FakeEngine(CLOCK).dial(soon(), Quiet()), far.address)
        forward.use(link)  # type: ignore[arg-type]
        for _ in range(3):
            assert get(forward.address).status == 200
        assert link.opened == 4
        assert forward.facts().bound


def test_a_runtime_that_hangs_is_looked_at_three_times_and_then_used(
    forward: ListeningForward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_reach, "_ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        link = over(FakeEngine(CLOCK).dial(soon(), Quiet()), Address(*hung.getsockname()))
        forward.use(link)  # type: ignore[arg-type]
        local = forward.address
        for count in (2, 4, 6, 7):
            with socket.create_connection((local.host, local.port), 5) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                await_true(lambda count=count: link.opened == count)  # type: ignore[misc]
        assert forward.facts().bound


def test_a_look_that_arrives_late_still_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_reach, "_ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = Address(*listener.getsockname())
        found = SelfReach(CLOCK)
        link = FakeEngine(CLOCK).dial(soon(), Quiet())
        assert not found.ask(link, here, soon())  # nobody accepted in time
        with listener.accept()[0] as client:
            assert found.is_ours(client)
        assert found.proved()
        assert found.ask(link, here, soon())


def test_on_a_link_that_opens_nothing_each_client_waits_for_its_own_deadline_only() -> None:
    here, opening, go_on = Address("127.0.0.1", free_port()), threading.Event(), threading.Event()
    found, opened = SelfReach(CLOCK), []

    class Wedged:
        def open(self, to: Address, deadline: Deadline) -> object:
            opened.append(to)
            opening.set()
            go_on.wait(deadline.remaining())
            raise Transient(Cause.LINK_LOST, "nothing opens", phase="open")

    def ask(deadline: Deadline) -> str:
        with pytest.raises(Transient) as caught:
            found.ask(Wedged(), here, deadline)  # type: ignore[arg-type]
        return caught.value.detail

    first = threading.Thread(target=ask, args=(soon(),))
    first.start()
    try:
        assert opening.wait(20)
        told = [ask(Deadline.after(CLOCK, 0.05)) for _ in range(3)]
        assert told == ["the link is silent"] * 3
        assert first.is_alive()
        assert len(opened) == 1
    finally:
        go_on.set()
        first.join(20)
    assert ask(soon()) == "nothing opens"  # the next one may look again


def test_a_runtime_that_is_not_there_yet_is_no_loop() -> None:
    here, nobody = Address("127.0.0.1", free_port()), free_port()
    forward = ListeningForward(here, here, 1.0, CLOCK, name="test", same_machine=True)
    try:
        forward.bind()
        link = over(FakeEngine(CLOCK).dial(soon(), Quiet()), Address("127.0.0.1", nobody))
        forward.use(link)  # type: ignore[arg-type]
        answer = get(forward.address)
        assert answer.headers[OWN_ANSWER_HEADER] == str(Cause.RUNTIME_REFUSED)
        assert forward.facts().bound
    finally:
        forward.close(soon())


def test_a_taken_port_may_be_the_runtimes_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as runtime:
        here = Address("127.0.0.1", runtime.getsockname()[1])
        forward = ListeningForward(here, here, 1.0, CLOCK, same_machine=True)
        with pytest.raises(Transient, match=r"perhaps the runtime itself"):
            forward.bind()


def test_what_is_this_machine() -> None:
    assert this_machine("127.0.0.1")
    assert this_machine("localhost")
    assert this_machine(socket.gethostname())
    assert not this_machine("192.0.2.1")
    assert not this_machine("gpu.example.org")
