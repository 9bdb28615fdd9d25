"""The kernel's own word on links, addresses and routes (Linux): when they change, and which way leads where.

rtnetlink(7), on a plain socket: no privilege is needed and nothing is sent to anybody. Elsewhere every function
raises ``OSError``.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from watchdogd.ports import Deadline

_LINK, _ADDRESS4, _ROUTE4, _RULE4, _ADDRESS6, _ROUTE6, _RULE6 = (
    1,
    0x10,
    0x40,
    0x80,
    0x100,
    0x400,
    1 << 18,
)
_GROUPS = _LINK | _ADDRESS4 | _ROUTE4 | _RULE4 | _ADDRESS6 | _ROUTE6 | _RULE6
"""What a way depends on, as multicast groups (linux/rtnetlink.h)."""
_REQUEST = 1
_ERROR, _NEW_LINK, _GET_LINK, _NEW_ROUTE, _GET_ROUTE = 2, 16, 18, 24, 26
_DESTINATION, _INTERFACE, _GATEWAY, _SOURCE = 1, 4, 5, 7
_UNICAST, _LOCAL = 1, 2
_RUNNING = 0x40
_HEADER, _ROUTE, _LINK_INFO, _ATTRIBUTE = (
    struct.Struct(layout) for layout in ("=IHHII", "=BBBBBBBBI", "=BBHiII", "=HH")
)
_MOST = 65_536


class Notifications:
    """A socket on which something arrives whenever a link, address, route or rule changes."""

    def __init__(self) -> None:
        """Raises ``OSError`` where there is no such socket, or it is not allowed."""
        self._socket = _opened()
        try:
            self._socket.bind((0, _GROUPS))
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """To wait on."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Take all that arrived. What was lost for want of room was news as well."""
        with suppress(BlockingIOError):
            while True:
                try:
                    self._socket.recv(_MOST)
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise

    def close(self) -> None:
        """Once."""
        self._socket.close()


def way(address: str, deadline: Deadline) -> str:
    """How the kernel would reach an address: interface, gateway and own address in one text, to be compared.
    Empty if it would not, or if that interface has no carrier.

    Raises ``OSError`` if it cannot be asked, also if it does not answer in time, or not in whole.
    """
    try:
        return _way(address, deadline)
    except (struct.error, IndexError) as error:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG)) from error


def _way(address: str, deadline: Deadline) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address.partition("%")[0])
    wanted = _ROUTE.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, 0)
    wanted += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _DESTINATION) + packed
    with _opened() as asked:
        found = _answer(asked, _GET_ROUTE, wanted, _NEW_ROUTE, deadline)
        if found is None or found[7] not in (_UNICAST, _LOCAL):
            return ""
        told = dict(_attributes(found[_ROUTE.size :]))
        if _INTERFACE not in told:
            return ""
        (interface,) = struct.unpack("=i", told[_INTERFACE])
        info = _LINK_INFO.pack(0, 0, 0, interface, 0, 0)
        link = _answer(asked, _GET_LINK, info, _NEW_LINK, deadline)
    if link is None or not _LINK_INFO.unpack_from(link)[4] & _RUNNING:
        return ""
    gateway, own = (told.get(name, b"").hex() for name in (_GATEWAY, _SOURCE))
    return f"{interface}/{gateway}/{own}"


def _opened() -> socket.socket:
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    return socket.socket(family, socket.SOCK_RAW, socket.NETLINK_ROUTE)


_numbers = itertools.count(1)


def _answer(
    asked: socket.socket, kind: int, body: bytes, wanted: int, deadline: Deadline
) -> bytes | None:
    """The body of the answer; ``None`` where the kernel knows of nothing such."""
    number = next(_numbers) & 0xFFFF_FFFF
    asked.settimeout(max(0.001, deadline.remaining()))
    asked.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, number, 0) + body)
    while not deadline.passed():
        asked.settimeout(max(0.001, deadline.remaining()))
        data = asked.recv(_MOST)
        if len(data) < _HEADER.size + _ROUTE.size:
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        length, found, _, answers, _ = _HEADER.unpack_from(data)
        if answers == number and found in (wanted, _ERROR):
            return data[_HEADER.size : length] if found == wanted else None
    raise TimeoutError


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
