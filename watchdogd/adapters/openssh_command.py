"""The command line of the ``ssh`` that carries a link, from pure functions.

Whatever the person's configuration adds for interactive use is switched off: a link asks nobody, binds
nothing, shares no connection with a terminal, and never accepts a host key by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from watchdogd.adapters.openssh_hops import hop_command
from watchdogd.adapters.ssh_resolve import SshPlan

CONNECT_SECONDS = 10
"""To a connection and the server's first word. Another program may answer late, a dead one never."""
ADDRESSES_SECONDS, LEAST_SECONDS = 20, 5
"""For all addresses of a name together: ssh tries one after the other, and the login has to have its time. Of one at
least: the server's first word is in it."""
HOP_SECONDS = 20
"""The same over other hosts, each with its own login."""
_FASTEST = "^aes128-gcm@openssh.com"
"""464 MB/s on loopback, ssh's own first choice 249 (measured)."""
_ALWAYS = (
    "ControlMaster=yes",
    "ControlPersist=no",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "AddKeysToAgent=no",
    "UpdateHostKeys=no",
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "NoHostAuthenticationForLocalhost=no",
    "ConnectionAttempts=1",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "FingerprintHash=sha256",
    "LogLevel=DEBUG1",  # tells the phases, the server's fingerprint and the keys that were offered
)
_ONLY_THAT_FILE = (
    "GlobalKnownHostsFile=/dev/null",
    "KnownHostsCommand=none",
    "VerifyHostKeyDNS=no",
)


def dial_argv(
    plan: SshPlan, control: str, *, use_agent: bool, address: str = "", addresses: int = 1
) -> list[str]:
    """``control``: where its control socket is made. ``use_agent``: one answers. ``address``: goes there
    instead of asking for the name's; the host key is still that of the name. ``addresses``: so many may be tried."""
    seconds = HOP_SECONDS if plan.first_hop else _connect_seconds(addresses)
    options = [*_ALWAYS, f"ConnectTimeout={seconds}", *_known_hosts(plan), *_keys(plan, use_agent)]
    if address:
        options += [f"HostName={address}", f"HostKeyAlias={plan.known_name}"]
    if plan.jumps:
        options.append(f"ProxyCommand={hop_command(plan.jumps)}")
    if plan.forks:  # else not named: ssh before 8.7 does not know it
        options.append("ForkAfterAuthentication=no")
    if not plan.own_ciphers:
        options.append(f"Ciphers={_FASTEST}")
    argv = ["ssh", "-n", "-N", "-M", "-S", control]
    for option in options:
        argv += ["-o", option]
    return [*argv, "-l", plan.user, "-p", str(plan.port), "--", plan.alias]


def _connect_seconds(addresses: int) -> int:
    """For one address."""
    return max(LEAST_SECONDS, min(CONNECT_SECONDS, ADDRESSES_SECONDS // addresses))


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Ours, but nothing that would put a question on a screen."""
    kept = {name: value for name, value in environ.items() if name != "SSH_ASKPASS"}
    return {**kept, "SSH_ASKPASS_REQUIRE": "never"}


def _known_hosts(plan: SshPlan) -> list[str]:
    if not plan.known_hosts_given:
        return []
    files = " ".join(_file(name) for name in plan.known_hosts)
    return [f"UserKnownHostsFile={files}", *_ONLY_THAT_FILE]


def _keys(plan: SshPlan, use_agent: bool) -> list[str]:
    options = []
    if plan.identity_required:
        options += ["IdentitiesOnly=yes"]
        options += [f"IdentityFile={_file(name)}" for name in plan.identity_files]
    if not use_agent:
        options.append("IdentityAgent=none")
    return options


def _file(name: str) -> str:
    """As ssh_config reads it back: quoted, and no ``%`` a token."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
