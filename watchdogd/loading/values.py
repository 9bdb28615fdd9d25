"""From one TOML value to one setting: each parser takes what stands in the file and returns what it means.

A parser is pure, never echoes what may be a secret, and raises ``Refused`` with what was found and
what is allowed. ``duration_text`` and ``size_text`` are the way back.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from ipaddress import ip_address

from watchdogd.settings import Address, Publish

Parser = Callable[[object], object]

_NUMBER = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,9})?)\s?([a-zA-Z]+)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_LONGEST = 366 * 86400.0
_LOOKS_SECRET = re.compile(r"[A-Za-z0-9_+=-]{24,}")
_SHOWN = 60
_LARGEST_BITS = 64
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})

DURATION = 'a duration with a unit, more than 0 and at most 366d: "500ms", "15s", "10m", "6h", "3d"'
SIZE = 'a size with a unit, more than 0: "64k", "512m", "8g"'


class Refused(Exception):
    """This value cannot be taken. ``found`` is safe to show."""

    def __init__(self, found: str, allowed: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.allowed = allowed
        """Empty: what the key's own description says."""


def shown(value: object) -> str:
    """A value as it may stand in a message: short, printable, anything that looks like a token masked."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _LARGEST_BITS:
        return "a huge number"  # Python refuses to write out such a one
    text = masked(str(value))
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def masked(text: str) -> str:
    """The text on one line, with what looks like a token left out."""
    return _LOOKS_SECRET.sub("***", text if text.isprintable() else ascii(text)[1:-1])


def text(value: object) -> str:
    """Any text on one line. NUL and other control characters are refused."""
    if not isinstance(value, str):
        raise Refused(shown(value))
    if any(unicodedata.category(char) in _CONTROL for char in value):
        raise Refused("a text with a control character in it", "a text without control characters")
    return value


def matching(pattern: str, *, empty: bool = False) -> Parser:
    """A text that the whole ``pattern`` fits. ``empty``: the empty text means "not set", so ``None``."""
    compiled = re.compile(pattern)

    def parse(value: object) -> object:
        found = text(value)
        if empty and not found:
            return None
        if not compiled.fullmatch(found):
            raise Refused(shown(found))
        return found

    return parse


_HOST = re.compile(r"[A-Za-z0-9_\[:][A-Za-z0-9_.:%\]-]{0,254}")
_LOGIN = re.compile(r"(?:ssh://)?(?:([\w.@+$-]+)@)?([\w.-]+)(?::([0-9]{1,5}))?/?")


def host(value: object) -> str:
    """A name, an address or an alias. What is typed after ``ssh`` is taken apart for the message."""
    found = text(value)
    parts = _LOGIN.fullmatch(found)
    if parts and (parts[1] or parts[3]):
        keys = [f'host = "{parts[2]}"']
        keys += [f'user = "{parts[1]}"'] if parts[1] else []
        keys += [f"port = {parts[3]}"] if parts[3] else []
        raise Refused(shown(found), f"each in a key of its own: {', '.join(keys)}")
    if not _HOST.fullmatch(found):
        raise Refused(shown(found))
    return found


def choice(*allowed: str, unbuilt: dict[str, str] | None = None) -> Parser:
    """One of the words. ``unbuilt``: words of the documentation whose feature is not there yet."""
    refused = unbuilt or {}
    listed = " or ".join(f'"{word}"' for word in allowed)

    def parse(value: object) -> object:
        found = text(value)
        if found in refused:
            raise Refused(shown(found), f'not built yet: "{found}" ({refused[found]}); {listed}')
        if found not in allowed:
            raise Refused(shown(found), listed)
        return found

    return parse


def flag(value: object) -> bool:
    """``true`` or ``false``."""
    if not isinstance(value, bool):
        raise Refused(shown(value))
    return value


def whole(least: int, most: int) -> Parser:
    """A whole number within the bounds."""

    def parse(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Refused(shown(value))
        return value

    return parse


def duration(value: object) -> float:
    """Seconds of a text such as ``"15s"``."""
    return _quantity(value, _SECONDS, most=_LONGEST)


def duration_from(least: float) -> Parser:
    """Seconds of a text such as ``"15s"``, at least ``least``."""

    def parse(value: object) -> object:
        seconds = duration(value)
        if seconds < least:
            allowed = f"{duration_text(least)} or more: rounds without a rest help nobody"
            raise Refused(shown(value), allowed)
        return seconds

    return parse


def size(value: object) -> int:
    """Bytes of a text such as ``"8g"`` (powers of 1024, as Docker counts)."""
    return int(_quantity(value, _BYTES, most=2.0**50, least=1.0))


def _quantity(
    value: object, units: dict[str, float] | dict[str, int], *, most: float, least: float = 1e-3
) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Refused(f"the bare number {shown(value)}, which has no unit")
    found = text(value)
    match = _NUMBER.fullmatch(found)
    if match is None and re.fullmatch(r"[0-9.]+", found):
        raise Refused(f"{shown(found)}, which has no unit")
    factor = units.get(match[2] if match else "")
    if match is None or factor is None:
        raise Refused(shown(found))
    amount = float(match[1]) * factor
    if not math.isfinite(amount) or not least <= amount <= most:
        raise Refused(shown(found))
    return amount


def duration_text(seconds: float) -> str:
    """The shortest text that ``duration`` reads as the same seconds (to the millisecond)."""
    millis = round(seconds * 1000)
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if millis % length == 0:
            return f"{millis // length}{unit}"
    return f"{millis}ms"


def size_text(count: int) -> str:
    """The shortest text that ``size`` reads as the same bytes."""
    for unit in ("t", "g", "m", "k"):
        if count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}b"


def address(*, loopback: bool, any_port: bool = False) -> Parser:
    """``host:port`` with a literal address. ``any_port``: port 0 is allowed too."""

    def parse(value: object) -> object:
        found = text(value)
        host, colon, port = found.rpartition(":")
        if not colon:
            raise Refused(shown(found))
        return Address(
            _literal(host, found, loopback=loopback), _port(port, found, 0 if any_port else 1)
        )

    return parse


def publish(value: object) -> Publish:
    """``address:port:container_port`` as for ``docker run -p``, loopback only."""
    found = text(value)
    rest, _, inner = found.rpartition(":")
    host, colon, outer = rest.rpartition(":")
    if not colon:
        raise Refused(f"{shown(found)}, which publishes on every interface of the server")
    where = Address(_literal(host, found, loopback=True), _port(outer, found, 1))
    return Publish(address=where, container_port=_port(inner, found, 1))


def _literal(host: str, found: str, *, loopback: bool) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    bare = "127.0.0.1" if bare == "localhost" else bare
    try:
        parsed = ip_address(bare)
    except ValueError:
        raise Refused(shown(found)) from None
    if loopback and not parsed.is_loopback:
        raise Refused(f"{shown(found)}, which other machines can reach")
    if ":" in bare and not host.startswith("["):
        raise Refused(shown(found), "an IPv6 address in brackets: [::1]:9000")
    return str(parsed)


def _port(digits: str, found: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,5}", digits) or not least <= int(digits) <= 65535:
        raise Refused(shown(found))
    return int(digits)


def texts(value: object) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise Refused(shown(value))
    return tuple(text(item) for item in value)


def each(pattern: str) -> Parser:
    """A list of texts, each fitting the whole ``pattern``."""
    one = matching(pattern)

    def parse(value: object) -> object:
        return tuple(one(item) for item in texts(value))

    return parse


def gpus(value: object) -> str | tuple[str, ...]:
    """``all``, ``none`` or a list of device ids."""
    if isinstance(value, str) and value in ("all", "none"):
        return value
    if not isinstance(value, list) or not value:
        raise Refused(shown(value))
    ids = tuple(str(item) if type(item) is int else text(item) for item in value)
    for item in ids:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_:./-]{0,99}", item):
            raise Refused(shown(item))
    return ids
