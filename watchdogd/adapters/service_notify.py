"""Telling the service manager how it goes: ``sd_notify``, in plain datagrams.

Silent where no manager listens (a terminal, launchd), so that the same code runs everywhere. The
protocol is that of ``sd_notify(3)``; it wants nothing but one datagram for each message.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import MutableMapping

from watchdogd.ports import Clock

log = logging.getLogger(__name__)

SEND_SECONDS = 1.0
"""For what is told once. A status or a beat waits for nobody: the decision loop tells them."""
MOST_STATUS = 1500
"""Bytes of a status text: a datagram that is too long would be lost as a whole."""
USEC = 1_000_000.0


class ServiceNotify:
    """The manager of this process, if it has one. Any thread may call; nothing raises."""

    def __init__(self, environ: MutableMapping[str, str], clock: Clock) -> None:
        """Takes the protocol's variables out of ``environ``, or children would speak for this process."""
        self._clock = clock
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        pid = environ.pop("WATCHDOG_PID", "")
        usec = environ.pop("WATCHDOG_USEC", "")
        ours = not pid or pid == str(os.getpid())
        self._watchdog = int(usec) / USEC if usec.isdecimal() and ours and self._address else 0.0
        self._beaten = float("-inf")
        self._status = ""
        self._lock = threading.Lock()
        self._failed = False
        self._stopped = False

    def wanted_within(self) -> float | None:
        """Seconds within which a beat is due again and again, with room to spare; ``None``: no matter."""
        return self._watchdog / 4 if self._watchdog else None

    def ready(self) -> None:
        """The agent works; also: a reload is over."""
        self._send("READY=1", SEND_SECONDS)

    def reloading(self) -> None:
        """The configuration is being read again, until ``ready``."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock.run() * USEC)}", SEND_SECONDS)

    def stopping(self) -> None:
        """The end has begun: no state that is told from now on would be true for long."""
        self._send("STOPPING=1\nSTATUS=stopped", SEND_SECONDS)
        self._stopped = True

    def status(self, text: str) -> None:
        """What ``systemctl status`` shows: one line. The same text again is not sent."""
        line = " ".join(text.split()).encode()[:MOST_STATUS].decode(errors="ignore")
        if line != self._status and not self._stopped and self._send(f"STATUS={line}"):
            self._status = line

    def beat(self) -> None:
        """A round of the decision loop was completed: the manager's watchdog is fed, not more often
        than it needs. Nothing else may call this."""
        wanted = self.wanted_within()
        now = self._clock.run()
        due = wanted is not None and now - self._beaten >= wanted / 2
        if due and self._send("WATCHDOG=1"):
            self._beaten = now

    def _send(self, message: str, seconds: float = 0.0) -> bool:
        """True if the manager has it; waits at most so long for room in its queue."""
        if self._address is None:
            return False
        try:
            with self._lock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(seconds)
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._failed:
                log.warning("the service manager cannot be told anything (%s)", error)
            self._failed = True
        else:
            self._failed = False
        return not self._failed


def _address(name: str) -> str | bytes | None:
    """A leading ``@`` stands for the NUL byte of an abstract socket."""
    if name.startswith("@"):
        return b"\0" + name[1:].encode()
    return name if name.startswith("/") else None
