"""Why a dial by ``ssh`` failed: from what it wrote to a cause. Pure.

With a jump host two programs complain on one stderr, so the first line that fits is the answer: the
others follow from it. Only a line that begins as ssh's own does is read: a server may quote ssh.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from watchdogd.adapters.host_keys import add_command, forget_command
from watchdogd.adapters.openssh_said import UNVERIFIED, Said
from watchdogd.adapters.ssh_refusals import (
    failed,
    refused_login,
    second_factor,
    unloaded,
    unsigned,
)
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient

Failure = Permanent | Transient

_UNKNOWN = re.compile(r"No (\S+) host key is known for (\S+) and you have requested")
_CHANGED = re.compile(r"Host key for (\S+) has changed and you have requested")
_OFFENDING = re.compile(r"Offending (\S+) key in (.+):\d+")
_REVOKED = re.compile(r"(?:The )?\S+ host key for (\S+) (?:was|is marked as) revoked")
_SHOWN = re.compile(r"(SHA256:[\w+/]+)\.?$")
_DENIED = re.compile(r"(?:(\S+): )?Permission denied \((.+)\)")
_PARTLY = re.compile(r"Authenticated using .* with partial success")
_NOT_LOADED = re.compile(r'Load key "(.+)": (.+)')
_NO_SIGNATURE = re.compile(r"sign_and_send_pubkey: signing failed for \S+ \"(.+?)\"")
_FAR_WORDS = re.compile(
    "Received disconnect from |Disconnected from |Connection closed |"
    "kex_exchange_identification: banner line (?!.*(Not allowed at this time|MaxStartups))"
)
"""Lines that end in words of the server."""
_TURNED_AWAY = re.compile("Received disconnect from |Disconnected from ")
_PLAIN = re.compile(r"[A-Za-z0-9._:\[\]][A-Za-z0-9._:\[\]-]*")
"""A name that a command may be told with."""


@dataclass(frozen=True, slots=True)
class _Rule:
    begins: str
    cause: Cause
    phase: str = ""
    """Empty: where the dial was."""


_OWN = (
    "(ssh_dispatch_run_fatal|packet_write_|kex_exchange_identification|ssh_exchange_identification|client_loop|"
    "Read from remote host )"
)
"""As ssh's own words begin: what a ``Match exec`` or a proxy prints is none."""
_TO_THERE = "(ssh: connect to .*|open failed: connect failed)"
_RULES = (
    _Rule("kex_exchange_identification: banner line ", Cause.SSHD_REJECTS, "banner"),
    _Rule(r"ssh: Could not resolve hostname|open failed: .*[Nn]ame", Cause.DNS, "resolve"),
    _Rule(rf"{_TO_THERE}: Connection refused", Cause.SSHD_DOWN, "connect"),
    _Rule(r"ssh: connect to .*: (Network is unreachable|Cannot assign)", Cause.OFFLINE, "connect"),
    _Rule(r"ssh: connect to .*: (Connection reset|Broken pipe)", Cause.SSHD_REJECTS, "connect"),
    _Rule(rf"{_TO_THERE}: ", Cause.HOST_UNREACHABLE, "connect"),
    _Rule(r".*timed out during banner exchange", Cause.HOST_UNREACHABLE, "banner"),
    _Rule(r"Timeout, server .* not responding", Cause.HOST_UNREACHABLE),
    _Rule(rf"({_OWN}.*: )?(Connection|Operation) (to .* )?timed out", Cause.HOST_UNREACHABLE),
    _Rule(r".*(Too many open files|Cannot allocate memory)", Cause.AGENT),
)


def failure(plan: SshPlan, said: Said) -> Failure:
    """Why ``ssh`` ended without a link."""
    lines = tuple(line for line in said.lines if not _FAR_WORDS.match(line))
    if said.spoke_early and lines[-1:] == (UNVERIFIED,):
        # The one line that such a server cannot outwrite, as ssh ends with it. Nothing before it is believed.
        return _unverified(plan, f"the host key was not verified: it shows {_key(said, ())}", "")
    verified = said.phase == "auth"
    return (
        (None if verified else _host_key(plan, said, lines))
        or _login(plan, said, lines)
        or _ruled(plan, said, lines)
        or _ended(plan, said, said.lines)
    )


def overdue(plan: SshPlan, said: Said) -> Failure:
    """Why it has not come to a link in time, though it still runs."""
    if said.signing and said.by_agent:
        return unsigned(f"the agent did not sign with {said.signing} in time")
    if said.signing and any("user presence" in line for line in said.lines):
        return unsigned(f"nobody touched the key of {said.signing} in time")
    if not said.reached:
        told = f"no connection to {plan.host}:{plan.port} in time{_last(said.lines)}"
        return Transient(Cause.HOST_UNREACHABLE, told, phase=said.phase)
    told = {
        "banner": "the SSH server accepted, then said nothing",
        "host_key": "key exchange did not end in time",
    }.get(said.phase, "the login was not answered in time")
    return failed(Cause.HOST_UNREACHABLE, told, said.phase)


def end_of_link(said: Said) -> str:
    """Why a link that was up ended, in ssh's own last words."""
    return (said.lines or ("the connection ended",))[-1]


def _host_key(plan: SshPlan, said: Said, lines: tuple[str, ...]) -> Permanent | None:
    if found := _first(_REVOKED, lines):
        return _unverified(plan, f"the host key of {found[1]} is revoked ({_key(said, lines)})", "")
    if found := _first(_CHANGED, lines):
        return _changed(plan, said, lines, found[1])
    if found := _first(_UNKNOWN, lines):
        return _unverified(
            plan,
            f"the host key of {found[2]} is unknown: it shows {_key(said, lines, found[1])}. Compare "
            "that fingerprint with the server's before you say yes",
            add_command(plan),
        )
    if UNVERIFIED in lines:
        told = f"the host key was not verified: it shows {_key(said, lines)}{_last(lines[:-1])}"
        return _unverified(plan, told, "")
    return None


def _changed(plan: SshPlan, said: Said, lines: tuple[str, ...], name: str) -> Permanent:
    """``name``: the server's, or a jump host's."""
    where = _first(_OFFENDING, lines)
    knows = f", and {where[2]} knows another {where[1]} key" if where else ""
    file = where[2] if where else (plan.known_hosts or ("~/.ssh/known_hosts",))[0]
    mend = "ask whoever runs the server for its new fingerprint"
    if name == plan.known_name or _PLAIN.fullmatch(name):
        mend += "; only if it is the one shown: " + forget_command(name, file)
    return _unverified(
        plan,
        f"the host key of {name} changed: it shows {_key(said, lines)}{knows}. Somebody may be "
        "in between",
        mend,
    )


def _first(pattern: re.Pattern[str], lines: tuple[str, ...]) -> re.Match[str] | None:
    return next((found for line in lines if (found := pattern.match(line))), None)


def _key(said: Said, lines: tuple[str, ...], kind: str = "a key") -> str:
    """What the server showed; a jump host's fingerprint stands in ssh's warning, or nowhere."""
    shown = _first(_SHOWN, lines)
    return said.host_key or (shown[1] if shown else f"{kind} that ssh did not name")


def _unverified(plan: SshPlan, told: str, mend: str) -> Permanent:
    return Permanent(Cause.HOST_KEY, told, phase="host_key", mend=mend, reached=True)


def _login(plan: SshPlan, said: Said, lines: tuple[str, ...]) -> Failure | None:
    denied = _first(_DENIED, lines)
    if found := _first(_NO_SIGNATURE, lines):
        return unsigned(f"the agent refused to sign with {found[1]}")
    if _first(_PARTLY, lines):
        return second_factor(plan)
    if denied and said.offered:
        told = f"the server refused {', '.join(said.offered)} for {plan.user}"
        return refused_login(plan, told, said.offered[0])
    if denied and said.phase != "auth":
        told = f"the login on the way there was refused: {denied[0]}"
        return Permanent(Cause.AUTH, told, phase="auth", mend=_copy_key(denied[1] or ""))
    if denied and (unread := _first(_NOT_LOADED, lines)):
        return unloaded(unread[1], unread[2])
    if denied:
        other = [line for line in lines if "Permission denied (" not in line]
        told = f"ssh had no key to offer to {plan.user}@{plan.host}{_last(tuple(other))}"
        return refused_login(plan, told, "")
    return None


def _copy_key(login: str) -> str:
    user, at, name = login.rpartition("@")
    fits = at and _PLAIN.fullmatch(user) and _PLAIN.fullmatch(name)
    return f"ssh-copy-id {shlex.quote(login)}" if fits else ""


def _ruled(plan: SshPlan, said: Said, lines: tuple[str, ...]) -> Failure | None:
    for line in lines:
        if line.startswith("Unable to negotiate "):
            told = f"no common algorithm with this server: {line}"
            return Permanent(Cause.SSHD_REJECTS, told, phase="banner", reached=True)
        if line.startswith("open failed: administratively prohibited"):
            told = f"the jump host does not forward to {plan.host}:{plan.port}: {line}"
            return Permanent(Cause.FORWARD_DENIED, told, phase="connect")
        for rule in _RULES:
            if re.match(rule.begins, line):
                phase = rule.phase or said.phase
                reached = said.reached or rule.cause is Cause.SSHD_REJECTS
                return Transient(rule.cause, line, phase=phase, reached=reached)
    return None


def _ended(plan: SshPlan, said: Said, lines: tuple[str, ...]) -> Failure:
    if said.offered and said.phase == "auth":
        told = f"the server refused {', '.join(said.offered)} and ended the connection"
        return refused_login(plan, told, said.offered[0])
    if said.phase == "host_key" and not any(_TURNED_AWAY.match(line) for line in lines):
        # The door was open: who turns a client away says so, or ends before its banner.
        told = f"the connection ended during key exchange{_last(lines)}"
        return failed(Cause.HOST_UNREACHABLE, told, said.phase)
    if said.reached:
        told = f"the server ended the connection{_last(lines)}"
        return failed(Cause.SSHD_REJECTS, told, said.phase)
    told = (
        f"no connection to {plan.host}:{plan.port}: {lines[0] if lines else 'ssh did not say why'}"
    )
    return Transient(Cause.HOST_UNREACHABLE, told, phase=said.phase)


def _last(lines: tuple[str, ...]) -> str:
    return f" ({lines[-1]})" if lines else ""
