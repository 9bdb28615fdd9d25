"""Many channels refused at once: each is told as a refusal, none as a dead link."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.engine_sshtunnel import SshtunnelEngine
from watchdogd.adapters.ssh_resolve import resolve
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline
from watchdogd.settings import Address

CLOCK = SystemClock()
AT_ONCE, TIMES = 8, 20


class Quiet:
    """News that nobody listens to."""

    def silent(self) -> None: ...

    def speaking(self) -> None: ...

    def lost(self, detail: str) -> None: ...


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


@pytest.mark.real
def test_refusals_side_by_side_keep_their_reason(sshd: Sshd) -> None:
    link = SshtunnelEngine(resolve(sshd.settings(), soon()), 5.0, CLOCK).dial(soon(), Quiet())
    nobody = Address("127.0.0.1", free_port())
    together = threading.Barrier(AT_ONCE)
    causes: Counter[Cause] = Counter()

    def ask() -> None:
        for _ in range(TIMES):
            together.wait(20)
            try:
                link.open(nobody, soon()).close()
            except (Transient, Permanent) as error:
                causes[error.cause] += 1

    threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        link.close(soon())
    assert causes == {Cause.RUNTIME_REFUSED: AT_ONCE * TIMES}
