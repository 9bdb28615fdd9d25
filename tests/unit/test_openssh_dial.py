"""How long a dial of engine ``openssh`` waits for what ssh says."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.dial_attempts import Attempt
from watchdogd.adapters.engine_openssh import OpensshEngine
from watchdogd.adapters.openssh_child import SshChild
from watchdogd.adapters.openssh_mux import Mux
from watchdogd.adapters.openssh_said import Said
from watchdogd.adapters.ssh_resolve import plan_from
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Deadline
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
