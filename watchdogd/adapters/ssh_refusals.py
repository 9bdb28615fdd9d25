"""The refusals that both SSH engines tell, in the same words: cause, phase, and what mends it."""

from __future__ import annotations

import errno
import shlex

from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import FORWARD_MEND
from watchdogd.settings import Address

OWN_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
"""This process's own, whatever it was that failed."""


class NoSession(Transient):
    """sshd refused a further session on this connection (``MaxSessions``), or any at all."""


def no_session(why: str) -> NoSession:
    """``why``: the server's words."""
    return NoSession(Cause.REMOTE_WEDGED, f"sshd opened no session: {why}", phase="exec")


def refused_login(plan: SshPlan, told: str, shown: str) -> Permanent:
    """``shown``: the key that was refused; its file, if it has one, stands first."""
    file = shown.partition(" (")[0]
    key = f"-i {shlex.quote(file)}.pub " if file.startswith("/") else ""
    other = "if another login is meant, set ssh.user or ssh.identity_file"
    return Permanent(
        Cause.AUTH, f"{told}; {other}", phase="auth", mend=copy_key(plan, key), reached=True
    )


def copy_key(plan: SshPlan, key: str = "") -> str:
    """The command by which the server learns a key; ``key``: which one. It believes the same host key as we do."""
    file = plan.known_hosts[0] if plan.known_hosts_given else ""
    known = f"-o {shlex.quote(f'UserKnownHostsFile={file}')} " if file else ""
    return f"ssh-copy-id {key}{known}-p {plan.port} {shlex.quote(plan.login)}"


def unloaded(file: str, why: str) -> Permanent:
    """ssh made nothing of the key file, so no key was shown to the server. ``why``: its words."""
    told = f"ssh could not load the key {file}: {why}"
    return Permanent(
        Cause.AUTH, told, phase="auth", mend=f"ssh-keygen -y -f {shlex.quote(file)}", reached=True
    )


def unsigned(told: str) -> Permanent:
    """The key is the right one, and nobody lets it sign."""
    mend = "touch or unlock the key, or name one in ssh.identity_file that logs in by itself"
    return Permanent(Cause.AUTH, told, phase="auth", mend=mend, reached=True)


def second_factor(plan: SshPlan) -> Permanent:
    """The key was taken as a first step only: somebody would have to type the second."""
    told = f"the server wants more than a key for {plan.user}: a second factor, say"
    mend = f"on the server, in sshd_config: Match User {plan.user}, AuthenticationMethods publickey"
    return Permanent(Cause.AUTH, told, phase="auth", mend=mend, reached=True)


def failed(cause: Cause, told: str, phase: str) -> Transient:
    """After the server was reached."""
    return Transient(cause, told, phase=phase, reached=True)


def forward_denied(to: Address, why: str) -> Permanent:
    """sshd's own refusal."""
    return Permanent(
        Cause.FORWARD_DENIED,
        f"sshd does not allow a forward to {to}: {why}",
        phase="open",
        mend=FORWARD_MEND,
        reached=True,
    )


def not_accepted(to: Address, why: str, *, connected: bool) -> Transient:
    """``connected``: sshd tried to connect there and was refused."""
    cause = Cause.RUNTIME_REFUSED if connected else Cause.FORWARD_STALLED
    told = f"nothing accepts at {to} on the server: {why}"
    return Transient(cause, told, phase="open", reached=True)


def unanswered(to: Address, *, speaks: bool) -> Transient:
    """A channel that was not opened in time. ``speaks``: other things came over the link."""
    if speaks:
        return Transient(Cause.FORWARD_STALLED, f"no answer from {to} in time", phase="open")
    return Transient(Cause.LINK_LOST, "the link is silent", phase="open")


def wedged(what: str, *, speaks: bool) -> Transient:
    """A command that did not end in time."""
    if speaks:
        told = f"no end of `{what[:60]}` on the server in time"
        return Transient(Cause.REMOTE_WEDGED, told, phase="exec")
    return Transient(Cause.LINK_LOST, "the link is silent", phase="exec")


def lost(error: Exception, phase: str) -> Transient:
    """The link ended under what was asked of it; or we have no descriptor or memory to ask with."""
    if isinstance(error, OSError) and error.errno in OWN_SHORTAGE:
        return Transient(Cause.AGENT, f"nothing can be opened: {error.strerror}", phase=phase)
    return Transient(Cause.LINK_LOST, f"the link is gone: {error}", phase=phase)
