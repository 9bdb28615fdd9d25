"""Asking over HTTP, on loopback."""

from __future__ import annotations

import urllib.error
import urllib.request

from watchdogd.settings import Address


def fetch(address: Address, path: str) -> tuple[int, str]:
    """Status and body, whatever the status. Raises ``OSError`` if nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
