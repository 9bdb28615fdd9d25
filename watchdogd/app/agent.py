"""The whole agent, put together: this file shows the program.

``Agent(settings)`` builds it, ``start`` lets it run, ``stop`` ends it without a trace. What reads
this: ``run_agent``, and tests that run the agent in their own process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.config_watch import FolderWatch
from watchdogd.adapters.instance import InstanceLock, private_folder
from watchdogd.adapters.journal import SqliteJournal
from watchdogd.adapters.port_holder import conflict
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.app import folders
from watchdogd.app.doors import Door, Doors
from watchdogd.app.health import health
from watchdogd.app.parts import Parts, close_all, parts_of, plans
from watchdogd.carrying import Executor
from watchdogd.control import ControlServer, Occupied, StatusAnswers
from watchdogd.core import machine
from watchdogd.core.events import FilesChanged, Started
from watchdogd.core.model import View
from watchdogd.core.words import Outcome
from watchdogd.errors import WatchdogdError
from watchdogd.loading import config_secrets
from watchdogd.loop import STALL_SECONDS, Inbox, Loop, Member, env_of
from watchdogd.ports import Clock, Deadline, Sink
from watchdogd.probes import DECLARED_CAUSES, LAPTOP_PROBES, SERVER_PROBES
from watchdogd.remedies import REMEDIES
from watchdogd.settings import Secret, Settings
from watchdogd.sinks.log import LogSink
from watchdogd.sinks.metrics import MetricsSink
from watchdogd.sinks.recent import RecentFacts
from watchdogd.sinks.sentences import Place
from watchdogd.sinks.series import TunnelFacts
from watchdogd.web import Routes, WebServer
from watchdogd.workers import Workers

log = logging.getLogger(__name__)

STOP_SECONDS = 4.5
"""For the whole end; what still hangs then ends with the process."""
WORKERS_A_TARGET = 8
"""Two lanes, a remedy, a dial, the journal, and room for what hangs."""


class Agent:
    """One agent on one state folder. Not reusable: after ``stop`` make another."""

    def __init__(
        self,
        settings: Settings,
        *,
        dry_run: bool = False,
        harmless_only: bool = False,
        sinks: Sequence[Sink] = (),
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is dialed, bound or answered yet. ``ended`` is called when the loop ends.

        Raises ``ConfigError``, ``AlreadyRunning``, ``Transient`` (ssh does not tell its
        configuration) or ``OSError`` (the state folder cannot be used).
        """
        self._settings = settings
        self._ended = ended
        self._clock: Clock = SystemClock()
        self._started_wall = self._clock.wall()
        known = plans(settings, settings.targets, self._clock)
        self._state = folders.state_path(settings)
        self._lock = InstanceLock(self._state)
        self._workers = Workers(self._clock, WORKERS_A_TARGET * (1 + len(known)))
        self._inbox = Inbox()
        self._judged: set[str] = set()
        self._parts = self._make_parts(known)
        self._journal = SqliteJournal(str(folders.journal_path(self._state)))
        self._policies = {
            name: target.policy(observe=dry_run) for name, target in settings.targets.items()
        }
        self._executors = {
            name: self._executor(parts, harmless_only) for name, parts in self._parts.items()
        }
        self._recent = RecentFacts()
        self._metrics = MetricsSink(
            self._policies,
            probes=DECLARED_CAUSES,
            started_wall=self._started_wall,
            version=version("watchdogd"),
        )
        self._loop = self._make_loop(sinks)
        self._metrics.show(
            self._loop.view, self._totals, self._tunnel, partial(env_of, self._clock)
        )
        self._log_counter = self._metrics.log_handler()
        self._watch = FolderWatch(self._watched(), self._files_changed)
        self._doors = Doors(
            {"the metrics port": self._open_web, "the control socket": self._open_control},
            self._clock,
        )
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Read the journal, open the doors, and let the loop run."""
        logging.getLogger().addHandler(self._log_counter)
        for name in self._parts:
            self._inbox.post(name, self._remembered(name))
        self._doors.open()
        self._watch.start()
        self._thread.start()

    def stop(self) -> tuple[str, ...]:
        """End everything within 5 s; returns the names of jobs that hang on (empty when all is well)."""
        deadline = Deadline.after(self._clock, STOP_SECONDS)
        for executor in self._executors.values():
            executor.stop()
        self._loop.stop()
        if self._thread.is_alive():
            self._thread.join(deadline.remaining())
        self._doors.close(deadline)
        close_all(self._parts.values(), deadline)
        self._watch.close(deadline.remaining())
        hanging = self._workers.close(deadline.remaining())
        self._journal.close()
        logging.getLogger().removeHandler(self._log_counter)
        self._lock.close()
        return hanging

    def alive(self) -> bool:
        """False once the loop ended, by ``stop`` or by an exception."""
        return self._thread.is_alive()

    # ------------------------------------------------------------ what others read

    def view(self) -> View:
        """All targets, as of the last step."""
        return self._loop.view()

    def secrets(self) -> Iterator[Secret]:
        """The tokens held now, and the configuration's own: they must not be written anywhere."""
        yield from config_secrets(self._settings)
        for parts in self._parts.values():
            with suppress(WatchdogdError, OSError):
                token = parts.tokens.current()
                if token is not None:
                    yield token

    def unready(self) -> tuple[str, ...]:
        """The targets that had no verdict since the start, one line each."""
        for name, state in self.view().targets.items():
            if state.verdict.outcome is not Outcome.UNKNOWN:
                self._judged.add(name)
        return tuple(
            f"target {name}: no verdict yet" for name in self._parts if name not in self._judged
        )

    # ------------------------------------------------------------ the inside

    def _make_parts(self, known: Mapping[str, SshPlan]) -> dict[str, Parts]:
        """All targets' adapters; if one cannot be made, the others are closed and the lock is lifted."""
        made: dict[str, Parts] = {}
        try:
            private_folder(folders.token_path(self._state, "").parent)
            private_folder(folders.control_socket(self._state).parent)
            for name, plan in known.items():
                made[name] = parts_of(
                    self._settings.targets[name],
                    plan,
                    self._clock,
                    partial(self._inbox.post, name),
                    token_path=folders.token_path(self._state, name),
                    socket_folder=folders.engine_folder(self._state, name),
                    agent_health=self._health,
                )
        except BaseException:
            close_all(made.values(), Deadline.after(self._clock, STOP_SECONDS))
            self._lock.close()
            raise
        return made

    def _executor(self, parts: Parts, harmless_only: bool) -> Executor:
        return Executor(
            parts.reach,
            parts.links,
            self._workers,
            partial(self._inbox.post, parts.target.name),
            laptop=LAPTOP_PROBES,
            server=SERVER_PROBES,
            remedies=REMEDIES,
            journal=self._journal,
            harmless_only=harmless_only,
        )

    def _make_loop(self, sinks: Sequence[Sink]) -> Loop:
        members = {
            name: Member(policy=policy, carrier=self._executors[name])
            for name, policy in self._policies.items()
        }
        places = {
            name: Place(local=str(target.forward.local), host=target.ssh.host)
            for name, target in self._settings.targets.items()
        }
        return Loop(
            members,
            self._inbox,
            self._clock,
            step=machine.step,
            first=machine.first,
            sinks=(LogSink(places), self._metrics, self._recent, *sinks),
            completed=self._metrics.round_took,
        )

    def _run(self) -> None:
        try:
            self._loop.run()  # an exception goes to the thread's hook, with its traceback
        finally:
            self._ended()

    def _remembered(self, name: str) -> Started:
        try:
            charges = self._journal.load(name, env_of(self._clock))
        except OSError as error:
            log.warning("the journal cannot be used (%s): %s is only observed", error, name)
            return Started(journal_ok=False)
        return Started(charges=charges)

    def _health(self) -> str:
        return health(self._workers.health, self._loop.age, STALL_SECONDS)

    def _totals(self) -> Mapping[str, float]:
        pulse = self._loop.pulse()
        return {
            "suspended_seconds_total": pulse.suspended_seconds,
            "resumes_total": pulse.resumes,
            "clock_steps_total": pulse.clock_steps,
        }

    def _tunnel(self, name: str) -> TunnelFacts:
        parts = self._parts[name]
        link, facts = parts.links.status().link, parts.links.forward()
        return TunnelFacts(
            round_trip=link.facts().round_trip if link is not None else None,
            open_connections=facts.open_connections,
            sent_bytes=facts.sent_bytes,
            received_bytes=facts.received_bytes,
        )

    def _watched(self) -> set[Path]:
        return {path for parts in self._parts.values() for path in _files(parts)}

    def _files_changed(self, changed: frozenset[Path]) -> None:
        for name, parts in self._parts.items():
            if changed & _files(parts):
                self._inbox.post(name, FilesChanged())

    def _open_web(self) -> Door:
        agent = self._settings.agent
        routes = Routes(
            metrics=self._metrics.render, round_age=self._loop.age, unready=self.unready
        )
        try:
            server = WebServer(agent.listen, routes, self._clock, agent.allowed_hosts)
        except OSError as error:
            holder = conflict(agent.listen, error)
            raise Occupied(
                f"{agent.listen} is held by {holder}; free it, or set another agent.listen"
            ) from error
        server.start()
        return server

    def _open_control(self) -> Door:
        answers = StatusAnswers(
            self._loop.view,
            self._settings,
            {name: parts.tokens for name, parts in self._parts.items()},
            self._recent,
            {name: parts.links.forward for name, parts in self._parts.items()},
            self._clock,
        )
        return ControlServer(folders.control_socket(self._state), answers, self._clock)


def _files(parts: Parts) -> frozenset[Path]:
    return frozenset(Path(name) for name in (*parts.plan.known_hosts, *parts.plan.identity_files))
