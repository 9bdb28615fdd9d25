"""Canaries on real sockets: what tells a captive portal, and what does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fakes_clock import FakeClock
from tests.lab.canary import GOOD, LOGIN_PAGE, SENT_AWAY, CanaryServer
from tests.lab.loopback_server import http_answer
from tests.lab.needs import free_port
from tests.lab.waiting import until
from watchdogd.adapters.canaries import ASK_SECONDS, FRESH_SECONDS, Canaries
from watchdogd.adapters.clock import SystemClock
from watchdogd.ports import CanaryFacts, Deadline, HttpAnswer, HttpEnd
from watchdogd.settings import Canary

CLOCK = SystemClock()
GONE = Canary(url=f"http://127.0.0.1:{free_port()}/", body="success")


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def asked(stack: ExitStack, *wires: bytes | None, more: tuple[Canary, ...] = ()) -> CanaryFacts:
    pages = [stack.enter_context(CanaryServer(wire)).page for wire in wires]
    return Canaries([*pages, *more], CLOCK)(soon())


def test_none_configured_nobody_is_asked() -> None:
    assert Canaries((), CLOCK)(soon()) == CanaryFacts()


def test_the_known_body_is_the_network(stack: ExitStack) -> None:
    server = stack.enter_context(CanaryServer())
    assert Canaries([server.page], CLOCK)(soon()) == CanaryFacts(asked=1, good=server.page.url)
    head = server.heads[0].decode().split("\r\n")
    assert head[0] == "GET /success.txt HTTP/1.1"
    assert f"Host: {server.address}" in head


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (LOGIN_PAGE, "another page"),
        (http_answer("200 OK"), "another page"),
        (SENT_AWAY, "a redirection to login.example"),
        (http_answer("307 T", extra="Location: ?\x1b[2J\r\n"), "a redirection elsewhere"),
        (http_answer("511 Network Authentication Required"), "HTTP 511, a log-in is needed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "something that is no HTTP"),
    ],
)
def test_somebody_elses_answer_is_a_portal(stack: ExitStack, wire: bytes, said: str) -> None:
    found = asked(stack, wire)
    assert (found.good, found.said) == ("", said)
    assert found.foreign.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "503 Busy"])
def test_a_page_that_is_gone_or_broken_says_nothing(stack: ExitStack, status: str) -> None:
    assert asked(stack, http_answer(status, b"success")) == CanaryFacts(asked=1)


def test_a_page_that_moved_to_https_says_nothing(stack: ExitStack) -> None:
    moved = http_answer("301 Moved", extra="Location: https://127.0.0.1/success.txt\r\n")
    assert asked(stack, moved) == CanaryFacts(asked=1)


def test_one_good_page_of_three_is_enough(stack: ExitStack) -> None:
    found = asked(stack, LOGIN_PAGE, None, GOOD)
    assert found.good
    assert not found.foreign


def test_pages_that_do_not_answer_say_nothing_and_are_not_waited_for_long(stack: ExitStack) -> None:
    begun = CLOCK.run()
    assert asked(stack, None, more=(GONE,)) == CanaryFacts(asked=2)
    assert CLOCK.run() - begun >= ASK_SECONDS - 0.5


def test_a_name_without_an_address_says_nothing() -> None:
    nowhere = Canary(url="http://nowhere.invalid/", body="success")
    assert Canaries([nowhere], CLOCK)(soon()) == CanaryFacts(asked=1)


class Counted:
    """Counts what is asked; each answer waits for ``go``."""

    def __init__(self) -> None:
        self.times = 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self, page: Canary, deadline: Deadline) -> HttpAnswer:
        self.times += 1
        self.go.wait(30)
        return HttpAnswer(end=HttpEnd.ANSWERED, status=200, body=b"login")


def test_an_answer_is_good_for_15_seconds_and_for_one_network() -> None:
    clock, fetch = FakeClock(), Counted()
    canaries = Canaries([GONE], clock, fetch=fetch)

    def ask(since: float | None = None) -> int:
        assert canaries(Deadline.after(clock, 10), since=since).said == "another page"
        return fetch.times

    assert (ask(), ask()) == (1, 1)
    clock.pass_by(FRESH_SECONDS - 1)
    assert ask() == 1
    assert ask(since=clock.run()) == 2
    assert ask(since=clock.run()) == 2
    clock.pass_by(1)
    canaries.forget()
    assert ask() == 3
    clock.pass_by(FRESH_SECONDS + 1)
    assert ask() == 4
    canaries.use([GONE])
    assert ask() == 4
    canaries.use(())
    assert canaries(Deadline.after(clock, 10)) == CanaryFacts()


def test_a_page_that_hangs_is_not_asked_a_second_time() -> None:
    fetch = Counted()
    fetch.go.clear()
    canaries = Canaries([GONE], CLOCK, fetch=fetch)
    try:
        for _ in range(3):
            assert canaries(soon(0.1)) == CanaryFacts(asked=1)
            canaries.forget()
        assert fetch.times == 1
    finally:
        fetch.go.set()

    def asked_again() -> str:
        canaries.forget()
        return canaries(soon()).said

    until(asked_again, "asked again")
    assert fetch.times == 2


def test_asked_again_and_again_it_always_answers(stack: ExitStack) -> None:
    canaries = Canaries([stack.enter_context(CanaryServer(LOGIN_PAGE)).page], CLOCK)
    for _ in range(50):
        canaries.forget()
        assert canaries(soon()).said == "another page"


def test_who_comes_while_another_asks_waits_no_longer_than_its_own_deadline() -> None:
    fetch = Counted()
    fetch.go.clear()
    canaries = Canaries([GONE], CLOCK, fetch=fetch)
    first = threading.Thread(target=canaries, args=(soon(20),), name="first")
    first.start()
    try:
        assert canaries(soon(0.1)) == CanaryFacts(asked=1)
    finally:
        fetch.go.set()
        first.join(10)
