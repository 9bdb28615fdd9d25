"""Lengths of time for people: one way of saying them, everywhere."""

from __future__ import annotations


def length(seconds: float) -> str:
    """In two units at most: ``4h 10m``, ``5m 20s``, ``42s``, ``3.1s``."""
    whole = int(max(0.0, seconds))
    if whole < 10:
        return f"{max(0.0, seconds):.1f}s"
    for unit, size, lower, less in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // less
            return f"{whole // size}{unit}" + (f" {rest}{lower}" if rest else "")
    return f"{whole}s"
