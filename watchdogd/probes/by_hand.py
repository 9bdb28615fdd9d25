"""What a person can type where no SSH link comes about, and the adapter that failed could not say it: the
probes know the target, its keys and its name."""

from __future__ import annotations

import shlex

from watchdogd.core.words import Cause
from watchdogd.settings import SshSettings, TargetSettings


def by_hand(cause: Cause, target: TargetSettings) -> str:
    """The command, or the sentence with it; empty if there is none to name."""
    ssh, key = target.ssh, f"targets.{target.name}.ssh"
    match cause:
        case Cause.DNS:
            real = f"ssh -G {shlex.quote(ssh.host)} | grep '^hostname '"
            return f"{real}; if that name is wrong, correct {key}.host"
        case Cause.SSHD_REJECTS:
            return f"{login(ssh)}; if that is refused too, on the server: journalctl -u ssh"
        case Cause.SSHD_DOWN:
            return f"{login(ssh)}; if the port is wrong, correct {key}.port; else start sshd there"
        case Cause.HOST_UNREACHABLE:
            return f"{login(ssh)}; if it does not get there either, correct {key}.host and .port"
        case _:
            return ""


def login(ssh: SshSettings) -> str:
    """The login by hand that tells each step, with what the configuration sets."""
    words = ["ssh", "-v"]
    if ssh.identity_file is not None:
        words += ["-i", ssh.identity_file, "-o", "IdentitiesOnly=yes"]
    if ssh.known_hosts is not None:
        blank = '"' if " " in ssh.known_hosts else ""  # ssh itself splits that value at blanks
        words += ["-o", f"UserKnownHostsFile={blank}{ssh.known_hosts}{blank}"]
    if ssh.port is not None:
        words += ["-p", str(ssh.port)]
    user = f"{ssh.user}@" if ssh.user is not None else ""
    return shlex.join([*words, user + ssh.host, "true"])
