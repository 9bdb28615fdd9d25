"""What ``ssh`` itself would do for a host, as a plan for engine ``sshtunnel``.

``ssh -G HOST`` reads the person's ssh configuration, aliases and includes. What this engine cannot
honour is refused by name: ignoring a jump host or a certificate would dial another way than the
person configured.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchdogd.core.words import Cause
from watchdogd.errors import ConfigError, Problem, Transient
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings

_LIMIT_SECONDS = 5.0
_NEEDS_OPENSSH = "nothing here: it needs engine `openssh`, which is not built yet"
_UNSUPPORTED = (
    "proxyjump",
    "proxycommand",
    "hostkeyalias",
    "certificatefile",
    "pkcs11provider",
    "knownhostscommand",
    "revokedhostkeys",
    "bindaddress",
    "bindinterface",
)
_DEFAULT_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_HARDWARE_KEYS = (b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com")


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

    @property
    def known_name(self) -> str:
        """The host as it stands in known_hosts."""
        host = self.host.lower()
        return host if self.port == 22 else f"[{host}]:{self.port}"


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

    Raises ``ConfigError`` with every option that needs another engine, or with ssh's own complaint
    about its configuration; ``Transient(AGENT)`` if ``ssh -G`` does not end within 5 s.
    """
    argv = resolve_argv(settings)
    limit = deadline.at_most(_LIMIT_SECONDS).remaining()
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
        )
    except FileNotFoundError:
        return plan_from(settings, {})
    except subprocess.TimeoutExpired as error:
        raise Transient(
            Cause.AGENT, f"`{' '.join(argv)}` did not end in time", phase="resolve"
        ) from error
    if done.returncode != 0:
        raise ConfigError((_ssh_complains(settings, done.stderr),))
    return plan_from(settings, parse(done.stdout.decode(errors="replace")))


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """The lines of ``ssh -G`` by lower-case option; an option may stand there several times."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        option, _, value = line.strip().partition(" ")
        if value:
            found[option.lower()] = (*found.get(option.lower(), ()), value.strip())
    return found


def plan_from(settings: SshSettings, options: Mapping[str, tuple[str, ...]]) -> SshPlan:
    """The plan, or ``ConfigError`` with every problem. ``options`` as ``parse`` gives them."""
    host = _one(options, "hostname", settings.host)
    port = settings.port or int(_one(options, "port", "22"))
    user = settings.user or _one(options, "user", "") or getpass.getuser()
    tokens = {"%h": host, "%n": settings.host, "%p": str(port), "%r": user}
    if settings.identity_file is not None:
        identities: tuple[str, ...] = (settings.identity_file,)
    else:
        identities = tuple(
            expand(name, tokens) for name in options.get("identityfile", _DEFAULT_KEYS)
        )
    plan = SshPlan(
        alias=settings.host,
        host=host,
        port=port,
        user=user,
        identity_files=identities,
        identity_required=settings.identity_file is not None,
        identities_only=settings.identity_file is not None
        or _one(options, "identitiesonly", "no") == "yes",
        use_agent=_one(options, "identityagent", "SSH_AUTH_SOCK") != "none",
        known_hosts=_known_hosts(settings, options, tokens),
        address_family=_one(options, "addressfamily", "any"),
    )
    problems = [*_unsupported(settings, options), *_unsupported_keys(settings, plan)]
    if problems:
        raise ConfigError(tuple(problems))
    return plan


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


def is_hardware_key(file: str) -> bool:
    """True if the file is the handle of a security key (its public half says so)."""
    try:
        text = Path(file).read_text(encoding="ascii")
        body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
        return any(kind in base64.b64decode(body) for kind in _HARDWARE_KEYS)
    except (OSError, UnicodeDecodeError, binascii.Error):
        return False


def _known_hosts(
    settings: SshSettings, options: Mapping[str, tuple[str, ...]], tokens: Mapping[str, str]
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


def _one(options: Mapping[str, tuple[str, ...]], option: str, default: str) -> str:
    return options[option][0] if option in options else default


def _unsupported(
    settings: SshSettings, options: Mapping[str, tuple[str, ...]]
) -> tuple[Problem, ...]:
    found = [
        (name, _one(options, name, "none"))
        for name in _UNSUPPORTED
        if _one(options, name, "none") != "none"
    ]
    agent = _one(options, "identityagent", "SSH_AUTH_SOCK")
    if agent not in ("SSH_AUTH_SOCK", "none"):
        found.append(("identityagent", agent))
    return tuple(_problem(settings, name, value) for name, value in found)


def _unsupported_keys(settings: SshSettings, plan: SshPlan) -> tuple[Problem, ...]:
    present = [name for name in plan.identity_files if Path(name).is_file()]
    hardware = [name for name in present if is_hardware_key(name)]
    problems = [
        _problem(settings, "certificatefile", f"{name}-cert.pub")
        for name in present
        if Path(f"{name}-cert.pub").is_file()
    ]
    if hardware and len(hardware) == len(present):
        problems += [_problem(settings, "identityfile", f"{hardware[0]} (a security key)")]
    return tuple(problems)


def _problem(settings: SshSettings, option: str, value: str) -> Problem:
    where = f"`{' '.join(resolve_argv(settings))}`"
    return Problem(file=where, key=option, found=value, allowed=_NEEDS_OPENSSH)


def _ssh_complains(settings: SshSettings, stderr: bytes) -> Problem:
    lines = stderr.decode(errors="replace").strip().splitlines() or ["no word of why"]
    return Problem(
        file=f"`{' '.join(resolve_argv(settings))}`",
        key="",
        found=f"refused: {lines[-1][:300]}",
        allowed="a host and a configuration that ssh itself accepts",
    )
