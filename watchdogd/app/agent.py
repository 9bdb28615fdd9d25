"""The whole agent, put together: this file shows the program.

``Agent(settings)`` builds it, ``start`` lets it run, ``stop`` ends it without a trace. What reads
this: ``run_agent``, and tests that run the agent in their own process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.config_watch import FolderWatch
from watchdogd.adapters.engine_choice import plans
from watchdogd.adapters.event_files import EventFiles
from watchdogd.adapters.instance import InstanceLock, private_folder
from watchdogd.adapters.journal import SqliteJournal
from watchdogd.adapters.port_holder import conflict
from watchdogd.adapters.shared_servers import SshServers
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.app import folders
from watchdogd.app.changes import Changes, compare, impossible
from watchdogd.app.doors import Door, Doors
from watchdogd.app.exchange import exchange
from watchdogd.app.health import health
from watchdogd.app.held import HeldSecrets, InForce
from watchdogd.app.hooks import NO_HOOKS, Hooks
from watchdogd.app.network import Network
from watchdogd.app.notifying import Notifying
from watchdogd.app.parts import close_all, places
from watchdogd.app.reload import Reload, Reloaded
from watchdogd.app.starts import Starts
from watchdogd.app.targets import Builder, InService
from watchdogd.control import ControlServer, Occupied, Orders, StatusAnswers
from watchdogd.core import machine
from watchdogd.core.events import FilesChanged
from watchdogd.core.model import Policy, View
from watchdogd.core.words import Outcome
from watchdogd.errors import ConfigError
from watchdogd.loading import Source
from watchdogd.loop import INBOX_WAIT, STALL_SECONDS, Inbox, Loop, env_of
from watchdogd.ports import Clock, Deadline, Sink
from watchdogd.probes import DECLARED_CAUSES
from watchdogd.settings import Settings
from watchdogd.sinks.log import LogSink
from watchdogd.sinks.memory import MemoryKeeper
from watchdogd.sinks.metrics import MetricsSink
from watchdogd.sinks.recent import RecentFacts
from watchdogd.sinks.recorder import Recorder
from watchdogd.sinks.redact import Redactor
from watchdogd.sinks.series import TunnelFacts
from watchdogd.web import Routes, WebServer
from watchdogd.workers import Workers

log = logging.getLogger(__name__)

STOP_SECONDS = 4.5
"""For the whole end; what still hangs then ends with the process."""
WORKERS_A_TARGET = 8
"""Two lanes, a remedy, a dial, the journal, and room for what hangs."""
METRICS_DOOR, CONTROL_DOOR = "the metrics port", "the control socket"


@dataclass(frozen=True, slots=True, kw_only=True)
class _InForce:
    """The configuration and what was made from it: replaced as a whole."""

    settings: Settings
    targets: Mapping[str, InService]
    secrets: InForce
    keys: frozenset[Path]
    """The files that some target's login depends on."""


def _in_force(settings: Settings, targets: Mapping[str, InService]) -> _InForce:
    tokens = {name: one.parts.tokens for name, one in targets.items()}
    keys = frozenset(path for one in targets.values() for path in one.files())
    return _InForce(settings=settings, targets=targets, secrets=(settings, tokens), keys=keys)


class Agent:
    """One agent on one state folder. Not reusable: after ``stop`` make another."""

    def __init__(
        self,
        settings: Settings,
        *,
        source: Source | None = None,
        dry_run: bool = False,
        harmless_only: bool = False,
        sinks: Sequence[Sink] = (),
        hooks: Hooks = NO_HOOKS,
        idle_seconds: float = INBOX_WAIT,
    ) -> None:
        """Nothing is dialed, bound or answered yet. ``source``: where ``settings`` were read; they are
        taken up anew when they change there. ``idle_seconds``: the decision loop completes a round at
        least so often.

        Raises ``ConfigError``, ``AlreadyRunning``, ``Transient`` (ssh does not tell its
        configuration) or ``OSError`` (the state folder cannot be used).
        """
        self._source = source
        self._hooks = hooks
        self._clock: Clock = SystemClock()
        self._started_wall = self._clock.wall()
        known = plans(settings, settings.targets, self._clock)
        self._state = folders.state_path(settings)
        self._lock = InstanceLock(self._state)
        self._workers = Workers(self._clock, WORKERS_A_TARGET * (1 + len(known)))
        self._inbox = Inbox()
        self._judged: set[str] = set()
        self._journal = SqliteJournal(str(folders.journal_path(self._state)))
        self._starts = Starts(self._journal, self._clock)
        self._network = Network(settings.agent.canaries, lambda: self._now.targets, self._clock)
        self.secrets = HeldSecrets(
            lambda: self._now.secrets, self._clock, lambda: self._notifier.secrets()
        )
        """Whoever writes a line asks it first."""
        self._builder = self._make_builder(dry_run=dry_run, harmless_only=harmless_only)
        self._now = self._first_targets(settings, known)
        self._recent = RecentFacts()
        self._log_sink = LogSink(places(settings))
        self._metrics = MetricsSink(
            self._policies(),
            probes=DECLARED_CAUSES,
            started_wall=self._started_wall,
            version=version("watchdogd"),
        )
        self._memory = MemoryKeeper(self._journal.remember)
        self._notifier = Notifying(
            self._journal, self._state, self._metrics, self._clock, silent=harmless_only,
            redact=Redactor(self.secrets).text,
        )  # fmt: skip
        self._notifier.use(settings.notify, self._policies())
        self._recorder = Recorder(
            EventFiles(folders.events_folder(self._state)),
            self.secrets.at_step,
            version=version("watchdogd"),
        )
        self._loop = self._make_loop(sinks, idle_seconds)
        self._metrics.show(
            self._loop.view, self._totals, self._tunnel, partial(env_of, self._clock)
        )
        self._log_counter = self._metrics.log_handler()
        self._reload = Reload(
            self._load, self._take_up, self._clock, asked=hooks.reloading, ended=self._reloaded
        )
        self._watch = FolderWatch(self._watched, self._files_changed, folders=self._folders)
        self._doors = Doors(
            {METRICS_DOOR: self._open_web, CONTROL_DOOR: self._open_control}, self._clock
        )
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Read the journal, open the doors, and let the loop run."""
        logging.getLogger().addHandler(self._log_counter)
        self._starts.began()
        self._begin(self._now.targets)
        self._doors.open()
        self._watch.start()
        self._network.start()
        self._recorder.start()
        self._memory.start()
        self._notifier.start()
        self._thread.start()
        if self._source is not None:
            self._reload.start()
            self._reload.wish()  # it may have changed between its reading and the watch's beginning

    def reload(self) -> None:
        """Have the configuration read again; returns at once. What is wrong with it is logged."""
        if self._source is None:
            log.warning("this agent was given its configuration and cannot read it again")
        else:
            self._reload.wish(asked=True)

    def stop(self) -> tuple[str, ...]:
        """End everything within 5 s; returns the names of jobs that hang on (empty when all is well)."""
        deadline = Deadline.after(self._clock, STOP_SECONDS)
        self._reload.close(deadline.remaining() / 2)
        if self._thread.is_alive():  # else the loop broke, which is a crash
            self._starts.asked()
        for one in self._now.targets.values():
            one.executor.stop()
        self._loop.stop()
        if self._thread.is_alive():
            self._thread.join(deadline.remaining())
        self._doors.close(deadline)
        close_all(self._now.targets, deadline)
        self._watch.close(deadline.remaining())
        self._network.close(deadline.remaining())
        hanging = self._workers.close(deadline.remaining())
        if not self._memory.close(max(0.1, deadline.remaining())):
            log.warning("what must survive could not be kept in time")
        if not self._notifier.close(max(0.1, deadline.remaining())):
            log.warning("the last messages could not be kept in time")
        if not self._recorder.close(max(0.1, deadline.remaining())):
            log.warning("the last events could not be recorded in time")
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

    def unready(self) -> tuple[str, ...]:
        """The targets that had no verdict since the start, one line each."""
        for name, state in self.view().targets.items():
            if state.verdict.outcome is not Outcome.UNKNOWN:
                self._judged.add(name)
        return tuple(
            f"target {name}: no verdict yet"
            for name in self._now.targets
            if name not in self._judged
        )

    # ------------------------------------------------------------ another configuration

    def _load(self) -> Settings:
        return self._source.load() if self._source is not None else self._now.settings

    def _take_up(self, new: Settings) -> Changes:
        """Get from the settings in force to ``new``. Raises before anything was changed, or not at all."""
        old = self._now.settings
        if problems := impossible(old, new):
            raise ConfigError(problems)
        known = plans(new, new.targets, self._clock)
        before = {name: one.parts.plan for name, one in self._now.targets.items()}
        changes = compare(old, new, before, known)
        after = self._builder.prepare(self._now.targets, new.targets, changes, known)
        exchange(
            self._now.targets,
            after,
            changes,
            inbox=self._inbox,
            clock=self._clock,
            moved=lambda: self._moved(new, after),
        )
        self._begin({name: after[name] for name in changes.begun()})
        if changes.listen:
            self._doors.reopen(METRICS_DOOR, Deadline.after(self._clock, STOP_SECONDS))
        if changes:
            self._hooks.taken_up(new)
        return changes

    def _moved(self, new: Settings, after: Mapping[str, InService]) -> None:
        self._now = _in_force(new, after)
        self._network.canaries.use(new.agent.canaries)
        self._workers.resize(WORKERS_A_TARGET * (1 + len(after)))
        self._judged &= after.keys()
        self._log_sink.places = places(new)
        self._recent.keep(after.keys())
        self._metrics.regroup(self._policies(), self._clock.wall())
        self._notifier.use(new.notify, self._policies())

    def _reloaded(self, how: Reloaded) -> None:
        self._metrics.reloaded(how.at, successful=not how.problems)
        self._hooks.reloaded(how)
        self._watch.look()  # which files matter may have changed

    # ------------------------------------------------------------ the inside

    def _make_builder(self, *, dry_run: bool, harmless_only: bool) -> Builder:
        return Builder(
            state=self._state,
            clock=self._clock,
            workers=self._workers,
            inbox=self._inbox,
            journal=self._journal,
            agent_health=self._health,
            canaries=self._network.canaries,
            redact=Redactor(self.secrets).text,
            servers=SshServers(self._clock),
            token_noted=self.secrets.noted,
            observe=dry_run,
            harmless_only=harmless_only,
        )

    def _make_loop(self, sinks: Sequence[Sink], idle_seconds: float) -> Loop:
        own = (self._log_sink, self._metrics, self._recent, self._memory, self._notifier)
        return Loop(
            {name: one.member() for name, one in self._now.targets.items()},
            self._inbox,
            self._clock,
            step=machine.step,
            first=machine.first,
            anew=machine.anew,
            sinks=(*own, *sinks),
            recorder=self._recorder,
            completed=self._completed,
            idle_seconds=idle_seconds,
        )

    def _first_targets(self, settings: Settings, known: Mapping[str, SshPlan]) -> _InForce:
        """All targets; if one cannot be made, the lock is lifted."""
        try:
            private_folder(folders.token_path(self._state, "").parent)
            private_folder(folders.control_socket(self._state).parent)
            self._builder.end_orphans()
            targets = self._builder.make(settings.targets, known)
            return _in_force(settings, targets)
        except BaseException:
            self._lock.close()
            raise

    def _begin(self, targets: Mapping[str, InService]) -> None:
        for name, one in targets.items():
            one.begin(self._starts.remembered(name))

    def _policies(self) -> dict[str, Policy]:
        return {name: one.policy for name, one in self._now.targets.items()}

    def _run(self) -> None:
        try:
            self._loop.run()  # an exception goes to the thread's hook, with its traceback
        finally:
            self._hooks.ended()

    def _completed(self, seconds: float) -> None:
        self._metrics.round_took(seconds)
        self._notifier.completed()
        self._hooks.completed()

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
        one = self._now.targets.get(name)
        return one.tunnel() if one is not None else TunnelFacts()

    def _watched(self) -> set[Path]:
        return {*self._now.keys, *(self._source.files() if self._source is not None else ())}

    def _folders(self) -> tuple[Path, ...]:
        return self._source.folders() if self._source is not None else ()

    def _files_changed(self, changed: frozenset[Path]) -> None:
        for one in self._now.targets.values():
            if changed & one.files():
                one.letters.post(FilesChanged())
        if changed - self._now.keys:
            self._reload.wish()

    def _open_web(self) -> Door:
        agent = self._now.settings.agent
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
        return ControlServer(folders.control_socket(self._state), self._answer, self._clock)

    def _answer(self, request: Mapping[str, object]) -> dict[str, object]:
        now = self._now
        answers = StatusAnswers(
            self._loop.view,
            now.settings,
            {name: one.parts.tokens for name, one in now.targets.items()},
            self._recent,
            {name: one.parts.links.forward for name, one in now.targets.items()},
            self._clock,
            policies=self._policies(),
            orders=Orders(
                self._loop.view, self._policies(), self._inbox.post, partial(env_of, self._clock)
            ),
            config_problems=self._reload.last().problems,
        )
        return answers(request)
