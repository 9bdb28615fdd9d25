"""One authenticated SSH connection of engine ``openssh``: a child ``ssh`` whose channels we ask for.

Every wait ends by its deadline, because it is a wait on a local socket. What is stuck in that ssh stays
there, and ends with it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from watchdogd.adapters.keepalive import Keepalive, Pulse
from watchdogd.adapters.openssh_causes import end_of_link
from watchdogd.adapters.openssh_child import SshChild
from watchdogd.adapters.openssh_life import Life
from watchdogd.adapters.openssh_mux import Mux, Opened, Refused
from watchdogd.adapters.openssh_run import Running
from watchdogd.adapters.openssh_said import SESSION
from watchdogd.adapters.openssh_stream import MuxStream
from watchdogd.adapters.remote_command import remote_command
from watchdogd.adapters.ssh_refusals import (
    forward_denied,
    lost,
    no_session,
    not_accepted,
    unanswered,
    wedged,
)
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Clock, Completed, Deadline, LinkFacts, LinkNews
from watchdogd.settings import Address

_GONE = (OSError, EOFError)
_ASKED_AGAIN = 10
_PROOF_SECONDS = 1.0
_SLOT_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Until a session that was given back is free on the server."""
_WORDS_SECONDS = 0.5
"""ssh writes the reason before it answers; the thread that reads it may come later."""
_NO_REASON = "no reason given"


class OpensshLink:
    """``ports.Link`` over a child that is logged in. Ends with ``close`` or by itself."""

    def __init__(
        self,
        child: SshChild,
        mux: Mux,
        *,
        keepalive: float,
        clock: Clock,
        news: LinkNews,
        name: str,
        guess: float,
    ) -> None:
        """``keepalive``: seconds; ``name``: of its threads; ``guess``: seconds of a round trip, at most."""
        self._child = child
        self._mux = mux
        self._silence = 2 * keepalive
        self._clock = clock
        self._connected_at = clock.run()
        self._pulse = Pulse(clock)
        self._life = Life(
            child,
            mux,
            clock,
            why=lambda: end_of_link(child.said),
            spoke=self._pulse.beat,
        )
        self._keepalive = Keepalive(
            self._life,
            lambda: self._pulse.last,
            interval=keepalive,
            clock=clock,
            news=news,
            name=name,
            unanswered=lambda: self._pulse.unanswered,
            guess=guess,
        )
        self._keepalive.start()

    def open(self, to: Address, deadline: Deadline, first: bytes = b"") -> MuxStream:
        """See the port."""
        asked = self._clock.run()
        for _ in range(_ASKED_AGAIN):
            refused = self._child.said.refused()
            self._pulse.sent()
            try:
                opened = self._mux.forward(to.host, to.port, deadline, first)
                return self._stream(opened, len(first))
            except Refused:
                self._pulse.beat()
                reasons = self._reasons(refused, f"{to.host}:{to.port}")
                if len(reasons) <= 1:  # else several were refused at once, each for its own reason
                    raise _open_refused(to, next(iter(reasons), _NO_REASON)) from None
            except TimeoutError as error:
                raise unanswered(to, speaks=self._speaks(asked)) from error
            except _GONE as error:
                raise lost(error, "open") from error
        raise unanswered(to, speaks=True)

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        limit: int = 262_144,
    ) -> Completed:
        """See the port."""
        asked = self._clock.run()
        opened = self._session(remote_command(argv, deadline.remaining()), argv[0], deadline)
        try:
            done = Running(opened, stdin, limit, spoke=self._pulse.beat).finish(deadline)
        except TimeoutError as error:
            raise wedged(argv[0], speaks=self._speaks(asked)) from error
        finally:
            opened.close()
        if done.status < 0 and not self._mux.answers(self._proof()):
            raise lost(EOFError("the link ended while the command ran"), "exec")
        return done

    def stdio(self, argv: Sequence[str], deadline: Deadline) -> MuxStream:
        """See the port."""
        return self._stream(self._session(shlex.join(argv), argv[0], deadline))

    def ask(self) -> None:
        """See the port."""
        self._keepalive.ask_now()

    def facts(self) -> LinkFacts:
        """See the port."""
        return LinkFacts(
            connected_at=self._connected_at,
            last_received_at=self._pulse.last,
            round_trip=self._keepalive.round_trip,
        )

    def alive(self) -> bool:
        """See the port."""
        return not self._child.ended.is_set()

    def close(self, deadline: Deadline) -> None:
        """See the port. No news comes after it."""
        self._keepalive.stop()
        self._child.end(deadline)
        self._life.release()
        self._keepalive.join(deadline)

    def _session(self, command: str, shown: str, deadline: Deadline) -> Opened:
        asked = self._clock.run()
        refused = self._child.said.refused()
        self._pulse.sent()
        try:
            opened = self._in_a_free_slot(command, deadline)
        except Refused:
            reason = next(iter(self._reasons(refused, SESSION)), _NO_REASON)
            raise no_session(reason) from None
        except TimeoutError as error:
            raise wedged(shown, speaks=self._speaks(asked)) from error
        except _GONE as error:
            raise lost(error, "exec") from error
        self._pulse.beat()
        return opened

    def _in_a_free_slot(self, command: str, deadline: Deadline) -> Opened:
        """The keepalive's session is given up for it, if the server allows no further one."""
        try:
            return self._mux.session(command, deadline)
        except Refused:
            self._pulse.beat()
            if not self._life.release():
                raise
        for seconds in _SLOT_SECONDS:
            self._clock.wait(min(seconds, deadline.remaining()))
            try:
                return self._mux.session(command, deadline)
            except Refused:
                self._pulse.beat()
        raise Refused

    def _stream(self, opened: Opened, passed: int = 0) -> MuxStream:
        self._pulse.beat()
        return MuxStream(
            opened,
            clock=self._clock,
            fresh=self._pulse.beat,
            answers=self._mux.answers,
            done=self._mux.restock,
            passed=passed,
        )

    def _reasons(self, refused: int, to: str) -> set[str]:
        """Why channels there were refused, after that many were."""
        said, deadline = self._child.said, Deadline.after(self._clock, _WORDS_SECONDS)
        seen = 0
        while not said.refused_since(refused, to) and not deadline.passed():
            seen = self._child.await_news(seen, deadline.remaining())
        return set(said.refused_since(refused, to))

    def _speaks(self, asked: float) -> bool:
        return self.alive() and self._pulse.speaks(asked, self._silence)

    def _proof(self) -> Deadline:
        return Deadline.after(self._clock, _PROOF_SECONDS)


def _open_refused(to: Address, reason: str) -> Permanent | Transient:
    if "prohibited" in reason:
        return forward_denied(to, reason)
    return not_accepted(to, reason, connected="connect failed" in reason or reason == _NO_REASON)
