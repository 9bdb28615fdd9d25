"""Takes secrets out of whatever is about to be written: by key, by pattern and by the very texts held."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote

from watchdogd.settings import Secret

Secrets = Callable[[], Iterable[Secret]]

MASK = "***"
_KEY = re.compile(
    r"token|secret|passw|passphrase|authori[sz]ation|cookie|credential|api_?key", re.I
)
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.S)
# No pattern begins with a repetition: a server's long text would cost the square of its length.
_NAME = r"(?:token|password|passwd|passphrase|secret|api_?key)"
_PATTERNS = (
    # token=... in URLs, commands and reprs; "token": "..." in JSON and dicts; token: ... in prose,
    # where a short word is an ordinary word ("refresh_token: done").
    (re.compile(rf"({_NAME}=\s*[\"']?)[^\s&\"',;)}}\]]+", re.I), rf"\1{MASK}"),
    (re.compile(rf"""({_NAME}["']\s*:\s*)("[^"]*"|'[^']*')""", re.I), rf"\1'{MASK}'"),
    (re.compile(rf"({_NAME}:\s*)[^\s\"',;)}}\]]{{12,}}", re.I), rf"\1{MASK}"),
    (re.compile(r"(\bauthorization[\"']?\s*[:=]\s*[\"']?)[^\"'\r\n,}]+", re.I), rf"\1{MASK}"),
    (re.compile(r"((?:set-)?cookie[\"']?\s*[:=]\s*[\"']?)[^\"'\r\n}]+", re.I), rf"\1{MASK}"),
    (re.compile(r"(\b(?:bearer|token)\s+)[A-Za-z0-9_.+/=-]{16,}", re.I), rf"\1{MASK}"),
    (re.compile(r"(://[^\s/@:]*:)[^\s/@]+@"), rf"\1{MASK}@"),
)
_DEPTH = 6
_SHORTEST = 4


class Redactor:
    """Redacts texts and the values of records. ``secrets`` is asked each time: tokens change."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def text(self, text: str) -> str:
        """The text without secrets. Raises what ``secrets`` raises: better no line than a token in one."""
        return _text(text, self._held())

    def value(self, value: object) -> object:
        """The same value in plain types, redacted: objects become their (redacted) ``repr``. ``secrets`` is
        asked once. Raises as ``text``."""
        return _value(value, self._held(), 0)

    def _held(self) -> list[str]:
        known = [text for secret in self._secrets() if len(text := secret.reveal()) >= _SHORTEST]
        quoted = [quote(text, safe="") for text in known]
        # A longer one may contain a shorter one: that one goes first.
        return sorted({*known, *quoted}, key=len, reverse=True)


def _text(text: str, held: Sequence[str]) -> str:
    for secret in held:
        text = text.replace(secret, MASK)
    text = _PEM.sub(MASK, text)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def _value(value: object, held: Sequence[str], depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(value, held)
    if depth >= _DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {
            _text(str(key), held): _field(str(key), inner, held, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(inner, held, depth + 1) for inner in value]
    if isinstance(value, bytes | bytearray):
        return _text(bytes(value).decode("utf-8", "replace"), held)
    return _text(repr(value), held)


def _field(key: str, value: object, held: Sequence[str], depth: int) -> object:
    # A number, a flag or an empty field under a telling name is a fact about it, not the secret.
    if _KEY.search(key) and isinstance(value, str | bytes | list | tuple | Mapping) and value:
        return MASK
    return _value(value, held, depth)
