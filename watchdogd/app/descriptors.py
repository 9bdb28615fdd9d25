"""How many files and sockets this process may have open at once: as many as the system allows it."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

MOST = 65_536
"""Enough for thousands of targets. Not more: a child inherits it, and some close every number below it."""
FALLBACKS = (MOST, 10_240)
"""The second is macOS's ``OPEN_MAX``: there more is refused although the limit reads as unlimited."""
OF_THE_AGENT, OF_A_TARGET = 64, 16
"""An idle target holds 4.5 (measured with 50); the rest is for its clients and the container engine."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one, at most to ``MOST``; returns what is in force now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in FALLBACKS:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= limit:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):
            continue
        return limit
    return MOST if soft == resource.RLIM_INFINITY else soft


def warn_if_few(limit: int, targets: int) -> None:
    """Say so if that is too little for so many targets."""
    needed = OF_THE_AGENT + OF_A_TARGET * targets
    if limit < needed:
        log.warning(
            "%d targets may need %d file descriptors, and the system allows %d: raise the hard limit"
            " (ulimit -Hn, or LimitNOFILE= in a drop-in of the service)",
            targets,
            needed,
            limit,
        )
