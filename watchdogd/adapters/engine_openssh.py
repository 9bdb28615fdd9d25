"""Engine ``openssh``: the system's ``ssh`` dials, checks the host key and logs in; we use its channels.

For what only ssh can do: jump hosts, proxy commands, certificates, hardware keys, smart cards, Kerberos.
Nothing is ever asked of a person, and no unknown host key is accepted.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import paramiko

from watchdogd.adapters.child_ledger import ChildLedger
from watchdogd.adapters.control_path import new_control_path
from watchdogd.adapters.dial_attempts import Attempt, Attempts
from watchdogd.adapters.login_keys import KeyAgent, LoginKeys
from watchdogd.adapters.openssh_causes import failure, overdue
from watchdogd.adapters.openssh_child import SshChild
from watchdogd.adapters.openssh_command import dial_argv, environment
from watchdogd.adapters.openssh_link import OpensshLink
from watchdogd.adapters.openssh_mux import Mux
from watchdogd.adapters.ssh_connect import addresses, ways_to
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Clock, Deadline, LinkNews

_ROUND_TRIPS = 4
"""Of a dial, at least: TCP, key exchange, user and key."""
_DIAL_SECONDS = 30.0
_PHASE_SECONDS = {"host_key": 15.0, "auth": 15.0}
_SLOW_SECONDS = 2.0
"""A server that is reached so late answers late as well: with 4 s there and back a login takes 16 s."""
_CLOSE_SECONDS = 2.0
_LOOK_SECONDS = 0.25
_AGENT_SECONDS = 10.0
_LISTENS_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class _Way:
    """Where one ``ssh`` is sent."""

    address: str = ""
    """Empty: to the name's."""
    addresses: int = 1
    """So many of the name's may be tried."""


class OpensshEngine:
    """Implements ``ports.SshEngine``. Several may dial at once."""

    def __init__(
        self,
        plan: SshPlan,
        keepalive: float,
        clock: Clock,
        *,
        folder: Path,
        ledger: ChildLedger,
        name: str = "ssh",
    ) -> None:
        """``keepalive``: seconds between questions on a link; ``folder``: for its control sockets, made
        0700 at the first dial; ``name``: of the threads."""
        self._plan = plan
        self._keepalive = keepalive
        self._clock = clock
        self._folder = folder
        self._ledger = ledger
        self._name = name
        self._dials = itertools.count(1)
        self._last_good = ""
        self._attempts = Attempts(clock)

    def dial(self, deadline: Deadline, news: LinkNews) -> OpensshLink:
        """See the port. Ends within 30 s also if the deadline is later."""
        limit = deadline.at_most(_DIAL_SECONDS)
        return self._attempts.run(partial(self._try, limit), limit, news)

    def start_over(self) -> None:
        """See the port."""
        self._attempts.start_over()

    def _try(self, limit: Deadline, attempt: Attempt, news: LinkNews) -> OpensshLink:
        name = f"{self._name}-link{next(self._dials)}"
        use_agent = agent_answers(self._plan, limit)
        way = self._way(attempt, limit)
        attempt.check()
        return self._enter(name, way, attempt, limit, news, use_agent=use_agent)

    def _way(self, attempt: Attempt, limit: Deadline) -> _Way:
        """Where ssh is sent: to the name, as much of a person's ssh configuration goes by it. If the name is not
        resolved, to the address that was reached last: the name service may be what is broken, and the host key is
        still checked."""
        if self._plan.first_hop:
            return _Way()
        try:
            found = addresses(self._plan, limit, attempt.hold)
        except Transient:
            if not self._last_good or attempt.over:
                raise
            return _Way(self._last_good)
        return _Way(addresses=ways_to(found))

    def _enter(
        self,
        name: str,
        way: _Way,
        attempt: Attempt,
        limit: Deadline,
        news: LinkNews,
        *,
        use_agent: bool,
    ) -> OpensshLink:
        began = self._clock.run()
        child, control = self._start(name, way, use_agent=use_agent)
        try:
            mux = Mux(control, self._clock, name=name)
            child.when_ended(mux.close)
            self._await_ready(child, mux, attempt, limit)
        except BaseException:
            child.end(Deadline.after(self._clock, _CLOSE_SECONDS))
            raise
        self._last_good = child.said.address
        guess = (self._clock.run() - began) / _ROUND_TRIPS
        return OpensshLink(
            child,
            mux,
            keepalive=self._keepalive,
            clock=self._clock,
            news=news,
            name=name,
            guess=guess,
        )

    def _start(self, name: str, way: _Way, *, use_agent: bool) -> tuple[SshChild, str]:
        try:
            control = new_control_path(self._folder)
            argv = dial_argv(
                self._plan,
                control,
                use_agent=use_agent,
                address=way.address,
                addresses=way.addresses,
            )
            environ = environment(os.environ)
            return SshChild(argv, environ, control, self._ledger, name=name), control
        except FileNotFoundError as error:
            mend = "install the OpenSSH client (Debian: apt install openssh-client)"
            raise Transient(Cause.AGENT, f"ssh cannot be started: {error}", mend=mend) from error
        except OSError as error:
            raise Transient(Cause.AGENT, f"ssh cannot be started: {error}") from error

    def _await_ready(self, child: SshChild, mux: Mux, attempt: Attempt, deadline: Deadline) -> None:
        """Logged in and serving its control socket, or it raises why not."""
        phase, limit, seen, began = "", deadline, 0, self._clock.run()
        while not child.ended.is_set():
            if child.said.phase != phase:
                phase = child.said.phase
                slow = phase == "auth" and self._clock.run() - began > _SLOW_SECONDS
                limit = (
                    deadline if slow else deadline.at_most(_PHASE_SECONDS.get(phase, _DIAL_SECONDS))
                )
            if limit.passed() or attempt.over:
                raise overdue(self._plan, child.said)
            if child.said.authenticated and mux.answers(limit):
                return
            rest = _LISTENS_SECONDS if child.said.authenticated else _LOOK_SECONDS
            seen = child.await_news(seen, min(rest, limit.remaining()))
        raise failure(self._plan, child.said)


def agent_answers(plan: SshPlan, deadline: Deadline) -> bool:
    """Whether ssh may ask the key agent: it would wait for ever for one that does not answer.

    Raises ``Permanent(AUTH)`` if there is no key to log in with, so that nobody is dialed for nothing.
    What only ssh can judge (a certificate, a hardware key, a Kerberos ticket) is left to it.
    """
    if not any(need.is_login() for need in plan.needs) and not (plan.kerberos and _has_ticket()):
        keys = LoginKeys(plan, deadline, for_ssh=True)
        keys.close()
        return keys.agent_answers
    path = plan.agent_socket or os.environ.get("SSH_AUTH_SOCK")
    if not path or not plan.use_agent:
        return False
    try:
        KeyAgent(path, deadline.at_most(_AGENT_SECONDS).remaining()).close()
    except (OSError, paramiko.SSHException):
        return False
    return True


def _has_ticket() -> bool:
    return "KRB5CCNAME" in os.environ or Path(f"/tmp/krb5cc_{os.getuid()}").exists()  # noqa: S108
