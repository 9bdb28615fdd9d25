"""What a new configuration asks for, compared with the one in force. Pure: two records in, one out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Kind
from watchdogd.errors import Problem
from watchdogd.settings import ForwardSettings, Settings, TargetSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Each name in at most one of these."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    """Their tunnel changed: the server, the login or the addresses. It is closed, and made anew."""
    redefined: tuple[str, ...] = ()
    """Their tunnel stays; what is behind it is described anew."""
    retuned: tuple[str, ...] = ()
    """Other numbers only."""
    listen: bool = False
    """Where the agent is asked over HTTP, or by whom, changed."""
    notify: bool = False
    """Who is told, and where."""
    agent: bool = False
    """Any other of the agent's own settings changed."""

    def ended(self) -> tuple[str, ...]:
        """Whose tunnel ends."""
        return (*self.removed, *self.rebuilt)

    def begun(self) -> tuple[str, ...]:
        """Whose tunnel is made."""
        return (*self.rebuilt, *self.added)

    def __bool__(self) -> bool:
        return self != Changes()

    def __str__(self) -> str:
        told = {
            "added": self.added,
            "removed": self.removed,
            "tunnel made anew": self.rebuilt,
            "runtime described anew": self.redefined,
            "other numbers": self.retuned,
        }
        parts = [f"{what}: {', '.join(names)}" for what, names in told.items() if names]
        if self.listen:
            parts.append("other address of the metrics port")
        if self.notify:
            parts.append("whom to tell")
        if self.agent:
            parts.append("the agent's own settings")
        return "; ".join(parts) or "nothing that matters here"


def compare(
    old: Settings,
    new: Settings,
    old_plans: Mapping[str, SshPlan],
    new_plans: Mapping[str, SshPlan],
) -> Changes:
    """What has to be done to get from ``old`` to ``new``."""
    both = [name for name in new.targets if name in old.targets]
    moved = {
        name
        for name in both
        if _tunnel(old.targets[name]) != _tunnel(new.targets[name])
        or old_plans[name] != new_plans[name]
    }
    kept = [name for name in both if name not in moved]
    redefined = {name for name in kept if old.targets[name].runtime != new.targets[name].runtime}
    retuned = [
        name for name in kept if name not in redefined and old.targets[name] != new.targets[name]
    ]
    return Changes(
        added=tuple(name for name in new.targets if name not in old.targets),
        removed=tuple(name for name in old.targets if name not in new.targets),
        rebuilt=tuple(name for name in both if name in moved),
        redefined=tuple(name for name in kept if name in redefined),
        retuned=tuple(retuned),
        listen=_door(old) != _door(new),
        notify=old.notify != new.notify,
        agent=_rest(old) != _rest(new),
    )


def impossible(old: Settings, new: Settings) -> tuple[Problem, ...]:
    """What a running agent cannot take up."""
    if old.agent.state_dir == new.agent.state_dir:
        return ()
    where = new.files[0] if new.files else ""
    return (
        Problem(
            where,
            "agent.state_dir",
            "another folder than the running agent's",
            "the same as before, or a restart of the agent",
        ),
    )


def _tunnel(target: TargetSettings) -> object:
    """What the link and the listener are made from; the time that clients are held can be changed."""
    # ForwardSettings.objective steers nothing, and hold is handed to the listener as it is.
    plain = ForwardSettings(local=target.forward.local, remote=target.forward.remote)
    # A container needs more sessions of the link than else, and so may share it with fewer.
    return target.ssh, plain, target.runtime.kind is Kind.CONTAINER


def _door(settings: Settings) -> object:
    return settings.agent.listen, settings.agent.allowed_hosts


def _rest(settings: Settings) -> object:
    plain = type(settings.agent)()
    return replace(settings.agent, listen=plain.listen, allowed_hosts=plain.allowed_hosts)
