"""``watchdogd check``: one deep round of one or all targets, without an agent, and beside one."""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from watchdogd.adapters.canaries import Canaries
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.engine_choice import plans
from watchdogd.adapters.shared_servers import SshServers
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.app.folders import children_folder, state_path, token_path
from watchdogd.app.local_port import stranger_on, with_stranger
from watchdogd.app.parts import Parts, Places, parts_of
from watchdogd.app.results import CheckResult, result_of
from watchdogd.carrying import Executor
from watchdogd.carrying.executor import DIAL_SECONDS
from watchdogd.core.commands import Probe
from watchdogd.core.events import Event, Observed
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Clock, Deadline
from watchdogd.probes import LAPTOP_PROBES, SERVER_PROBES, TUNNEL_PROBES
from watchdogd.settings import Address, Settings, TargetSettings
from watchdogd.workers import Answer, Raised, Value, Workers

CHECK_SECONDS = 90.0
"""For everything: a dial, a round, the end."""
ROUND_SECONDS = 45.0
"""Beyond the lanes' own deadlines, unless they are long: then the check says that it did not end."""
CLOSE_SECONDS = 5.0
JOBS_A_TARGET = 4
"""The check itself, two lanes, and one to spare."""


def check_targets(settings: Settings, names: Iterable[str]) -> Mapping[str, CheckResult]:
    """Dial, put a forward on a free port, run every probe once, judge. Repairs nothing.

    A local port that somebody else than our own agent holds is ``port_conflict``, and the target is
    down: no client can reach it, as the agent itself would say.

    Ends within about 100 s. Raises ``ConfigError`` if a host needs another engine, ``Transient`` if
    ssh does not tell its configuration, or the check itself does not end.
    """
    clock = SystemClock()
    wanted = tuple(dict.fromkeys(names))
    known = plans(settings, wanted, clock)
    canaries = Canaries(settings.agent.canaries, clock)
    workers, servers = Workers(clock, JOBS_A_TARGET * len(wanted)), SshServers(clock)
    answers: queue.SimpleQueue[tuple[str, Answer[CheckResult]]] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="watchdogd-") as folder:
        for name in wanted:
            target = settings.targets[name]
            job = partial(
                _check,
                target,
                known[name],
                clock,
                workers,
                servers,
                state_path(settings),
                Path(folder) / name,
                canaries,
            )
            workers.submit(
                f"check {name}",
                job,
                CHECK_SECONDS,
                lambda answer, name=name: answers.put((name, answer)),  # type: ignore[misc]
            )
        try:
            found = dict(answers.get() for _ in wanted)
        finally:
            workers.close(CLOSE_SECONDS)
    return {name: _value(name, found[name]) for name in wanted}


def _value(name: str, answer: Answer[CheckResult]) -> CheckResult:
    match answer:
        case Value(result):
            return result
        case Raised(error):
            raise error
        case _:
            raise Transient(Cause.AGENT, f"the check of {name} did not end in time")


def _check(
    target: TargetSettings,
    plan: SshPlan,
    clock: Clock,
    workers: Workers,
    servers: SshServers,
    state_dir: Path,
    folder: Path,
    canaries: Canaries,
) -> CheckResult:
    news: queue.SimpleQueue[Event] = queue.SimpleQueue()
    local = target.forward.local
    stranger = stranger_on(local, state_dir)
    elsewhere = replace(target.forward, local=Address(local.host, 0))
    parts = parts_of(
        replace(target, forward=elsewhere),
        plan,
        clock,
        news.put,
        Places(
            token_path=token_path(state_dir, target.name),
            socket_folder=folder,
            ssh_folder=folder / "ssh",
            children_folder=children_folder(state_dir),
            agent_health=lambda: "",
            canaries=canaries,
            servers=servers,
        ),
    )
    try:
        observed = _round(parts, clock, workers, news)
    finally:
        parts.close(Deadline.after(clock, CLOSE_SECONDS))
    seen = observed.observations
    if stranger:
        seen = with_stranger(seen, local, stranger, target.name)
    return result_of(seen, target.runtime.kind)


def _round(
    parts: Parts, clock: Clock, workers: Workers, news: queue.SimpleQueue[Event]
) -> Observed:
    parts.forward.bind()
    here = replace(parts.target.forward, local=parts.forward.address)
    reach = replace(parts.reach, target=replace(parts.target, forward=here))
    parts.links.dial(1, Deadline.after(clock, DIAL_SECONDS))
    executor = Executor(
        reach,
        parts.links,
        workers,
        news.put,
        laptop=LAPTOP_PROBES,
        tunnel=TUNNEL_PROBES,
        server=SERVER_PROBES,
        remedies={},
        journal=None,
    )
    executor.probe(Probe(round=1, deep=True))
    deadline = Deadline.after(clock, ROUND_SECONDS)
    while not deadline.passed():
        with suppress(queue.Empty):
            event = news.get(timeout=max(0.01, deadline.remaining()))
            if isinstance(event, Observed):
                return event
    raise Transient(Cause.AGENT, f"the round of {parts.target.name} did not end in time")
