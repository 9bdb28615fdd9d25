"""The keys that a login may offer: key files and the agent's, read afresh for every dial.

Nothing is ever asked of a person. A key that cannot be used is found out here, before the server is
dialed: a login without a key would only count as an attempt.
"""

from __future__ import annotations

import base64
import os
import shlex
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.agent import AgentSSH
from paramiko.pkey import UnknownKeyType

from watchdogd.adapters.ssh_refusals import copy_key
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent
from watchdogd.ports import Deadline

_AGENT_SECONDS = 10.0
_PUBLIC_BYTES = 64
_PUBLIC_STARTS = (b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-", b"---- BEGIN SSH2 PUBLIC KEY")
_HAND_OVER = (
    "systemctl --user import-environment SSH_AUTH_SOCK && systemctl --user restart watchdogd"
)
_MOST_KEYS = 5
"""Each key is a login attempt, and sshd ends the connection at the sixth (``MaxAuthTries``)."""


@dataclass(frozen=True, slots=True)
class LoginKey:
    """One key and how to name it to a person."""

    key: paramiko.PKey
    shown: str


@dataclass(frozen=True, slots=True)
class _Unusable:
    shown: str
    why: str
    mend: str
    certain: bool = True
    """False: the system's ssh might still make something of it."""


class AgentSilent(paramiko.SSHException):
    """The agent did not answer in time: it waits for somebody, or hangs."""


class KeyAgent(AgentSSH):
    """The person's ssh-agent, asked with a limit. paramiko's own waits for ever on a stopped one."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(seconds)
        try:
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined]  # as paramiko's Agent does
        except (OSError, paramiko.SSHException):
            connection.close()
            raise

    def _send_message(self, message: paramiko.Message) -> tuple[int, paramiko.Message]:
        try:
            answer: tuple[int, paramiko.Message] = super()._send_message(message)  # type: ignore[misc]  # not in its stubs
        except TimeoutError as error:  # on which paramiko's own thread breaks
            raise AgentSilent("the agent did not answer in time") from error
        return answer

    def close(self) -> None:
        """End the connection to the agent."""
        self._close()  # type: ignore[attr-defined]


class LoginKeys:
    """The keys for one dial. ``close`` ends the agent's connection, which signs until then."""

    def __init__(self, plan: SshPlan, deadline: Deadline, *, for_ssh: bool = False) -> None:
        """Raises ``Permanent(AUTH)``, with what is wrong with each key, if none can be used.

        ``for_ssh``: the system's ssh logs in, so a key that only we cannot read is no reason.
        """
        self._agent: KeyAgent | None = None
        self._troubles: list[_Unusable] = []
        if plan.use_agent:
            self._ask_agent(plan, deadline)
        self.agent_answers = self._agent is not None
        self.keys = self._choose(plan)[:_MOST_KEYS]
        if not self.keys and not (for_ssh and any(not one.certain for one in self._troubles)):
            self.close()
            raise self._none_usable(plan)

    def close(self) -> None:
        """May be called twice."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def _ask_agent(self, plan: SshPlan, deadline: Deadline) -> None:
        path = plan.agent_socket or os.environ.get("SSH_AUTH_SOCK")
        if not path:
            blind = "; a service does not see that of a login shell" if is_service() else ""
            self._trouble("agent", f"none (SSH_AUTH_SOCK is not set{blind})", "")
            return
        try:
            self._agent = KeyAgent(path, deadline.at_most(_AGENT_SECONDS).remaining())
        except (OSError, paramiko.SSHException) as error:
            self._trouble("agent", f"does not answer at {path} ({error})", "")
            return
        if not self._agent.get_keys():
            self._trouble("agent", f"holds no key, or is locked ({path})", "ssh-add; or ssh-add -X")

    def _choose(self, plan: SshPlan) -> tuple[LoginKey, ...]:
        held = {key.asbytes(): key for key in self._agent.get_keys()} if self._agent else {}
        chosen: list[LoginKey] = []
        for file in plan.identity_files:
            public = public_half(file)
            if public is not None and public in held:
                chosen.append(LoginKey(held.pop(public), f"{file} (in the agent)"))
            elif Path(file).exists() or plan.identity_required:
                self._add_file(file, chosen)
        if not plan.identities_only:
            chosen += [LoginKey(key, f"agent's {key.comment}") for key in held.values()]
        return tuple(chosen)

    def _add_file(self, file: str, chosen: list[LoginKey]) -> None:
        found = load_key(file, agent=self._agent is not None)
        if isinstance(found, _Unusable):
            self._troubles.append(found)
        else:
            chosen.append(LoginKey(found, file))

    def _trouble(self, shown: str, why: str, mend: str) -> None:
        self._troubles.append(_Unusable(shown, why, mend))

    def _none_usable(self, plan: SshPlan) -> Permanent:
        told = "; ".join(f"{one.shown}: {one.why}" for one in self._troubles)
        mend = next((one.mend for one in self._troubles if one.mend), "")
        other = f"ssh-keygen -t ed25519 && {copy_key(plan)}"
        if is_service() and plan.use_agent and self._agent is None:
            other = f"name a key in ssh.identity_file, or: {_HAND_OVER}"
        return Permanent(
            Cause.AUTH,
            f"no key to log in with as {plan.user} ({told})",
            phase="auth",
            mend=mend or other,
        )


def public_half(file: str) -> bytes | None:
    """The public key that belongs to a private key file, from ``FILE.pub``."""
    try:
        words = Path(f"{file}.pub").read_text(encoding="utf-8").split()
        return paramiko.PKey.from_type_string(words[0], base64.b64decode(words[1])).asbytes()
    except (OSError, ValueError, IndexError, UnknownKeyType, paramiko.SSHException):
        return None


def load_key(file: str, *, agent: bool) -> paramiko.PKey | _Unusable:
    """The private key in a file, or why it cannot be used and what mends it; that never overwrites a
    file. ``agent``: an ssh-agent answers, which could hold the key."""
    quoted = shlex.quote(file)
    try:
        about = Path(file).stat()
        if stat.S_ISREG(about.st_mode) and _is_public(file):
            return _public(file)
        if about.st_uid == os.geteuid() and stat.S_IMODE(about.st_mode) & 0o077:
            return _Unusable(file, "others may read it", f"chmod 600 {quoted}")
        return paramiko.PKey.from_path(file)
    except FileNotFoundError:
        return _Unusable(file, "is missing", f"ssh-keygen -t ed25519 -f {quoted}")
    except OSError as error:
        return _Unusable(file, f"cannot be read ({error.strerror})", f"ls -lL {quoted}")
    except (TypeError, paramiko.PasswordRequiredException):
        return _locked(file, agent=agent)
    except (ValueError, UnknownKeyType, paramiko.SSHException):
        why = "is no private key that can be used; a new one needs another file name"
        return _Unusable(file, why, f"ssh-keygen -y -f {quoted}", certain=False)


def _is_public(file: str) -> bool:
    """Told by what is in it: somebody may have named a private key ``.pub``."""
    with open(file, "rb") as stream:
        return stream.read(_PUBLIC_BYTES).lstrip().startswith(_PUBLIC_STARTS)


def _public(file: str) -> _Unusable:
    private = file.removesuffix(".pub")
    named = private if private != file else "without .pub"
    mend = f"name the private key in ssh.identity_file: {named}"
    return _Unusable(file, "is the public key", mend, certain=False)


def _locked(file: str, *, agent: bool) -> _Unusable:
    quoted = shlex.quote(file)
    if agent:
        return _Unusable(file, "is locked with a passphrase", f"ssh-add {quoted}")
    why = (
        "is locked with a passphrase, and no ssh-agent answers: watchdogd must be started in the "
        "shell that knows one (SSH_AUTH_SOCK)"
    )
    if is_service():
        why = "is locked with a passphrase, and this service knows no ssh-agent"
        return _Unusable(file, why, f"ssh-add {quoted} && {_HAND_OVER}")
    return _Unusable(file, why, f'eval "$(ssh-agent)" && ssh-add {quoted}')


def is_service() -> bool:
    """Was this process started by systemd itself, and so without what a login shell knows?
    (``systemd.exec(5)``: the variable names the process that it was made for.)"""
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())
