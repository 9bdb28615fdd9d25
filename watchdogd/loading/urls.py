"""Addresses that hold secrets: whom to tell, and where the heartbeat goes. No text here shows one."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from watchdogd.loading.values import Refused, text
from watchdogd.settings import Secret

LONGEST = 1000
HEARTBEAT = (
    'an address that takes pings: "https://HOST/PATH", or http://, without a fragment and a login, at most '
    f"{LONGEST} characters; it holds a secret"
)
_LABEL = "[A-Za-z0-9_-]{1,63}"
_WEB = re.compile(
    rf"https?://(\[[0-9A-Fa-f:.]{{2,45}}\]|{_LABEL}(\.{_LABEL}){{0,120}})(:[0-9]{{1,5}})?([/?][!\"$-~]*)?"
)
_SHORTEST = 12
"""A shorter part is likely an ordinary word."""


def heartbeat(value: object) -> Secret | None:
    """``notify.heartbeat_url``; ``None`` if it is empty. Raises ``Refused``, which shows nothing of it."""
    found = text(value) if isinstance(value, str) else None
    if found is None:
        raise Refused("no text")
    if not found:
        return None
    if len(found) > LONGEST or not _WEB.fullmatch(found) or not _port_fits(found):
        raise Refused("a text that is no such address")
    return Secret(found)


def _port_fits(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def secrets_of(url: Secret) -> tuple[Secret, ...]:
    """The address and what of it may turn up by itself in a line: that is masked there. Host and port are not,
    or every other line would be."""
    whole = url.reveal()
    _, _, rest = whole.partition("://")
    login, _, place = rest.rpartition("@")
    parts = set(re.split(r"[/?&=:]", f"{login}/{place.partition('/')[2]}"))
    parts |= {unquote(part) for part in parts}
    long = sorted(part for part in parts if len(part) >= _SHORTEST)
    return (url, Secret(rest), *map(Secret, long))
