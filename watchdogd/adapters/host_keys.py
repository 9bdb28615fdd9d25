"""Is that server the one that known_hosts knows? Before any login, on every dial.

``ssh-keygen -F`` finds the lines, also hashed ones and wildcards. The comparison is ours: paramiko's
own loader gives up on a whole file for one line that it does not like.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Clock, Deadline

_LIMIT_SECONDS = 5.0
_SETTLED_SECONDS = 2.5
"""FAT counts in steps of 2 s."""
_FileState = tuple[int, int, int, int] | None
"""Device, inode, size and time of the last change; ``None``: not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """One line of known_hosts that matches the host."""

    file: str
    marker: str
    """Empty, ``@revoked`` or ``@cert-authority``."""
    kind: str
    """Such as ``ssh-ed25519``."""
    blob: bytes


def find_argv(name: str, file: str) -> list[str]:
    """The command that prints the lines of ``file`` that match ``name``."""
    return ["ssh-keygen", "-F", name, "-f", file]


def parse_lines(text: str, file: str) -> tuple[KnownKey, ...]:
    """The keys in what ``ssh-keygen -F`` printed; comments and broken lines are left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        found.append(KnownKey(file=file, marker=marker, kind=words[1], blob=blob))
    return tuple(found)


def look_up(plan: SshPlan, deadline: Deadline) -> tuple[KnownKey, ...]:
    """All keys that the plan's files know for its host.

    Raises ``Permanent(HOST_KEY)`` if there is no ``ssh-keygen``, ``Transient(AGENT)`` if it hangs.
    """
    files = [name for name in plan.known_hosts if Path(name).is_file()]
    return tuple(key for file in files for key in _look_into(plan.known_name, file, deadline))


class KnownHosts:
    """``look_up`` for one plan, dial after dial: asked anew when a file changed. ``ssh-keygen`` took 35 of a
    dial's 180 ms on a busy machine (measured)."""

    def __init__(self, plan: SshPlan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._last: tuple[tuple[_FileState, ...], tuple[KnownKey, ...]] | None = None
        """Replaced as one: several targets may dial at once."""

    def look_up(self, deadline: Deadline) -> tuple[KnownKey, ...]:
        """As ``look_up``."""
        states = tuple(_state(name) for name in self._plan.known_hosts)
        if (last := self._last) is not None and last[0] == states:
            return last[1]
        known = look_up(self._plan, deadline)
        self._last = (states, known) if self._settled(states) else None
        return known

    def _settled(self, states: Iterable[_FileState]) -> bool:
        """False for a file that may change again within the same tick of its file system's clock."""
        now = self._clock.wall()
        return all(state is None or now - state[-1] / 1e9 > _SETTLED_SECONDS for state in states)


def _state(name: str) -> _FileState:
    try:
        found = Path(name).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def _look_into(name: str, file: str, deadline: Deadline) -> tuple[KnownKey, ...]:
    limit = deadline.at_most(_LIMIT_SECONDS).remaining()
    try:
        done = subprocess.run(
            find_argv(name, file),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except FileNotFoundError as error:
        raise Permanent(
            Cause.HOST_KEY,
            "ssh-keygen is missing, so host keys cannot be checked",
            phase="host_key",
            mend="install the OpenSSH client (Debian: apt install openssh-client)",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Transient(
            Cause.AGENT, f"ssh-keygen did not read {file} in time", phase="host_key"
        ) from error
    if done.returncode not in (0, 1) and os.access(file, os.R_OK):  # 1: it has no such line
        told = f"ssh-keygen could not read {file} (status {done.returncode})"
        raise Transient(Cause.AGENT, told, phase="host_key")
    return parse_lines(done.stdout.decode(errors="replace"), file)


def preferred_kinds(known: Iterable[KnownKey], offered: Iterable[str]) -> tuple[str, ...]:
    """``offered`` signature kinds, those that fit a known key first.

    A server has several keys; asking for one that is known avoids a false alarm.
    """
    kinds = {key.kind for key in known if key.marker == ""}
    if "ssh-rsa" in kinds:
        kinds |= {"rsa-sha2-256", "rsa-sha2-512"}
    every = tuple(offered)
    return (*(k for k in every if k in kinds), *(k for k in every if k not in kinds))


def fingerprint(blob: bytes) -> str:
    """As ``ssh`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def verify(plan: SshPlan, known: tuple[KnownKey, ...], kind: str, blob: bytes) -> None:
    """Returns if the server's key is known for this host, else raises ``Permanent(HOST_KEY)``.

    The refusal's ``mend`` is the exact command, to be run after comparing the fingerprint.
    """
    shown = f"{kind} {fingerprint(blob)}"
    if any(key.marker == "@revoked" and key.blob == blob for key in known):
        raise _refused(f"the host key of {plan.known_name} is revoked ({shown})", "")
    if any(key.marker == "" and key.blob == blob for key in known):
        return
    plain = [key for key in known if key.marker == ""]
    if plain:
        raise _refused(
            f"the host key of {plan.known_name} changed: it shows {shown}, and {plain[0].file} "
            f"knows {plain[0].kind} {fingerprint(plain[0].blob)}. Somebody may be in between",
            "ask whoever runs the server for its new fingerprint; only if it is the one shown: "
            + change_command(plan, plain[0].file),
        )
    if any(key.marker == "@cert-authority" for key in known):
        raise _refused(
            f"{plan.known_name} is known by a certificate authority only: it needs engine `openssh`",
            'set ssh.engine = "openssh"',
        )
    raise _refused(
        f"the host key of {plan.known_name} is unknown: it shows {shown}. Compare that "
        "fingerprint with the server's before you say yes",
        add_command(plan),
    )


def add_command(plan: SshPlan) -> str:
    """A login by hand: ssh shows the fingerprint, asks, and only then makes the host known, in its file."""
    options = "-o StrictHostKeyChecking=ask"
    folder = ""
    if plan.known_hosts_given and plan.known_hosts:
        file = plan.known_hosts[0]
        escaped = file.replace("%", "%%")
        options += " -o " + shlex.quote(f'UserKnownHostsFile="{escaped}"')
        if not Path(file).parent.is_dir():
            folder = f"mkdir -p -m 700 {shlex.quote(str(Path(file).parent))} && "
    where = f"-p {plan.port} {shlex.quote(f'{plan.user}@{plan.alias}')}"
    return f"{folder}ssh {options} {where} true"


def change_command(plan: SshPlan, file: str) -> str:
    """The command that forgets a host's old keys."""
    return forget_command(plan.known_name, file)


def forget_command(name: str, file: str) -> str:
    """The same for any name of known_hosts."""
    return f"ssh-keygen -R {shlex.quote(name)} -f {shlex.quote(file)}"


def _refused(detail: str, mend: str) -> Permanent:
    return Permanent(Cause.HOST_KEY, detail, phase="host_key", mend=mend, reached=True)
