"""Where a dial of engine ``openssh`` goes, and how long it waits for what ssh says."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import cast

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters import engine_openssh
from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.dial_attempts import Attempt, Hold
from watchdogd.adapters.engine_openssh import OpensshEngine
from watchdogd.adapters.openssh_child import SshChild
from watchdogd.adapters.openssh_mux import Mux
from watchdogd.adapters.openssh_said import Said
from watchdogd.adapters.ssh_connect import Found
from watchdogd.adapters.ssh_resolve import SshPlan, plan_from
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Deadline, LinkNews
from watchdogd.settings import SshSettings

TO_THE_LOGIN = (
    "debug1: Connecting to abc.com [192.0.2.7] port 22.",
    "debug1: Connection established.",
    "debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1",
    "debug1: SSH2_MSG_NEWKEYS received",
)
IN = 'Authenticated to abc.com ([192.0.2.7]:22) using "publickey".'


class Child:
    """An ssh that says one line each so many seconds."""

    def __init__(self, clock: FakeClock, lines: tuple[str, ...], each: float) -> None:
        self.said, self.ended = Said(), threading.Event()
        self._clock, self._began = clock, clock.run()
        self._lines, self._each = list(lines), each

    def await_news(self, seen: int, seconds: float) -> int:
        self._clock.pass_by(max(0.01, seconds))
        while self._lines and self._clock.run() - self._began >= (seen + 1) * self._each:
            self.said.hear(self._lines.pop(0))
            seen += 1
        return seen


class Listens:
    """The control socket."""

    def answers(self, deadline: Deadline) -> bool:
        return True


def took(tmp_path: Path, lines: tuple[str, ...], each: float) -> float:
    """Seconds until it was logged in; raises as a dial."""
    clock = FakeClock()
    plan = plan_from(SshSettings(host="abc.com", user="u"), {})
    engine = OpensshEngine(plan, 5.0, clock, folder=tmp_path, ledger=ChildLedger(tmp_path))
    child, began = Child(clock, lines, each), clock.run()
    mux, limit = cast(Mux, Listens()), Deadline.after(clock, 30.0)
    engine._await_ready(cast(SshChild, child), mux, Attempt(), limit)
    return clock.run() - began


def test_a_login_over_a_slow_line_has_its_time(tmp_path: Path) -> None:
    """As over 4 s there and back: 4 s to the banner, 20 s for the login."""
    waiting = ("",) * 20
    assert took(tmp_path, (*TO_THE_LOGIN, *waiting, IN), 1.0) == pytest.approx(25.0, abs=0.3)


def test_who_was_quick_and_stops_in_the_login_is_given_up_sooner(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="login was not answered") as raised:
        took(tmp_path, (*TO_THE_LOGIN, *("",) * 200, IN), 0.1)  # logged in after 20 s
    assert (raised.value.cause, raised.value.phase) == (Cause.HOST_UNREACHABLE, "auth")


class Ways:
    """An engine of which is kept where it sends ssh."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.found: tuple[Found, ...] | None = tuple(
            (socket.AF_INET, (f"192.0.2.{n}", 22)) for n in (1, 2, 3)
        )
        self.attempt = Attempt()
        self.sent: list[tuple[str, int]] = []
        plan = plan_from(SshSettings(host="abc.com", user="u"), {})
        self.engine = OpensshEngine(
            plan, 5.0, FakeClock(), folder=folder, ledger=ChildLedger(folder)
        )
        monkeypatch.setattr(engine_openssh, "addresses", self._addresses)
        monkeypatch.setattr(engine_openssh, "ways_to", len)
        monkeypatch.setattr(engine_openssh, "agent_answers", lambda plan, limit: False)
        monkeypatch.setattr(self.engine, "_enter", self._enter)

    def dial(self) -> None:
        limit = Deadline.after(FakeClock(), 30.0)
        self.engine._try(limit, self.attempt, cast(LinkNews, None))

    def _addresses(self, plan: SshPlan, limit: Deadline, hold: Hold) -> tuple[Found, ...]:
        if self.found is None:
            raise Transient(Cause.DNS, "no name")
        return self.found

    def _enter(self, name: str, way: engine_openssh._Way, *_: object, **__: object) -> None:
        self.sent.append((way.address, way.addresses))


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ways:
    return Ways(monkeypatch, tmp_path)


def test_ssh_goes_to_the_name_and_knows_how_many_addresses_it_has(ways: Ways) -> None:
    """Also after it reached one: `Match host`, certificates and tickets go by the name."""
    ways.engine._last_good = "192.0.2.2"
    ways.dial()
    assert ways.sent == [("", 3)]


def test_a_broken_name_service_is_got_around_by_the_last_address(ways: Ways) -> None:
    ways.found = None
    with pytest.raises(Transient, match="no name"):
        ways.dial()
    ways.engine._last_good = "192.0.2.2"
    ways.dial()
    assert ways.sent == [("192.0.2.2", 1)]


@pytest.mark.parametrize("resolved", [True, False])
def test_for_a_dial_that_was_given_up_no_ssh_is_started(ways: Ways, resolved: bool) -> None:
    ways.engine._last_good = "192.0.2.2"
    ways.found = ways.found if resolved else None
    ways.attempt.give_up()
    with pytest.raises(Transient):
        ways.dial()
    assert ways.sent == []
