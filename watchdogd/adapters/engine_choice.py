"""Which engine carries a target's link, and why: ``sshtunnel`` unless only ``openssh`` can.

Read once, when the configuration is taken up. Nobody is contacted: ssh is asked for its configuration
and known_hosts is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from watchdogd.adapters.host_keys import look_up
from watchdogd.adapters.openssh_hops import Hop, parse_hops
from watchdogd.adapters.ssh_needs import Need, one
from watchdogd.adapters.ssh_resolve import (
    SshPlan,
    ask_ssh,
    expand,
    plan_from,
    resolve,
    resolve_argv,
)
from watchdogd.errors import ConfigError, Permanent, Problem
from watchdogd.ports import Clock, Deadline
from watchdogd.settings import Settings, SshSettings

_RESOLVE_SECONDS = 10.0
_MOST_HOPS = 8
_KNOWN_TO_THE_COMMAND = "127.0.0.1"
"""Where a ProxyCommand leads is its own affair: for us there is always a way to it."""


def choose(settings: SshSettings, deadline: Deadline) -> SshPlan:
    """The plan with its engine. Raises as ``ssh_resolve.resolve``."""
    plan = resolve(settings, deadline)
    if settings.engine == "auto" and plan.engine == "sshtunnel":
        authority = _known_by_authority(plan, deadline)
        if authority is not None:
            plan = replace(plan, engine="openssh", needs=(authority,))
    return _for_openssh(settings, plan, deadline) if plan.engine == "openssh" else plan


def plans(settings: Settings, names: Iterable[str], clock: Clock) -> Mapping[str, SshPlan]:
    """What ssh would do for each target's host.

    Raises ``ConfigError`` with the problems of all of them; ``Transient`` if ssh does not answer.
    """
    found: dict[str, SshPlan] = {}
    problems: list[Problem] = []
    for name in names:
        try:
            found[name] = choose(
                settings.targets[name].ssh, Deadline.after(clock, _RESOLVE_SECONDS)
            )
        except ConfigError as error:
            problems.extend(
                replace(problem, file=f"targets.{name}.ssh: {problem.file}")
                for problem in error.problems
            )
    if problems:
        raise ConfigError(tuple(problems))
    return found


def why(plan: SshPlan) -> str:
    """For a person: the engine, and what it is needed for."""
    if plan.engine != "openssh":
        return plan.engine
    return f"openssh ({', '.join(map(str, plan.needs)) or 'configured'})"


def _known_by_authority(plan: SshPlan, deadline: Deadline) -> Need | None:
    try:
        known = look_up(plan, deadline)
    except Permanent:
        return None  # no ssh-keygen: the dial says so
    authorities = [key for key in known if key.marker == "@cert-authority"]
    if authorities and not any(key.marker == "" for key in known):
        return Need("@cert-authority", f"in {authorities[0].file}")
    return None


def _for_openssh(settings: SshSettings, plan: SshPlan, deadline: Deadline) -> SshPlan:
    """What else the argv and the network probe need to know."""
    plain = ask_ssh(["ssh", "-F", "none", *resolve_argv(settings)[1:]], deadline) or {}
    own = ask_ssh(resolve_argv(settings), deadline) or {}
    own_ciphers = one(own, "ciphers", "") != one(plain, "ciphers", "")
    return _way(replace(plan, own_ciphers=own_ciphers), deadline)


def _way(plan: SshPlan, deadline: Deadline) -> SshPlan:
    """With what this machine itself connects to, and the jump hosts from there on."""
    by = {need.option: need.value for need in plan.needs}
    if "proxyjump" not in by:
        return replace(plan, first_hop=_KNOWN_TO_THE_COMMAND if "proxycommand" in by else "")
    tokens = {"%h": plan.host, "%n": plan.alias, "%p": str(plan.port), "%r": plan.user}
    hops = parse_hops(expand(by["proxyjump"], tokens))
    for _ in range(_MOST_HOPS):
        nearest = ask_ssh(["ssh", "-G", *hops[0].argv()], deadline) or {}
        tokens = {"%n": hops[0].host} | {
            token: one(nearest, option, token)
            for token, option in (("%h", "hostname"), ("%p", "port"), ("%r", "user"))
        }
        before = parse_hops(expand(one(nearest, "proxyjump", "none"), tokens))
        if before[-1].host in ("none", hops[0].host):  # ssh does not jump to itself either
            break
        hops = (*before, *hops)
    first = _KNOWN_TO_THE_COMMAND if "proxycommand" in nearest else ""
    return replace(
        plan,
        first_hop=first or one(nearest, "hostname", hops[0].host),
        jumps=hops,
        hop_files=_hop_files(hops, deadline),
    )


def _hop_files(hops: Iterable[Hop], deadline: Deadline) -> tuple[str, ...]:
    """Whose change may let a login to one of the jump hosts succeed; as ssh itself has them there."""
    found: dict[str, None] = {}
    for hop in hops:
        options = ask_ssh(["ssh", "-G", *hop.argv()], deadline) or {}
        plan = plan_from(SshSettings(host=hop.host), options)
        found |= dict.fromkeys((*plan.known_hosts, *plan.identity_files))
    return tuple(found)
