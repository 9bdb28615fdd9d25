"""Run as a program of its own: sends one message by apprise, and ends. The only import of apprise.

Standard input is one line of JSON: ``url``, ``title``, ``body`` and ``seconds``; so no secret stands in an
argv. Whatever hangs after that many seconds, this program ends with it. It imports nothing of watchdogd.
"""

from __future__ import annotations

import json
import logging
import signal
import sys

SENT, REFUSED, UNKNOWN, MISSING = 0, 10, 11, 12
"""How it ends: taken; not taken, or nobody there; an address that apprise does not know; no apprise."""


def main() -> int:
    """Sends what standard input asks for."""
    asked = json.load(sys.stdin)
    try:
        import apprise
    except ImportError:
        return MISSING
    logging.disable(logging.CRITICAL)  # its lines hold addresses
    service = apprise.Apprise.instantiate(asked["url"], suppress_exceptions=True)
    if service is None:
        return UNKNOWN
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
    return SENT if service.notify(title=asked["title"], body=asked["body"]) else REFUSED


if __name__ == "__main__":
    sys.exit(main())
