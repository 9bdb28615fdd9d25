"""The lines that wait to be told, and how far each destination is: in memory, and through it in the journal.

A journal that cannot be written costs that they survive the agent, and is said once; they are told all the same.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from watchdogd.core.notices import Notice, Told
from watchdogd.ports import Outbox, Posted, Reached
from watchdogd.settings import Secret
from watchdogd.sinks.messages import line

log = logging.getLogger(__name__)

MOST_LINES = 200
"""Of those that wait for the slowest destination."""


class Outgoing:
    """Seen from one thread."""

    def __init__(self, outbox: Outbox, redact: Callable[[str], str]) -> None:
        self._outbox = outbox
        self._redact = redact
        self._lines: list[Posted] = []
        self._reached: dict[str, Reached] = {}
        self._unkept: dict[str, Told] = {}
        self._last = 0
        self._begin = 0
        self._failing = False

    def recall(self) -> Mapping[str, Told]:
        """Take up what a former agent left; returns what it told last of each target."""
        try:
            left = self._outbox.left()
        except OSError as error:
            self._failed(error)
            return {}
        self._lines = list(left.lines)
        self._reached = dict(left.reached)
        seqs = [one.seq for one in left.lines] + [one.seq for one in left.reached.values()]
        self._last = self._begin = max(seqs, default=0)
        return left.told

    def post(self, target: str, told: Told, notices: Sequence[Notice]) -> None:
        """Add what was decided; durable when this returns, if it can be."""
        lines = [self._posted(target, notice) for notice in notices]
        self._lines += lines
        self._shorten()
        self._unkept[target] = told
        oldest = self._lines[0].seq if self._lines else self._last + 1
        try:
            # What could not be written before is written with it; what is there already stays.
            self._outbox.post(self._unkept, self._lines if self._failing else lines, oldest)
        except OSError as error:
            self._failed(error)
        else:
            self._unkept.clear()
            self._worked()

    def _posted(self, target: str, notice: Notice) -> Posted:
        # By the clock, so that numbers grow also if the journal could not be read.
        self._last = max(self._last + 1, int(notice.wall * 1000))
        return Posted(
            seq=self._last,
            key=notice.key,
            wall=notice.wall,
            incident=notice.incident,
            news=str(notice.news),
            text=self._redact(line(target, self._whole(notice))),
        )

    def _whole(self, notice: Notice) -> Notice:
        """Redacted before it is cut: of a secret that is cut through, a half would not be found."""
        detail, mend = self._redact(notice.detail), self._redact(notice.mend)
        return replace(notice, detail=detail, mend=mend)

    def _shorten(self) -> None:
        for gone in self._lines[:-MOST_LINES]:
            for name, one in self._reached.items():
                if one.seq < gone.seq:
                    self._reached[name] = Reached(seq=gone.seq, missed=one.missed + 1)
        del self._lines[:-MOST_LINES]

    def use(self, destinations: Collection[str], *, anew: bool) -> None:
        """Tell these from now on. A new one gets what was decided since the agent started, or, with ``anew``,
        from now on."""
        begin = self._last if anew else self._begin
        known = {name: self._reached.get(name, Reached(seq=begin)) for name in destinations}
        if known != self._reached:
            self._reached = known
            self._keep_reached()

    def waiting(self, destination: str) -> tuple[tuple[Posted, ...], int]:
        """The lines that it was not told yet, and how many older ones were given up."""
        reached = self._reached.get(destination, Reached(seq=self._last))
        return tuple(one for one in self._lines if one.seq > reached.seq), reached.missed

    def reach(self, destination: str, seq: int) -> None:
        """It was told all up to this line."""
        self._reached[destination] = replace(self._reached[destination], seq=seq, missed=0)
        self._keep_reached()

    def _keep_reached(self) -> None:
        try:
            self._outbox.reach(self._reached)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        if not self._failing:
            log.warning("messages cannot be kept over a restart of the agent: %s", error)
        self._failing = True

    def _worked(self) -> None:
        if self._failing:
            log.info("messages are kept over a restart of the agent again")
        self._failing = False


def name_of(url: Secret) -> str:
    """What a destination is called in the journal: nobody learns the address from it."""
    return hashlib.sha256(url.reveal().encode()).hexdigest()[:32]
