"""One target's adapters, put together: what probes, remedies and links of it are given."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.container_engine import open_container_engine
from watchdogd.adapters.engine_openssh import OpensshEngine
from watchdogd.adapters.engine_sshtunnel import SshtunnelEngine
from watchdogd.adapters.forward import ListeningForward
from watchdogd.adapters.guard import ServerGuard
from watchdogd.adapters.http import get
from watchdogd.adapters.route import Route
from watchdogd.adapters.self_reach import this_machine
from watchdogd.adapters.server_http import ServerHttp
from watchdogd.adapters.shared_servers import SharedEngine, SshServers
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.adapters.tmux import Tmux
from watchdogd.adapters.tokens import TokenFile
from watchdogd.core.events import Event
from watchdogd.core.words import Kind
from watchdogd.links import TargetLinks
from watchdogd.ports import AskCanaries, Clock, ContainerEngine, Deadline, Reach, SshEngine
from watchdogd.settings import Settings, TargetSettings
from watchdogd.sinks.sentences import Place

COMMANDS_AT_ONCE = 2
"""A round's and a remedy's."""
SESSIONS_OF = {Kind.CONTAINER: COMMANDS_AT_ONCE + 2}
"""Of the container engine's API one listens to events, and one asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One target, ready for use; nothing of it has been dialed or bound."""

    target: TargetSettings
    plan: SshPlan
    forward: ListeningForward
    links: TargetLinks
    tokens: TokenFile
    engine: ContainerEngine | None
    route: Route
    reach: Reach

    def close(self, deadline: Deadline) -> None:
        """End the forward, its clients, the links and the container engine's socket."""
        self.links.close(deadline)
        if self.engine is not None:
            self.engine.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What the parts of one target are given of the agent."""

    token_path: Path
    """Where a made token is kept."""
    socket_folder: Path
    """0700, with a short path: for the container engine's socket."""
    ssh_folder: Path
    """0700, with a short path: for the control sockets of engine ``openssh``."""
    children_folder: Path
    """Where that engine's children are written down."""
    agent_health: Callable[[], str]
    canaries: AskCanaries
    servers: SshServers
    """Where targets of one server meet."""
    token_noted: Callable[[], None] = lambda: None
    """Called when a token became known."""


def parts_of(
    target: TargetSettings,
    plan: SshPlan,
    clock: Clock,
    post: Callable[[Event], None],
    places: Places,
) -> Parts:
    """The adapters of one target. Raises ``OSError`` if its socket folder cannot be made."""
    forward = ListeningForward(
        target.forward.local,
        target.forward.remote,
        target.forward.hold,
        clock,
        name=target.name,
        same_machine=not plan.first_hop and this_machine(plan.host),
    )
    engine = _engine(target, plan, clock, places)
    links = TargetLinks(engine, forward, clock, post, target=target.name, order=engine.order)
    return _behind(target, plan, forward, links, None, clock, places)


def _engine(target: TargetSettings, plan: SshPlan, clock: Clock, places: Places) -> SharedEngine:
    return places.servers.engine(
        plan,
        target.ssh.keepalive,
        SESSIONS_OF.get(target.runtime.kind, COMMANDS_AT_ONCE),
        lambda: _dialer(target, plan, clock, places),
    )


def _dialer(target: TargetSettings, plan: SshPlan, clock: Clock, places: Places) -> SshEngine:
    if plan.engine == "sshtunnel":
        return SshtunnelEngine(plan, target.ssh.keepalive, clock, name=target.name)
    return OpensshEngine(
        plan,
        target.ssh.keepalive,
        clock,
        folder=places.ssh_folder,
        ledger=ChildLedger(places.children_folder),
        name=target.name,
    )


def renewed(parts: Parts, target: TargetSettings, clock: Clock, places: Places) -> Parts:
    """The same tunnel with other settings of what is behind it. ``target`` must differ in nothing that
    the tunnel is made from. Nothing of ``parts`` is changed or closed. Raises ``OSError`` as ``parts_of``."""
    if target.runtime == parts.target.runtime:
        return replace(parts, target=target, reach=replace(parts.reach, target=target))
    return _behind(target, parts.plan, parts.forward, parts.links, parts.engine, clock, places)


def _behind(
    target: TargetSettings,
    plan: SshPlan,
    forward: ListeningForward,
    links: TargetLinks,
    engine: ContainerEngine | None,
    clock: Clock,
    places: Places,
) -> Parts:
    """What reaches the runtime through the tunnel. ``engine``: one that is there already."""
    kind = target.runtime.kind
    if kind is not Kind.CONTAINER:
        engine = None
    elif engine is None:
        engine = open_container_engine(links.current, str(places.socket_folder), clock)
    tmux = Tmux(links.current, clock)
    tokens = TokenFile(str(places.token_path), target.runtime.token_file, places.token_noted)
    route = Route(plan.first_hop or plan.host)
    reach = Reach(
        target=target,
        clock=clock,
        links=links,
        http=get,
        ask_on_server=ServerHttp(links.current, clock),
        route=route,
        canaries=places.canaries,
        tokens=tokens,
        engine=engine,
        sessions=None if kind is Kind.EXTERNAL else tmux,
        guard=ServerGuard(links.current, clock, tmux),
        agent_health=places.agent_health,
    )
    return Parts(
        target=target,
        plan=plan,
        forward=forward,
        links=links,
        tokens=tokens,
        engine=engine,
        route=route,
        reach=reach,
    )


class Closable(Protocol):
    """What has an end that may take its time."""

    def close(self, deadline: Deadline) -> None: ...


def close_all(named: Mapping[str, Closable], deadline: Deadline) -> None:
    """Close them side by side: a client that does not let go of one forward holds up no other."""
    threads = [
        threading.Thread(target=one.close, args=(deadline,), name=f"{name}-end", daemon=True)
        for name, one in named.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(deadline.remaining())


def places(settings: Settings) -> dict[str, Place]:
    """Where each target listens and leads, for the log."""
    return {
        name: Place(local=str(target.forward.local), host=target.ssh.host)
        for name, target in settings.targets.items()
    }
