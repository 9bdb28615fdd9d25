"""One message to one address, by a program of its own that is ended when it hangs.

apprise stays out of the agent: it takes 40 MiB and half a second of its Python (measured), and a thread in
a library that hangs cannot be ended.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from watchdogd.adapters import apprise_child
from watchdogd.ports import Clock, Deadline, RunHere
from watchdogd.settings import Secret

SEND_SECONDS = 4.0
"""For the sending, from connect to answer."""
START_SECONDS = 8.0
"""For Python and apprise to be loaded, on a busy machine."""
TITLE_LIMIT, BODY_LIMIT = 200, 2000
"""Bytes. With an address they fit into a pipe that nobody reads yet."""
LATE = f"no answer in {SEND_SECONDS:g} s"
_CHILD = str(Path(apprise_child.__file__))
_WHY = {
    apprise_child.REFUSED: "refused, or nobody there",
    apprise_child.UNKNOWN: "an address that apprise does not know",
    apprise_child.MISSING: "apprise is not installed",
    -signal.SIGALRM: LATE,
}


class AppriseSender:
    """Any thread may send."""

    def __init__(self, run: RunHere, clock: Clock, *, seconds: float = SEND_SECONDS) -> None:
        self._run = run
        self._clock = clock
        self._seconds = seconds

    def __call__(self, url: Secret, title: str, body: str) -> str:
        """Empty if it was taken, else why not, without a secret. Ends a few seconds after the deadline at
        the latest, and at once when the agent stops. Raises nothing."""
        asked = {
            "url": url.reveal(),
            "title": _cut(title, TITLE_LIMIT),
            "body": _cut(body, BODY_LIMIT),
            "seconds": self._seconds,
        }
        deadline = Deadline.after(self._clock, START_SECONDS + self._seconds)
        stdin = json.dumps(asked, ensure_ascii=False).encode("utf-8", "replace")
        try:
            ran = self._run((sys.executable, "-P", _CHILD), stdin=stdin, deadline=deadline)
        except OSError as error:
            return f"the program that sends could not be run: {error.strerror or error}"
        if ran.status == apprise_child.SENT:
            return ""
        return LATE if ran.status is None else _WHY.get(ran.status, f"status {ran.status}")


def _cut(text: str, limit: int) -> str:
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
