"""What ``ssh`` wrote on its stderr, line by line: how far a dial came, and what it complained of. Pure.

ssh's exit status says nothing (255 for everything), so its words are all there is. They are kept for
a person, cut at 8 KiB; its debug lines only move the phase.

ssh passes on what a server says before it proved itself, line ends included, so a server can write
lines that look like ssh's own. What follows such a message is believed no more.
"""

from __future__ import annotations

import re

from watchdogd.errors import one_line

_KEPT_BYTES = 8192
_LINE_BYTES = 500
_KEPT_REFUSALS = 64
_DEBUG = "debug1: "
_PHASES = (
    ("Connecting to ", "connect"),
    ("Executing proxy command", "connect"),
    ("Connection established", "banner"),
    ("Remote protocol version", "host_key"),
    ("SSH2_MSG_NEWKEYS received", "auth"),
)
_RANKS = ("resolve", *dict.fromkeys(phase for _, phase in _PHASES))
_QUOTES = (
    "debug1: Remote: ",
    "debug1: Server host certificate: ",
    "Received disconnect from ",
    "Unable to negotiate ",
)
"""Behind these stand the server's own words."""
UNVERIFIED = "Host key verification failed."
_OFFERED = re.compile(r"Offering public key: (.+?) \S+ SHA256:\S+(.*)")
_TAKEN = re.compile(r"Server accepts key: (.+?) \S+ SHA256:\S+(.*)")
_ADDRESS = re.compile(r"Connecting to \S+ \[(\S+)\] port ")
_HOST_KEY = re.compile(r"Server host key: ([\w@.-]+ SHA256:[\w+/]+)")
_WANTED = re.compile(r"channel_connect_stdio_fwd:? (\S+)$")
_NEW_CHANNEL = re.compile(r"channel (\d+): new (stdio-forward|session)")
_REFUSED_CHANNEL = re.compile(r"channel (\d+): open failed: (.+)")
_FAREWELL = re.compile(r"Transferred: sent |Bytes per second: sent ")
"""What ssh counts at its end, whatever the reason: no complaint."""
SESSION = "session"


class Said:
    """Fed by one thread. What is read from others is replaced as a whole, never changed."""

    def __init__(self) -> None:
        self.phase = "resolve"
        """As in the refusals: where the dial is."""
        self.reached = False
        """An SSH server's machine answered."""
        self.authenticated = False
        self.address = ""
        """That the name had, if ssh itself connected to it."""
        self.host_key = ""
        """Kind and fingerprint that the server showed."""
        self.offered: tuple[str, ...] = ()
        """The keys that were shown to the server, as a person knows them."""
        self.signing = ""
        """The key that the server wants a signature of."""
        self.by_agent = False
        """That key is the agent's."""
        self.refusals: tuple[tuple[int, str, str], ...] = ()
        """Channels that the server did not open: a running number, where to, and its reason."""
        self.spoke_early = False
        """A server had the word before it proved itself: whatever stands after it may be its own words too."""
        self._quoted = False
        """A server that is not verified had the word: what comes may still be its words."""
        self._count = 0
        self._wanted = ""
        self._channels: dict[str, str] = {}
        self.lines: tuple[str, ...] = ()
        """The complaints, oldest first."""

    def refused_since(self, number: int, to: str) -> tuple[str, ...]:
        """The reasons of the channels ``to`` there (``host:port``, ``session``) that were refused after
        that many were; of any, if this ssh does not tell where they lead."""
        return tuple(
            why for count, where, why in self.refusals if count > number and where in (to, "")
        )

    def refused(self) -> int:
        """How many channels were refused so far."""
        return self._count

    def hear(self, line: str) -> None:
        """One line, without its end."""
        line = line[:_LINE_BYTES]
        if line.startswith(_DEBUG):
            self._debug(line.removeprefix(_DEBUG))
        elif line.startswith("Authenticated to "):
            self.authenticated = True
        elif found := _REFUSED_CHANNEL.match(line):
            self._refused_channel(found[1], one_line(found[2], _LINE_BYTES))
        elif line.strip() and not _FAREWELL.match(line):
            self._keep(one_line(line, _LINE_BYTES))
        if line.startswith(_QUOTES):
            self._quoted = True
            self.spoke_early = self.spoke_early or self.phase != "auth"

    def _doubted(self) -> bool:
        return self._quoted and self.phase != "auth"

    def _debug(self, text: str) -> None:
        for start, phase in _PHASES:
            if text.startswith(start) and _RANKS.index(phase) >= _RANKS.index(self.phase):
                self.phase = phase
                self.reached = self.reached or phase in ("banner", "host_key")
        if found := _WANTED.match(text):
            self._wanted = found[1]
        elif found := _NEW_CHANNEL.match(text):
            self._channels[found[1]] = SESSION if found[2] == SESSION else self._wanted
        elif not self._doubted():
            self._learn(text)

    def _learn(self, text: str) -> None:
        if found := _ADDRESS.match(text):
            self.address = found[1]
        elif self.phase != "auth" and (found := _HOST_KEY.match(text)):
            self.host_key = found[1]
        elif found := _OFFERED.match(text):
            self.offered = (*self.offered, _shown(found))
            self.signing = ""
        elif found := _TAKEN.match(text):
            self.signing, self.by_agent = _shown(found), " agent" in found[2]
        elif text.startswith("kex_exchange_identification: banner line "):
            self._keep(one_line(text, _LINE_BYTES))

    def _refused_channel(self, channel: str, why: str) -> None:
        kept = self.refusals[-_KEPT_REFUSALS:]
        self.refusals = (*kept, (self._count + 1, self._channels.get(channel, ""), why))
        self._count += 1
        if not self.authenticated:  # a jump host's: our own has no channel yet
            self._keep(f"open failed: {why}")

    def _keep(self, line: str) -> None:
        if self._doubted() and line != UNVERIFIED:
            return
        kept = [*self.lines, line]
        while sum(map(len, kept)) > _KEPT_BYTES:
            del kept[0]
        self.lines = tuple(kept)


def _shown(found: re.Match[str]) -> str:
    return f"{found[1]} (in the agent)" if " agent" in found[2] else found[1]
