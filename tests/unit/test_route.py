"""``Route``: routing table and resolver, without a packet to anybody."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.route import Route
from watchdogd.ports import Deadline

CLOCK = SystemClock()


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_not_asked_of_the_resolver(host: str) -> None:
    def never(name: str) -> Sequence[str]:
        raise AssertionError(name)

    found = Route(host, never)(soon())
    assert (found.routed, found.resolved, found.address) == (True, None, host)


def test_a_name_that_resolves() -> None:
    found = Route("localhost")(soon())
    assert (found.routed, found.resolved) == (True, True)
    assert found.address in ("127.0.0.1", "::1")


def test_a_name_that_does_not_resolve_is_named() -> None:
    found = Route("nowhere.invalid")(soon())
    assert found.resolved is False
    assert "nowhere.invalid" in found.error
    assert found.address == ""


def test_the_last_good_address_is_looked_at_when_the_name_fails() -> None:
    answers: list[Sequence[str] | OSError] = [["127.0.0.1"], socket.gaierror(-3, "try again")]

    def resolver(host: str) -> Sequence[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    looker = Route("abc.invalid", resolver)
    looker(soon())
    found = looker(soon())
    assert (found.routed, found.resolved, found.address) == (True, False, "127.0.0.1")
    assert "try again" in found.error


def test_a_resolver_that_hangs_is_not_waited_for_and_not_asked_twice() -> None:
    over, asked = threading.Event(), []

    def hangs(host: str) -> Sequence[str]:
        asked.append(host)
        over.wait(30)
        return ["127.0.0.1"]

    looker = Route("abc.invalid", hangs)
    begun = time.monotonic()
    try:
        first, second = looker(soon(0.2)), looker(soon(0.2))
    finally:
        over.set()
    assert time.monotonic() - begun < 3
    assert (first.resolved, second.resolved) == (False, False)
    assert asked == ["abc.invalid"]
    assert looker(soon()).resolved is True


@pytest.mark.parametrize("host", ["..", "a" * 300, "\u00e4" * 300, "x y"])
def test_an_odd_name_is_no_crash(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def encodes_only(name: str) -> Sequence[str]:
        name.encode("idna")
        raise socket.gaierror(-2, "Name or service not known")

    found = Route(host, encodes_only)(soon())
    assert found.resolved is False
    assert found.error


@pytest.mark.skipif(not hasattr(socket, "AF_INET6"), reason="no IPv6")
def test_one_way_is_enough() -> None:
    found = Route("abc.invalid", lambda host: ["240.0.0.1", "127.0.0.1"])(soon())
    assert found.routed is True
