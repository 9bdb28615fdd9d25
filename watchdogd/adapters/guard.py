"""The guard: the only way in which something that runs is ended. Implements ``ports.Guard``.

A decision is seconds old when it arrives. So the script that acts (``data/guard.sh``) looks again under a
lock on the server, in one shell: nobody forbids it there, it is the very run that was judged, the runtime
still gives no answer, nothing works in it, and the ledger that all agents share has room.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from watchdogd.adapters.tmux import Tmux
from watchdogd.core.sight import HostSight
from watchdogd.errors import one_line
from watchdogd.ports import (
    Clock,
    Deadline,
    EngineRefused,
    GuardAnswer,
    GuardOrder,
    GuardResult,
    Link,
)
from watchdogd.scripts import Garbled, ask

STOP_SECONDS = 30
"""What a restart gives the container to end by itself."""
LOOK_SECONDS = 30.0
"""Kept back of the deadline for the last look, the ledger and the way home."""
LEAST_ACT_SECONDS = 10
SLACK_HUNDREDTHS, SLACK_A_SECOND = 3.0, 1.0
"""CPU that is no sign of work: three clock ticks, or one per cent of the time since the reading."""
LOOK_AGE_SECONDS = 5.0
"""For the way there."""

_LIMIT = 64 * 1024
_SCRIPTS = ("processes.sh", "guard.sh")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]{0,119}")
_CONTAINER = re.compile(r"[0-9a-f]{64}")
_STARTED = re.compile(r"[0-9TZ:.+-]{10,40}")
_PANE = re.compile(r"[1-9][0-9]{0,9}:[0-9]{1,12}")


class ServerGuard:
    """The guard of the account that the link is logged in as."""

    def __init__(self, current: Callable[[], Link], clock: Clock, tmux: Tmux) -> None:
        self._current = current
        self._clock = clock
        self._tmux = tmux

    def act(self, order: GuardOrder, deadline: Deadline) -> GuardAnswer:
        """As the port says."""
        seconds = int(deadline.remaining() - LOOK_SECONDS)
        if seconds < LEAST_ACT_SECONDS:
            return GuardAnswer(result=GuardResult.MISSING, detail="no time is left for it")
        arguments = [*checked(order), *self._seen(order.seen), str(seconds)]
        who = "person" if order.ordered else "agent"
        words = [*arguments, who, " ".join(self._tmux.options()), *self._action(order, seconds)]
        try:
            lines = ask(self._current(), _SCRIPTS, words, deadline, limit=_LIMIT)
        except Garbled as error:
            raise EngineRefused(str(error)) from error
        return parse(lines)

    def _seen(self, seen: HostSight) -> tuple[str, str, str]:
        """CPU that is no sign of work, the runtime server's own processes, and all others."""
        age = max(0.0, self._clock.run() - seen.read_at) + LOOK_AGE_SECONDS
        slack = max(SLACK_HUNDREDTHS, SLACK_A_SECOND * age)
        servers = " ".join(f"{pid}:{started}" for pid, started in seen.servers)
        others = " ".join(
            f"{one.pid}:{one.started}:{round(one.cpu_seconds * 100)}"
            for one in seen.processes or ()
        )
        return f"{slack:.0f}", servers, others

    def _action(self, order: GuardOrder, seconds: int) -> Sequence[str]:
        if order.container:
            stop = str(min(STOP_SECONDS, seconds // 2))
            return ("docker", "restart", "-t", stop, order.container)
        return self._tmux.kill_argv(order.session, max(1, min(5, seconds // 3)))


def checked(order: GuardOrder) -> tuple[str, ...]:
    """The order's own words for the script. Raises ``ValueError`` for one that no shell may see."""
    session = not order.container
    fits = (
        _KEY.fullmatch(order.key),
        session or _CONTAINER.fullmatch(order.container),
        (_PANE if session else _STARTED).fullmatch(order.run),
        order.seen.processes is not None or order.ordered,
    )
    if not all(fits):
        raise ValueError("the order is not one that a server can be given")
    return (
        "session" if session else "container",
        order.key,
        order.remedy.value,
        str(order.place),
        order.session if session else order.container,
        order.run,
        str(order.per_6h),
        str(order.per_24h),
    )


def parse(lines: Sequence[str]) -> GuardAnswer:
    """The script's answer. Raises ``EngineRefused`` if it is none."""
    values = dict(line.partition("=")[::2] for line in lines if "=" in line)
    result, detail = values.get("result", ""), values.get("detail", "")
    if result not in list(GuardResult):
        raise EngineRefused("the guard on the server gave no answer")
    return GuardAnswer(result=GuardResult(result), detail=one_line(detail, 300))
