"""Back-off with full jitter. The dice are an argument."""

from __future__ import annotations

import math

FLOOR = 0.5
"""Seconds: two dials are never closer (tunnel design, dial policy)."""


def delay(attempt: int, *, base: float, cap: float, chance: float) -> float:
    """Seconds to wait after failure number ``attempt`` (0 = the first).

    Full jitter over ``base * 2**attempt``, bounded by ``cap``; the exponent is bounded too, so no
    attempt number overflows. ``chance`` is uniform in [0, 1).
    """
    exponent = float(min(max(attempt, 0), 32))
    return max(FLOOR, chance * min(cap, base * math.pow(2.0, exponent)))


def doubling(attempt: int, *, base: float, cap: float) -> float:
    """``base``, then twice as long each time, at most ``cap``: for servers that punish retries."""
    exponent = float(min(max(attempt, 0), 32))
    return min(cap, base * math.pow(2.0, exponent))
