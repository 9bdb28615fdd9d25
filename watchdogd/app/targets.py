"""The targets in service: made, set up differently, and ended, at the start and on each reload."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.engine_choice import why
from watchdogd.adapters.local_command import LocalCommands
from watchdogd.adapters.shared_servers import SshServers
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.app import folders
from watchdogd.app.changes import Changes
from watchdogd.app.parts import Parts, Places, close_all, parts_of, renewed
from watchdogd.carrying import Executor
from watchdogd.core.events import Started
from watchdogd.core.model import Policy
from watchdogd.deaths import DeathWatch
from watchdogd.loop import Inbox, Letterbox, Member
from watchdogd.ports import AskCanaries, Clock, Deadline, Journal
from watchdogd.probes import LAPTOP_PROBES, SERVER_PROBES, TUNNEL_PROBES
from watchdogd.remedies import REMEDIES
from watchdogd.remedies.hook import resume
from watchdogd.settings import TargetSettings
from watchdogd.sinks.series import TunnelFacts
from watchdogd.workers import Workers

log = logging.getLogger(__name__)

CLOSE_SECONDS = 4.5
"""For the links and clients of a target that ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InService:
    """One target and what carries out its commands."""

    parts: Parts
    policy: Policy
    executor: Executor
    letters: Letterbox
    commands: LocalCommands
    deaths: DeathWatch | None
    """Set for ``kind = "container"``."""

    def begin(self, remembered: Started) -> None:
        """It is in service from now on."""
        if self.parts.plan.engine == "openssh":
            log.info("%s: engine %s", self.parts.target.name, why(self.parts.plan))
        self.letters.post(remembered)
        if self.deaths is not None:
            self.deaths.start()

    def take_effect(self) -> None:
        """What begins from now on, and clients that wait from now on, go by these settings."""
        self.executor.retarget(self.parts.reach)
        self.parts.forward.hold_for(self.parts.target.forward.hold)

    def close(self, deadline: Deadline) -> None:
        """End its clients, links, programs and threads."""
        self.commands.stop()
        if self.deaths is not None:
            self.deaths.stop()
        self.parts.close(deadline)
        self.commands.close(deadline)
        if self.deaths is not None:
            self.deaths.join(deadline.remaining())

    def member(self) -> Member:
        """As the decision loop knows it."""
        return Member(policy=self.policy, carrier=self.executor)

    def tunnel(self) -> TunnelFacts:
        """The link's and the forward's own figures."""
        link, facts = self.parts.links.status().link, self.parts.links.forward()
        return TunnelFacts(
            round_trip=link.facts().round_trip if link is not None else None,
            open_connections=facts.open_connections,
            sent_bytes=facts.sent_bytes,
            received_bytes=facts.received_bytes,
        )

    def files(self) -> frozenset[Path]:
        """Those whose change may make a refused login work."""
        plan = self.parts.plan
        own = (*plan.known_hosts, *plan.identity_files)
        return frozenset(Path(name) for name in (*own, *plan.hop_files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Makes targets for one agent."""

    state: Path
    clock: Clock
    workers: Workers
    inbox: Inbox
    journal: Journal
    agent_health: Callable[[], str]
    canaries: AskCanaries
    redact: Callable[[str], str]
    """Takes secrets out of what programs of this machine print."""
    servers: SshServers
    token_noted: Callable[[], None]
    """Called when a token became known."""
    observe: bool = False
    """Whatever the mode: only say what would be done."""
    harmless_only: bool = False

    def end_orphans(self) -> None:
        """What an agent that was killed, or ended too late, left running holds sessions on the server,
        and serves nobody."""
        for pid in ChildLedger(folders.children_folder(self.state)).end_orphans(self.clock):
            told = "ended process %s, which the agent before this one had not ended"
            log.warning(told, pid, extra={"pid": pid})

    def make(
        self, targets: Mapping[str, TargetSettings], plans: Mapping[str, SshPlan]
    ) -> dict[str, InService]:
        """All of them, or none: what was made is closed again. Nothing is dialed or bound.

        Raises ``OSError``, and ``ConfigError`` for an address that cannot be listened on.
        """
        made: dict[str, InService] = {}
        try:
            for name, target in targets.items():
                made[name] = self._one(target, plans[name])
        except BaseException:
            close_all(made, Deadline.after(self.clock, CLOSE_SECONDS))
            raise
        return made

    def prepare(
        self,
        before: Mapping[str, InService],
        targets: Mapping[str, TargetSettings],
        changes: Changes,
        plans: Mapping[str, SshPlan],
    ) -> dict[str, InService]:
        """All ``targets``, made from ``before`` as ``changes`` says. Nothing in service is touched, and if
        one cannot be made, what was made is closed again. Raises as ``make``.
        """
        made = self.make({name: targets[name] for name in changes.begun()}, plans)
        after = {name: made.get(name) or before[name] for name in targets}
        try:
            for name in (*changes.redefined, *changes.retuned):
                after[name] = self._renewed(before[name], targets[name])
        except BaseException:
            close_all(made, Deadline.after(self.clock, CLOSE_SECONDS))
            for name in changes.redefined:
                engine = after[name].parts.engine
                if engine is not None and engine is not before[name].parts.engine:
                    engine.close()
            raise
        return after

    def _renewed(self, one: InService, target: TargetSettings) -> InService:
        """The same tunnel and executor with other settings, which are not in force yet."""
        parts = renewed(one.parts, target, self.clock, self._places(target.name))
        policy, deaths = target.policy(observe=self.observe), one.deaths
        if parts.engine is not one.parts.engine:
            deaths = self._deaths(parts, one.letters)
        return replace(one, parts=parts, policy=policy, deaths=deaths)

    def _one(self, target: TargetSettings, plan: SshPlan) -> InService:
        letters = Letterbox(self.inbox, target.name)
        parts = parts_of(target, plan, self.clock, letters.post, self._places(target.name))
        commands = LocalCommands(self.clock, ChildLedger(folders.children_folder(self.state)))
        executor = Executor(
            parts.reach,
            parts.links,
            self.workers,
            letters.post,
            laptop=LAPTOP_PROBES,
            tunnel=TUNNEL_PROBES,
            server=SERVER_PROBES,
            remedies=REMEDIES,
            journal=self.journal,
            hook=partial(resume, commands.run, self.redact),
            harmless_only=self.harmless_only,
        )
        return InService(
            parts=parts,
            policy=target.policy(observe=self.observe),
            executor=executor,
            letters=letters,
            commands=commands,
            deaths=self._deaths(parts, letters),
        )

    def _deaths(self, parts: Parts, letters: Letterbox) -> DeathWatch | None:
        if parts.engine is None:
            return None
        return DeathWatch(
            parts.engine, parts.links.status, self.clock, letters.post, target=parts.target.name
        )

    def _places(self, name: str) -> Places:
        return Places(
            token_path=folders.token_path(self.state, name),
            socket_folder=folders.engine_folder(self.state, name),
            ssh_folder=folders.ssh_folder(self.state, name),
            children_folder=folders.children_folder(self.state),
            agent_health=self.agent_health,
            canaries=self.canaries,
            servers=self.servers,
            token_noted=self.token_noted,
        )
