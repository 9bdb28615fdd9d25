"""Why a dial by ``ssh`` failed: from what it wrote to a cause. Pure.

With a jump host two programs complain on one stderr, so the first line that fits is the answer: the
others follow from it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from watchdogd.adapters.host_keys import add_command, change_command
from watchdogd.adapters.openssh_said import Said
from watchdogd.adapters.ssh_refusals import failed, refused_login, second_factor, unsigned
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient

Failure = Permanent | Transient

_UNKNOWN = re.compile(r"No (\S+) host key is known for (\S+) and you have requested")
_CHANGED = re.compile(r"Host key for (\S+) has changed and you have requested")
_OFFENDING = re.compile(r"Offending (\S+) key in (.+):\d+")
_REVOKED = re.compile(r"(?:The )?\S+ host key for (\S+) (?:was|is marked as) revoked")
_SHOWN = re.compile(r"SHA256:\S+?(?=\.?$)")
_DENIED = re.compile(r"(?:(\S+): )?Permission denied \((.+)\)")
_NO_SIGNATURE = re.compile(r"sign_and_send_pubkey: signing failed for \S+ \"(.+?)\"")


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    cause: Cause
    phase: str = ""
    """Empty: where the dial was."""


_RULES = (
    _Rule(r"Could not resolve hostname|open failed: .*[Nn]ame", Cause.DNS, "resolve"),
    _Rule(r"(connect to .*|connect failed): Connection refused", Cause.SSHD_DOWN, "connect"),
    _Rule(r"connect to .*: (Network is unreachable|Cannot assign)", Cause.OFFLINE, "connect"),
    _Rule(r"connect to .*: (Connection reset|Broken pipe)", Cause.SSHD_REJECTS, "connect"),
    _Rule(r"(connect to .*|connect failed): ", Cause.HOST_UNREACHABLE, "connect"),
    _Rule(r"timed out during banner exchange", Cause.HOST_UNREACHABLE, "banner"),
    _Rule(r"Not allowed at this time|MaxStartups", Cause.SSHD_REJECTS, "banner"),
    _Rule(r"Timeout, server .* not responding|timed out", Cause.HOST_UNREACHABLE),
    _Rule(r"Too many open files|Cannot allocate memory", Cause.AGENT),
)


def failure(plan: SshPlan, said: Said) -> Failure:
    """Why ``ssh`` ended without a link."""
    lines = said.lines
    found = _host_key(plan, said, lines) or _login(plan, said, lines) or _ruled(plan, said, lines)
    return found or _ended(plan, said, lines)


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
    text = "\n".join(lines)
    if found := _REVOKED.search(text):
        return _unverified(plan, f"the host key of {found[1]} is revoked ({_key(said, lines)})", "")
    if found := _CHANGED.search(text):
        where = _OFFENDING.search(text)
        knows = f", and {where[2]} knows another {where[1]} key" if where else ""
        file = where[2] if where else (plan.known_hosts or ("~/.ssh/known_hosts",))[0]
        name = found[1]
        forget = change_command(plan, file)
        if name != plan.known_name:  # the jump host's
            forget = f"ssh-keygen -R '{name}' -f {shlex.quote(file)}"
        return _unverified(
            plan,
            f"the host key of {name} changed: it shows {_key(said, lines)}{knows}. Somebody may be "
            "in between",
            "ask whoever runs the server for its new fingerprint; only if it is the one shown: "
            + forget,
        )
    if found := _UNKNOWN.search(text):
        return _unverified(
            plan,
            f"the host key of {found[2]} is unknown: it shows {_key(said, lines, found[1])}. Compare "
            "that fingerprint with the server's before adding it",
            add_command(plan),
        )
    if "Host key verification failed" in text:
        return _unverified(plan, f"the host key was not verified{_last(lines[:-1])}", "")
    return None


def _key(said: Said, lines: tuple[str, ...], kind: str = "a key") -> str:
    """What the server showed; a jump host's fingerprint stands in ssh's warning, or nowhere."""
    seen = [found[0] for line in lines if (found := _SHOWN.search(line))]
    return said.host_key or (seen[0] if seen else f"{kind} that ssh did not name")


def _unverified(plan: SshPlan, told: str, mend: str) -> Permanent:
    return Permanent(Cause.HOST_KEY, told, phase="host_key", mend=mend, reached=True)


def _login(plan: SshPlan, said: Said, lines: tuple[str, ...]) -> Failure | None:
    text = "\n".join(lines)
    denied = _DENIED.search(text)
    if found := _NO_SIGNATURE.search(text):
        return unsigned(f"the agent refused to sign with {found[1]}")
    if "with partial success" in text:
        return second_factor(plan)
    if "Too many authentication failures" in text or (denied and said.offered):
        told = f"the server refused {', '.join(said.offered) or 'too many keys'} for {plan.user}"
        return refused_login(plan, told, (said.offered or ("",))[0])
    if denied and said.phase != "auth":
        told = f"the login on the way there was refused: {denied[0]}"
        mend = f"ssh-copy-id {shlex.quote(denied[1])}" if denied[1] else ""
        return Permanent(Cause.AUTH, told, phase="auth", mend=mend)
    if denied:
        other = [line for line in lines if "Permission denied (" not in line]
        told = f"ssh had no key to offer to {plan.user}@{plan.host}{_last(tuple(other))}"
        return refused_login(plan, told, "")
    return None


def _ruled(plan: SshPlan, said: Said, lines: tuple[str, ...]) -> Failure | None:
    for line in lines:
        if "Unable to negotiate" in line:
            told = f"no common algorithm with this server: {line}"
            return Permanent(Cause.SSHD_REJECTS, told, phase="banner", reached=True)
        if "administratively prohibited" in line:
            told = f"the jump host does not forward to {plan.host}:{plan.port}: {line}"
            return Permanent(Cause.FORWARD_DENIED, told, phase="connect")
        for rule in _RULES:
            if re.search(rule.text, line):
                phase = rule.phase or said.phase
                reached = said.reached or rule.cause is Cause.SSHD_REJECTS
                return Transient(rule.cause, line, phase=phase, reached=reached)
    return None


def _ended(plan: SshPlan, said: Said, lines: tuple[str, ...]) -> Failure:
    if said.offered and said.phase == "auth":
        told = f"the server refused {', '.join(said.offered)} and ended the connection"
        return refused_login(plan, told, said.offered[0])
    if said.reached:
        told = f"the server ended the connection{_last(lines)}"
        return failed(Cause.SSHD_REJECTS, told, said.phase)
    told = (
        f"no connection to {plan.host}:{plan.port}: {lines[0] if lines else 'ssh did not say why'}"
    )
    return Transient(Cause.HOST_UNREACHABLE, told, phase=said.phase)


def _last(lines: tuple[str, ...]) -> str:
    return f" ({lines[-1]})" if lines else ""
