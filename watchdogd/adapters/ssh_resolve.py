"""What ``ssh`` itself would do for a host, as a plan for either engine.

``ssh -G HOST`` reads the person's ssh configuration, aliases and includes. What engine ``sshtunnel``
cannot honour is given to ``openssh``, or refused by name where the configuration insists.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from watchdogd.adapters.openssh_hops import Hop
from watchdogd.adapters.ssh_needs import Need, Options, needs, one
from watchdogd.core.words import Cause
from watchdogd.errors import ConfigError, Problem, Transient
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings

_LIMIT_SECONDS = 5.0
_COMPLAINT_BYTES = 65_536
_NEEDS_OPENSSH = 'nothing here: it needs ssh.engine = "openssh" (or "auto")'
_DEFAULT_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


@dataclass(frozen=True, slots=True, kw_only=True)
class SshPlan:
    """How to reach and enter one server."""

    alias: str
    """The host as configured."""
    host: str
    """The name or address that is dialed, and that known_hosts knows."""
    port: int
    user: str
    identity_files: tuple[str, ...]
    """Absolute, in order of preference; a default one need not exist."""
    identity_required: bool
    """``identity_file`` is configured: that key and no other."""
    identities_only: bool
    """The agent's other keys are not offered."""
    use_agent: bool
    known_hosts: tuple[str, ...]
    """Absolute; the first is where a new key belongs. Need not exist."""
    address_family: str = "any"
    """``any``, ``inet`` or ``inet6``."""
    engine: str = "sshtunnel"
    """``sshtunnel`` or ``openssh``."""
    needs: tuple[Need, ...] = ()
    """What only ``openssh`` can honour."""
    first_hop: str = ""
    """What this machine itself connects to, if that is not ``host``."""
    jumps: tuple[Hop, ...] = ()
    """The jump hosts on the way, nearest first."""
    hop_files: tuple[str, ...] = ()
    """Absolute: the known_hosts and key files of those. Need not exist."""
    host_key_alias: str = ""
    agent_socket: str = ""
    """Where the agent listens, if not at ``SSH_AUTH_SOCK``."""
    kerberos: bool = False
    """A ticket may log in."""
    forks: bool = False
    """The person set ``ForkAfterAuthentication``, which this ssh knows."""
    own_ciphers: bool = False
    """The person chose them."""
    known_hosts_given: bool = False
    """``known_hosts`` is configured: that file and no other."""

    @property
    def known_name(self) -> str:
        """The host as it stands in known_hosts."""
        if self.host_key_alias:
            return self.host_key_alias
        host = self.host.lower()
        return host if self.port == 22 else f"[{host}]:{self.port}"

    @property
    def login(self) -> str:
        """What a person gives to ssh or ssh-copy-id. Behind a jump host only the alias leads there."""
        return f"{self.user}@{self.alias if self.first_hop else self.host}"


def resolve_argv(settings: SshSettings) -> list[str]:
    """The command that prints ssh's own view. The host is never taken for an option."""
    argv = ["ssh", "-G"]
    if settings.port is not None:
        argv += ["-p", str(settings.port)]
    if settings.user is not None:
        argv += ["-l", settings.user]
    return [*argv, "--", settings.host]


def resolve(settings: SshSettings, deadline: Deadline) -> SshPlan:
    """The plan for these settings; without an ``ssh`` program, from the settings alone.

    Raises ``ConfigError`` with every option that the configured engine cannot honour, or with ssh's
    own complaint about its configuration; ``Transient(AGENT)`` if ``ssh -G`` does not end within 5 s.
    """
    options = ask_ssh(resolve_argv(settings), deadline)
    if options is None and settings.engine == "openssh":
        raise ConfigError((_no_ssh(),))
    return plan_from(settings, options or {})


def ask_ssh(argv: Sequence[str], deadline: Deadline) -> Options | None:
    """What ``ssh -G`` prints; ``None`` without an ``ssh`` program. Raises as ``resolve``."""
    limit = deadline.at_most(_LIMIT_SECONDS).remaining()
    # Not a pipe: what a `Match exec` leaves running may hold its other end for ever.
    with _scratch() as stderr:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                timeout=limit,
                check=False,
            )
        except FileNotFoundError:
            return None
        except subprocess.TimeoutExpired as error:
            raise Transient(
                Cause.AGENT, f"`{' '.join(argv)}` did not end in time", phase="resolve"
            ) from error
        if done.returncode != 0:
            raise ConfigError((_ssh_complains(argv, _last_of(stderr)),))
    return parse(done.stdout.decode(errors="replace"))


def _scratch() -> BinaryIO:
    """In memory, where that can be: a disk may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("ssh"), "w+b")
    return cast(BinaryIO, tempfile.TemporaryFile())


def _last_of(stream: BinaryIO) -> bytes:
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - _COMPLAINT_BYTES))
    return stream.read(_COMPLAINT_BYTES)


def parse(text: str) -> Options:
    """The lines of ``ssh -G``."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        option, _, value = line.strip().partition(" ")
        if value:
            found[option.lower()] = (*found.get(option.lower(), ()), value.strip())
    return found


def plan_from(settings: SshSettings, options: Options) -> SshPlan:
    """The plan, or ``ConfigError`` with every problem. ``options`` as ``parse`` gives them."""
    host = one(options, "hostname", settings.host)
    port = settings.port or int(one(options, "port", "22"))
    user = settings.user or one(options, "user", "") or getpass.getuser()
    tokens = {"%h": host, "%n": settings.host, "%p": str(port), "%r": user}
    if settings.identity_file is not None:
        identities: tuple[str, ...] = (settings.identity_file,)
    else:
        identities = tuple(
            expand(name, tokens) for name in options.get("identityfile", _DEFAULT_KEYS)
        )
    needed = needs(options, identities)
    if needed and settings.engine == "sshtunnel":
        raise ConfigError(tuple(_problem(settings, need) for need in needed))
    agent = one(options, "identityagent", "SSH_AUTH_SOCK")
    return SshPlan(
        alias=settings.host,
        host=host,
        port=port,
        user=user,
        identity_files=identities,
        identity_required=settings.identity_file is not None,
        identities_only=settings.identity_file is not None
        or one(options, "identitiesonly", "no") == "yes",
        use_agent=agent != "none",
        known_hosts=_known_hosts(settings, options, tokens),
        address_family=one(options, "addressfamily", "any"),
        engine="openssh" if needed or settings.engine == "openssh" else "sshtunnel",
        needs=needed,
        host_key_alias=_unless_none(options, "hostkeyalias"),
        agent_socket=_socket(agent, tokens),
        kerberos=one(options, "gssapiauthentication", "no") == "yes",
        forks=one(options, "forkafterauthentication", "no") == "yes",
        known_hosts_given=settings.known_hosts is not None,
    )


def expand(name: str, tokens: Mapping[str, str]) -> str:
    """A file name of ssh_config with ``~`` and ssh's ``%`` tokens replaced."""
    known = {"%d": str(Path.home()), "%u": getpass.getuser(), **tokens, "%%": "%"}
    parts: list[str] = []
    rest = name
    while rest:
        before, mark, after = rest.partition("%")
        token = mark + after[:1]
        parts += [before, known.get(token, token)]
        rest = after[1:]
    return os.path.expanduser("".join(parts))


def _known_hosts(
    settings: SshSettings, options: Options, tokens: Mapping[str, str]
) -> tuple[str, ...]:
    if settings.known_hosts is not None:
        return (settings.known_hosts,)
    own = _file_list(options.get("userknownhostsfile"), _DEFAULT_KNOWN_HOSTS)
    common = _file_list(options.get("globalknownhostsfile"), _GLOBAL_KNOWN_HOSTS)
    return tuple(expand(name, tokens) for name in (*own, *common) if name != "none")


def _file_list(values: tuple[str, ...] | None, default: Sequence[str]) -> tuple[str, ...]:
    if values is None:
        return tuple(default)
    # ssh prints names with blanks unquoted: a value that is a file as a whole is one name.
    return tuple(
        name for value in values for name in ((value,) if Path(value).is_file() else value.split())
    )


def _unless_none(options: Options, option: str) -> str:
    value = one(options, option, "none")
    return "" if value == "none" else value


def _socket(agent: str, tokens: Mapping[str, str]) -> str:
    if agent in ("SSH_AUTH_SOCK", "none"):
        return ""
    return os.environ.get(agent[1:], "") if agent.startswith("$") else expand(agent, tokens)


def _problem(settings: SshSettings, need: Need) -> Problem:
    where = f"`{' '.join(resolve_argv(settings))}`"
    return Problem(file=where, key=need.option, found=need.shown, allowed=_NEEDS_OPENSSH)


def _no_ssh() -> Problem:
    return Problem(
        file="this machine",
        key="ssh.engine",
        found="no `ssh` program for engine openssh",
        allowed="the OpenSSH client (Debian: apt install openssh-client)",
    )


def _ssh_complains(argv: Sequence[str], stderr: bytes) -> Problem:
    lines = stderr.decode(errors="replace").strip().splitlines() or ["no word of why"]
    return Problem(
        file=f"`{' '.join(argv)}`",
        key="",
        found=f"refused: {lines[-1][:300]}",
        allowed="a host and a configuration that ssh itself accepts",
    )
