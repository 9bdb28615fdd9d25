"""From a host name to a TCP connection on which an SSH server speaks: every step with its limit."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from watchdogd.adapters.bounded import within
from watchdogd.adapters.dial_attempts import Hold
from watchdogd.adapters.ssh_refusals import OWN_SHORTAGE
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Cause
from watchdogd.errors import Transient, one_line
from watchdogd.ports import Deadline

_RESOLVE_SECONDS = 10.0
_ADDRESS_SECONDS = 5.0
_SHARE = 2 / 3
"""Of the time that is left, for the addresses that are left: the rest is the login's."""
_BANNER_SECONDS = 10.0
_LOST_DATA_SECONDS = 60.0
"""Unacknowledged data for so long ends the connection (Linux). At 20 s a link whose packets were
dropped ended after 25.5 s, without after 949.8 s (measured)."""
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}

Found = tuple[socket.AddressFamily, tuple[Any, ...]]
"""As ``getaddrinfo`` gives it: a link-local address is none without its scope."""


def addresses(plan: SshPlan, deadline: Deadline, hold: Hold) -> tuple[Found, ...]:
    """All addresses of the host. Raises ``Transient(DNS)``, also if the resolver hangs."""
    family = _FAMILIES.get(plan.address_family, socket.AF_UNSPEC)
    try:
        if _is_literal(plan.host):  # needs no resolver, and no thread that might hang in one
            return _look_up(plan, family, socket.AI_NUMERICHOST)
        limit = deadline.at_most(_RESOLVE_SECONDS)
        errors = (OSError, UnicodeError)
        look_up = partial(_look_up, plan, family, 0)
        return within(limit, "ssh-resolve", look_up, errors=errors, hold=hold)
    except (OSError, UnicodeError) as error:
        raise Transient(
            Cause.DNS, f"the name {plan.host} was not resolved: {error}", phase="resolve"
        ) from error


def ways_to(found: Sequence[Found]) -> int:
    """How many of the addresses this machine has a way to, at least one. No packet is sent."""
    return max(1, sum(_has_way(family, address) for family, address in found))


def _has_way(family: socket.AddressFamily, address: tuple[Any, ...]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as plain:
            plain.connect(address)
    except OSError:
        return False
    return True


def connect(found: Sequence[Found], shown: str, deadline: Deadline, hold: Hold) -> socket.socket:
    """A connection to the first address that accepts, each tried for 5 s; for less if there are many, so
    that the last one has its turn and its login has time.

    Raises ``Transient``: ``SSHD_DOWN`` if one refused, ``SSHD_REJECTS`` if one accepted and reset,
    ``OFFLINE`` if there was no way to any, ``AGENT`` if this process is out of descriptors or memory, else ``HOST_UNREACHABLE``.
    """
    errors: list[OSError] = []
    for number, (family, address) in enumerate(found):
        limit = min(_ADDRESS_SECONDS, _SHARE * deadline.remaining() / (len(found) - number))
        try:
            return _connect_one(family, address, limit, hold)
        except OSError as error:
            errors.append(error)
    raise _connect_failed(shown, errors)


def await_banner(connection: socket.socket, deadline: Deadline) -> None:
    """Returns once ``SSH-`` (or a line before it) is there to read; reads nothing away.

    Raises ``Transient``: ``SSHD_REJECTS`` if the server ends the connection or says that it does
    not want us, ``HOST_UNREACHABLE`` if nothing comes for 10 s.
    """
    limit = deadline.at_most(_BANNER_SECONDS)
    connection.settimeout(max(0.01, limit.remaining()))
    try:
        head = connection.recv(256, socket.MSG_PEEK)
    except TimeoutError as error:
        raise _banner(
            Cause.HOST_UNREACHABLE,
            "accepted, then said nothing; is there an SSH server on that port?",
        ) from error
    except OSError as error:
        raise _banner(Cause.SSHD_REJECTS, f"ended the connection ({error.strerror})") from error
    if not head:
        raise _banner(Cause.SSHD_REJECTS, "ended the connection before it said anything")
    said = head.split(b"\n")[0].decode(errors="replace").strip()
    if "Not allowed at this time" in said or "MaxStartups" in said:
        raise _banner(Cause.SSHD_REJECTS, f"said: {one_line(said, 100)}")


def _look_up(plan: SshPlan, family: int, flags: int) -> tuple[Found, ...]:
    entries = socket.getaddrinfo(plan.host, plan.port, family, socket.SOCK_STREAM, 0, flags)
    return tuple((entry[0], entry[4]) for entry in entries)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _connect_one(
    family: socket.AddressFamily, address: tuple[Any, ...], seconds: float, hold: Hold
) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it connect and first byte through the forward took 37.7 ms instead of 2.9 (measured).
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            limit = int(_LOST_DATA_SECONDS * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)
        connection.settimeout(max(0.01, seconds))
        with hold(partial(_shut, connection)):
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def _shut(connection: socket.socket) -> None:
    """Who waits for it to be connected is woken (Linux)."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _connect_failed(shown: str, errors: Sequence[OSError]) -> Transient:
    numbers = [error.errno for error in errors]
    told = "; ".join(sorted({error.strerror or "timed out" for error in errors})) or "no address"
    if any(number in OWN_SHORTAGE for number in numbers):
        cause = Cause.AGENT
    elif errno.ECONNRESET in numbers or errno.EPIPE in numbers:  # accepted, then reset
        cause = Cause.SSHD_REJECTS
    elif errno.ECONNREFUSED in numbers:
        cause = Cause.SSHD_DOWN
    elif numbers and all(number in (errno.ENETUNREACH, errno.EADDRNOTAVAIL) for number in numbers):
        cause = Cause.OFFLINE
    else:
        cause = Cause.HOST_UNREACHABLE
    reached = cause is Cause.SSHD_REJECTS
    return Transient(cause, f"no connection to {shown}: {told}", phase="connect", reached=reached)


def _banner(cause: Cause, told: str) -> Transient:
    return Transient(cause, f"the SSH server {told}", phase="banner", reached=True)
