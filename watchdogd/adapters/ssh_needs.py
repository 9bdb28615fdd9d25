"""What of a person's ssh configuration only the system's own ``ssh`` can honour. Pure, but for key files.

Ignoring a jump host or a certificate would dial another way than the person configured.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Options = Mapping[str, tuple[str, ...]]
"""The lines of ``ssh -G`` by lower-case option; an option may stand there several times."""

_NEEDED = (
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
_COMMANDS = ("proxycommand", "knownhostscommand")
_LOGINS = ("certificatefile", "pkcs11provider", "identityagent", "identityfile")
_HARDWARE_KEYS = (b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com")


@dataclass(frozen=True, slots=True)
class Need:
    """One option and its value, as ``ssh -G`` names them."""

    option: str
    value: str

    def __str__(self) -> str:
        return f"{self.option} {self.shown}"

    @property
    def shown(self) -> str:
        """The value, for a person. Of a command the program only: its arguments may hold a password."""
        words = self.value.split()
        return f"{words[0]} ..." if self.option in _COMMANDS and len(words) > 1 else self.value

    def is_login(self) -> bool:
        """True if it brings a key that only ssh can judge."""
        return self.option in _LOGINS


def one(options: Options, option: str, default: str) -> str:
    """The first value of an option."""
    return options[option][0] if option in options else default


def needs(options: Options, identity_files: Sequence[str]) -> tuple[Need, ...]:
    """Everything that needs ``ssh``; empty if any SSH client will do."""
    found = [
        Need(name, one(options, name, "none"))
        for name in _NEEDED
        if one(options, name, "none") != "none"
    ]
    agent = one(options, "identityagent", "SSH_AUTH_SOCK")
    if agent not in ("SSH_AUTH_SOCK", "none"):
        found.append(Need("identityagent", agent))
    return (*found, *_of_keys(identity_files))


def is_hardware_key(file: str) -> bool:
    """True if the file is the handle of a security key (its public half says so)."""
    try:
        text = Path(file).read_text(encoding="ascii")
        body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
        return any(kind in base64.b64decode(body) for kind in _HARDWARE_KEYS)
    except (OSError, UnicodeDecodeError, binascii.Error):
        return False


def _of_keys(identity_files: Sequence[str]) -> list[Need]:
    present = [name for name in identity_files if Path(name).is_file()]
    hardware = [name for name in present if is_hardware_key(name)]
    found = [
        Need("certificatefile", f"{name}-cert.pub")
        for name in present
        if Path(f"{name}-cert.pub").is_file()
    ]
    if hardware and len(hardware) == len(present):
        found.append(Need("identityfile", f"{hardware[0]} (a security key)"))
    return found
