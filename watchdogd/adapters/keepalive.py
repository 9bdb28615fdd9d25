"""Says whether a link still speaks: by what came over it, never by what was sent.

Two threads, because each may be stuck where the other is needed. One asks the server for an answer
and so makes it speak; on a dead link it may block for ever, harmlessly. The other looks at when
something last came, and at whether the connection ended; while all that was sent is answered it rests,
because there is nothing that could be late, and ``ticker`` sees to it that it is woken in time. A question that is not answered in the time
that answers take on this line is silence; traffic that nothing answers brings the next question forward.
Silence costs no connection (another link is dialled beside), so it may be believed within a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from watchdogd.adapters.ticker import TICKER, Ticker
from watchdogd.ports import Clock, Deadline, LinkNews

_WATCH_SECONDS = 0.25
_REST_SECONDS = 60.0
"""Of the watcher while nothing is to come: the end wakes it at once, and what is to come, or a wake of this
machine, with the next tick."""
_SHORTLY_SECONDS = 0.005
"""After the moment from which something is late."""
SUSPECT_SECONDS = 0.5
"""Traffic that nothing answers for so long brings a question. An application may well take longer to
answer, but the question is answered by sshd, so it costs a packet and nothing else."""
LEAST_SECONDS = 1.0
"""No answer is called late before that: as TCP's shortest retransmission time-out (RFC 6298, 2.4)."""
MOST_SECONDS = 20.0
"""Nor waited for longer, however slow the line is."""
GUESS_SECONDS = 1.0
SLEPT_SECONDS = 2.0
"""The boot clock outran the run clock by more since the last look: this machine slept."""


class Asked(Protocol):
    """What is kept alive."""

    def ask(self) -> bool:
        """Ask the far side for any answer and wait for it, however long. False: the link ended."""
        ...

    def await_end(self, seconds: float) -> str | None:
        """Wait so long for the connection's end, or until stirred; returns why it ended, None if it
        did not."""
        ...

    def stir(self) -> None:
        """End ``await_end``'s present wait, or the next."""
        ...


class AnswerTime:
    """How long an answer may take on this line: the smoothed mean and four mean deviations, as TCP reckons
    its retransmission time-out (RFC 6298, section 2)."""

    def __init__(self, guess: float) -> None:
        """``guess``: seconds of an answer, until one was measured."""
        self._mean, self._deviation = guess, guess / 2
        self._measured = False

    def learn(self, seconds: float) -> None:
        """One answer. The first one replaces the guess. A single one teaches no more than that answers may
        take twice as long: after a stall of 40 s the link would be all but blind for minutes, and a line that
        has really become slow is learnt from two."""
        if not self._measured:
            self._mean, self._deviation, self._measured = seconds, seconds / 2, True
            return
        seconds = min(seconds, 2 * self.limit())
        self._deviation += (abs(self._mean - seconds) - self._deviation) / 4
        self._mean += (seconds - self._mean) / 8

    def limit(self) -> float:
        """Seconds; an answer that takes longer is late."""
        return min(MOST_SECONDS, max(LEAST_SECONDS, self._mean + 4 * self._deviation))


class Pulse:
    """When something last came over a link that cannot have lain somewhere since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last = clock.run()
        """``run`` clock."""
        self.unanswered: float | None = None
        """``run`` clock, when the first was sent after which nothing came."""

    def sent(self) -> None:
        """Something is sent now."""
        if self.unanswered is None:
            self.unanswered = self._clock.run()

    def beat(self) -> None:
        """Something came just now."""
        self.last = self._clock.run()
        self.unanswered = None

    def speaks(self, asked: float, silence: float) -> bool:
        """True if something came after ``asked``, or less than ``silence`` seconds ago."""
        return self.last > asked or self._clock.run() - self.last < silence


class Keepalive:
    """Tells ``news`` of silence, speech and the end, from the threads that ``start`` makes."""

    def __init__(
        self,
        asked: Asked,
        last_received: Callable[[], float],
        *,
        interval: float,
        clock: Clock,
        news: LinkNews,
        name: str,
        unanswered: Callable[[], float | None] = lambda: None,
        guess: float = GUESS_SECONDS,
        ticker: Ticker = TICKER,
    ) -> None:
        """``interval``: seconds between questions; ``last_received``: ``run`` clock; ``unanswered``: since
        when (``run`` clock) what was sent had nothing come after it, ``None`` if all of it had; ``guess``:
        seconds of a round trip, until one is measured."""
        self._asked = asked
        self._last_received = last_received
        self._unanswered = unanswered
        self._interval = interval
        self._clock = clock
        self._news = news
        self._stopped = threading.Event()
        self._next = threading.Event()
        """The next question is not to wait for its time."""
        self._open_since: float | None = None
        """``run`` clock, when the question was asked that is not answered yet."""
        self._time = AnswerTime(guess)
        self._not_silent_before = clock.run()
        self._late_since: float | None = None
        """``run`` clock, since when each look came late."""
        self._asleep = clock.boot() - clock.run()
        """Seconds slept since the machine started, as of the last look."""
        self._resting = False
        """The watcher waits for a tick that finds something."""
        self._stirred_at = clock.run()
        """``run`` clock, when the watcher should have been woken."""
        self._ticker = ticker
        self.round_trip: float | None = None
        """Seconds the last answer took."""
        self._threads = (
            threading.Thread(target=self._ask, name=f"{name}-keepalive", daemon=True),
            threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True),
        )

    def start(self) -> None:
        """Once."""
        for thread in self._threads:
            thread.start()
        self._ticker.add(self)

    def stop(self) -> None:
        """No more news from now on; the threads end once the connection is closed."""
        self._stopped.set()
        self._next.set()
        self._ticker.remove(self)
        self._asked.stir()

    def tick(self, due: float) -> None:
        """See ``ticker.Ticked``: wake the watcher if an answer is to come, or if this machine slept."""
        if self._resting and (self._to_come() or self._slept(self._clock.run())):
            self._resting = False
            self._stirred_at = due
            self._asked.stir()

    def ask_now(self) -> None:
        """Do not wait for the time of the next question. One that is open already is as good."""
        self._next.set()

    def join(self, deadline: Deadline) -> None:
        """Wait for the threads, unless called by one of them."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(deadline.remaining())

    def _ask(self) -> None:
        while not self._stopped.is_set():
            self._next.clear()
            asked = self._open_since = self._clock.run()
            if not self._asked.ask():
                return
            self._open_since = None
            taken = self._clock.run() - asked
            self._time.learn(taken)
            self.round_trip = taken
            self._await_turn()

    def _await_turn(self) -> None:
        """Until nothing came for an interval, as what came has answered already; or a question is wanted now."""
        while (left := self._last_received() + self._interval - self._clock.run()) > 0:
            if self._next.wait(left):
                return

    def _watch(self) -> None:
        try:
            self._look_after()
        finally:
            self._ticker.remove(self)

    def _look_after(self) -> None:
        silent_since: float | None = None
        looked = self._clock.run()
        while not self._stopped.is_set():
            rested = silent_since is None and self._rests()
            why = self._asked.await_end(_REST_SECONDS if rested else self._until_late())
            if self._stopped.is_set():
                return
            if why is not None:
                self._news.lost(why)
                return
            looked = self._look(self._woken() if rested else looked)
            self._suspect(looked)
            silent_since = self._tell(silent_since, looked)

    def _rests(self) -> bool:
        """Is there nothing that could be late? Whatever is sent from now on the ticker finds."""
        self._resting = True
        if self._to_come():
            self._resting = False
        return self._resting

    def _to_come(self) -> bool:
        return self._open_since is not None or self._unanswered() is not None

    def _until_late(self) -> float:
        """Seconds to the next look: a moment after something will be late, if that comes sooner."""
        now, opened, since = self._clock.run(), self._open_since, self._unanswered()
        late = now + _WATCH_SECONDS
        if opened is not None:
            late = max(opened, self._last_received()) + self._time.limit()
        elif since is not None:
            late = since + SUSPECT_SECONDS
        left = late + _SHORTLY_SECONDS - now
        return left if 0.0 < left < _WATCH_SECONDS else _WATCH_SECONDS

    def _woken(self) -> float:
        """``run`` clock, since when the watcher should have been looking after a rest."""
        if self._resting:  # by nobody: the wait was over, and nothing was to come
            self._resting = False
            return self._clock.run()
        return self._stirred_at

    def _look(self, before: float) -> float:
        now = self._clock.run()
        self._wake(now)
        if now - before <= 2 * _WATCH_SECONDS:
            self._late_since = None
            return now
        # This process itself stood still: what came meanwhile was not read yet. One that always does is
        # no excuse for a link that says nothing for so long.
        if self._late_since is None:
            self._late_since = now
        if now - self._late_since < MOST_SECONDS:
            self._not_silent_before = now + self._time.limit()
        return now

    def _wake(self, now: float) -> None:
        """After a sleep the link is asked at once: it may be long dead, or as well as before."""
        if self._slept(now):
            self._not_silent_before = now + self._time.limit()
            self.ask_now()
        self._asleep = self._clock.boot() - now

    def _slept(self, now: float) -> bool:
        return self._clock.boot() - now - self._asleep > SLEPT_SECONDS

    def _suspect(self, now: float) -> None:
        """Ask at once if what was sent is not answered."""
        since = self._unanswered()
        if self._open_since is None and since is not None and now - since > SUSPECT_SECONDS:
            self._next.set()

    def _tell(self, silent_since: float | None, now: float) -> float | None:
        """``run`` clock of the silence that was told and lasts; ``None``: the link speaks."""
        last = self._last_received()
        if silent_since is not None:
            if last <= silent_since:
                return silent_since
            self._news.speaking()
            return None
        opened = self._open_since
        if opened is None or now <= self._not_silent_before:
            return None
        if now - max(opened, last) <= self._time.limit():
            return None
        self._news.silent()
        return now
