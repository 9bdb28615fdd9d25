"""Who listens on a local TCP port: named for a person, never touched."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from watchdogd.errors import ConfigError, Problem
from watchdogd.ports import HOLDER_SYSTEM
from watchdogd.settings import Address

_PROC = Path("/proc")
_LISTENING = "0A"
UNKNOWN = "another process"


def listening_inodes(table: str, local: Address) -> frozenset[str]:
    """Socket inodes that listen on ``local``, or on that port of all addresses, in the text of
    ``/proc/net/tcp`` or ``tcp6``. ``local`` must be a literal address."""
    wanted = {f"{host}:{local.port:04X}" for host in _in_the_way(local.host)}
    rows = (line.split() for line in table.splitlines()[1:])
    return frozenset(
        row[9] for row in rows if len(row) > 9 and row[1] in wanted and row[3] == _LISTENING
    )


def _in_the_way(host: str) -> Iterator[str]:
    """The addresses whose listener takes that host's port, as the kernel writes them: words of the machine's
    own byte order in hexadecimal."""
    address = ipaddress.ip_address(host)
    found = [address, ipaddress.IPv6Address("::")]
    if isinstance(address, ipaddress.IPv4Address):
        found += [ipaddress.IPv4Address("0.0.0.0"), ipaddress.IPv6Address(f"::ffff:{host}")]  # noqa: S104
        found.append(ipaddress.IPv6Address("::ffff:0.0.0.0"))
    for one in found:
        words = struct.unpack(f"={len(one.packed) // 4}I", one.packed)
        yield "".join(f"{word:08X}" for word in words)


def holder_of(local: Address) -> str:
    """``PROGRAM (pid N)`` for each holder, or "another process" where the system does not tell."""
    links = _links(local)
    found = [f"{_program(pid)} (pid {pid})" for pid in _pids() if _holds(pid, links)]
    return ", ".join(found) or UNKNOWN


def is_held_by(local: Address, pid: int) -> bool:
    """True if that process listens there; False where the system does not tell."""
    return _holds(pid, _links(local))


def conflict(local: Address, error: OSError | None) -> str:
    """Who keeps us from listening on ``local``: the holders, or the system with its reason."""
    if error is not None and error.errno == errno.EADDRINUSE:
        return holder_of(local) if local.port else UNKNOWN
    # A privileged port, or an address that this machine lacks: nobody is to be ended.
    return f"{HOLDER_SYSTEM} ({error.strerror if error is not None else 'cannot be bound'})"


def loopback_family(local: Address) -> socket.AddressFamily:
    """For a listener there. Raises ``ConfigError`` unless it is a literal loopback address."""
    try:
        address = ipaddress.ip_address(local.host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        problem = Problem(
            file="forward",
            key="forward.local",
            found=str(local),
            allowed="a loopback address, such as 127.0.0.1:9000",
        )
        raise ConfigError((problem,))
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def refused_bind(local: Address) -> OSError | None:
    """Why ``local`` could not be listened on now, or ``None``. Nothing listens on it meanwhile."""
    family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        try:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((local.host, local.port))
        except OSError as error:
            return error
    return None


def _links(local: Address) -> set[str]:
    inodes: frozenset[str] = frozenset()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            inodes |= listening_inodes((_PROC / "net" / name).read_text(), local)
    return {f"socket:[{inode}]" for inode in inodes}


def _pids() -> Iterator[int]:
    with suppress(OSError):
        for name in os.listdir(_PROC):
            if name.isdigit():
                yield int(name)


def _holds(pid: int, links: set[str]) -> bool:
    folder = _PROC / str(pid) / "fd"
    with suppress(OSError):
        return any(_link(folder / name) in links for name in os.listdir(folder))
    return False


def _link(file: Path) -> str:
    with suppress(OSError):
        return os.readlink(file)
    return ""


def _program(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return "a process"
