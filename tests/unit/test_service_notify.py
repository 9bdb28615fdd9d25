"""Datagrams to the service manager: what, when, and that nothing depends on them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters.service_notify import ServiceNotify


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5.0)
        yield listener


def environ(manager: socket.socket, **over: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), "HOME": "/h", **over}


def heard(manager: socket.socket) -> list[str]:
    """All that was said so far."""
    manager.setblocking(False)
    found = []
    try:
        while True:
            found.append(manager.recv(65536).decode())
    except BlockingIOError:
        return found


def test_the_variables_are_taken_away_from_children(manager: socket.socket) -> None:
    given = environ(manager, WATCHDOG_USEC="2000000", WATCHDOG_PID=str(os.getpid()))
    ServiceNotify(given, FakeClock())
    assert given == {"HOME": "/h"}


def test_each_message_is_one_datagram(manager: socket.socket) -> None:
    notify = ServiceNotify(environ(manager), FakeClock())
    notify.ready()
    notify.reloading()
    notify.status("a100 up\nb200 down")
    notify.status("a100 up b200 down")
    notify.stopping()
    notify.status("a100 up")
    ready, reloading, status, stopping = heard(manager)
    assert (ready, status, stopping) == (
        "READY=1",
        "STATUS=a100 up b200 down",
        "STOPPING=1\nSTATUS=stopped",
    )
    assert reloading == "RELOADING=1\nMONOTONIC_USEC=1000000000"


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0watchdogd-test-{os.getpid()}")
        listener.settimeout(5.0)
        ServiceNotify({"NOTIFY_SOCKET": f"@watchdogd-test-{os.getpid()}"}, FakeClock()).ready()
        assert listener.recv(100) == b"READY=1"


def test_it_beats_as_often_as_wanted_and_not_more(manager: socket.socket) -> None:
    clock = FakeClock()
    notify = ServiceNotify(environ(manager, WATCHDOG_USEC="180000000"), clock)
    assert notify.wanted_within() == 45.0
    for _ in range(180):
        notify.beat()
        clock.pass_by(1.0)
    beats = heard(manager)
    assert set(beats) == {"WATCHDOG=1"}
    assert 6 <= len(beats) <= 9


@pytest.mark.parametrize(
    "over", [{}, {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}]
)
def test_no_watchdog_of_ours_no_beat(manager: socket.socket, over: dict[str, str]) -> None:
    notify = ServiceNotify(environ(manager, **over), FakeClock())
    notify.beat()
    assert (heard(manager), notify.wanted_within()) == ([], None)


@pytest.mark.parametrize("place", ["", "/nowhere/notify", "vsock:2:1"])
def test_without_a_manager_nothing_happens(place: str, caplog: pytest.LogCaptureFixture) -> None:
    notify = ServiceNotify({"NOTIFY_SOCKET": place} if place else {}, FakeClock())
    notify.ready()
    notify.status("x")
    notify.beat()
    assert caplog.text.count("cannot be told") == (1 if place.startswith("/") else 0)


def test_a_manager_that_does_not_read_holds_nobody_up(manager: socket.socket) -> None:
    notify = ServiceNotify(environ(manager), FakeClock())
    for number in range(2000):  # more than its queue takes
        notify.status(f"{number}")
        if notify._failed:
            break
    assert notify._failed
    assert heard(manager)[0] == "STATUS=0"
    notify.status(f"{number}")  # what was lost is told again once there is room
    assert heard(manager) == [f"STATUS={number}"]


def test_a_long_status_is_cut_at_a_letter(manager: socket.socket) -> None:
    ServiceNotify(environ(manager), FakeClock()).status("ü" * 5000)
    (told,) = heard(manager)
    assert set(told.removeprefix("STATUS=")) == {"ü"}
    assert len(told.encode()) <= 1600
