"""Many channels refused at once: each is told as a refusal, none as a dead link."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.engines import MAKERS
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from watchdogd.adapters.clock import SystemClock
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline, SshEngine
from watchdogd.settings import Address, SshSettings

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
@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_refusals_side_by_side_keep_their_reason(
    make: Callable[[SshSettings, Path], SshEngine], sshd: Sshd, tmp_path: Path
) -> None:
    link = make(sshd.settings(), tmp_path).dial(soon(), Quiet())
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
