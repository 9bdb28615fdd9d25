"""Engine ``sshtunnel``: dials with paramiko, checks the host key, logs in with keys, makes a link.

Each phase has its limit and each failure is translated here, once, into a cause. Nothing is ever
asked of a person, no unknown host key is accepted, and no key is shown to an unverified server.
"""

from __future__ import annotations

import itertools
import logging
import socket
import threading
from contextlib import suppress
from functools import partial

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from watchdogd.adapters.dial_attempts import Attempt, Attempts
from watchdogd.adapters.host_keys import KnownHosts, KnownKey, preferred_kinds, verify
from watchdogd.adapters.link_socket import LinkSocket
from watchdogd.adapters.login_keys import AgentSilent, LoginKey, LoginKeys
from watchdogd.adapters.ssh_connect import Found, addresses, await_banner, connect
from watchdogd.adapters.ssh_link import SshLink
from watchdogd.adapters.ssh_packets import StampedPacketizer
from watchdogd.adapters.ssh_quiet import GONE, QuietTransport, close_transport
from watchdogd.adapters.ssh_refusals import failed, refused_login, second_factor, unsigned
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient, one_line
from watchdogd.ports import Clock, Deadline, LinkNews

_DIAL_SECONDS = 30.0
_HANDSHAKE_SECONDS = 15.0
_LOGIN_SECONDS = 15.0
_CLOSE_SECONDS = 2.0
_FASTEST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Put first, before paramiko's own order; the server need not have them. On a processor without SHA
instructions their check is what costs: MB/s of one core on 32 KiB, AES-128-GCM 1690, AES-128-CTR 3000 but its
HMAC-SHA-256 250 (measured, cryptography 50). A GB through the forward took 3.3 s of this process instead of 7."""


class SshtunnelEngine:
    """Implements ``ports.SshEngine``. Several may dial at once."""

    def __init__(self, plan: SshPlan, keepalive: float, clock: Clock, *, name: str = "ssh") -> None:
        """``keepalive``: seconds between questions on a link; ``name``: of the threads."""
        # paramiko logs each line of a traceback as an error; the cause is told by what is raised.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        self._plan = plan
        self._keepalive = keepalive
        self._clock = clock
        self._name = name
        self._known_hosts = KnownHosts(plan, clock)
        self._last_good: tuple[Found, ...] = ()
        self._last_peer: object = None
        """The address that was reached last: the next dial tries it first."""
        self._dials = itertools.count(1)
        self._attempts = Attempts(clock)

    def dial(self, deadline: Deadline, news: LinkNews) -> SshLink:
        """See the port. Ends within 30 s also if the deadline is later."""
        limit = deadline.at_most(_DIAL_SECONDS)
        return self._attempts.run(partial(self._try, limit), limit, news)

    def start_over(self) -> None:
        """See the port."""
        self._attempts.start_over()

    def _try(self, limit: Deadline, attempt: Attempt, news: LinkNews) -> SshLink:
        known = self._known_hosts.look_up(limit)
        keys = LoginKeys(self._plan, limit)
        try:
            connection = self._connect(attempt, limit)
            shared = LinkSocket(connection)
            try:
                with attempt.hold(shared.shut):
                    await_banner(connection, limit)
                    return self._enter(shared, known, keys, limit, news)
            except BaseException:
                shared.close()
                raise
        finally:
            keys.close()

    def _connect(self, attempt: Attempt, deadline: Deadline) -> socket.socket:
        found = self._addresses(attempt, deadline)
        first = sorted(found, key=lambda one: one[1] != self._last_peer)
        shown = f"{self._plan.host}:{self._plan.port}"
        connection = connect(first, shown, deadline, attempt.hold)
        self._last_good = found
        with suppress(OSError):  # it may have ended already
            self._last_peer = connection.getpeername()
        return connection

    def _addresses(self, attempt: Attempt, deadline: Deadline) -> tuple[Found, ...]:
        try:
            return addresses(self._plan, deadline, attempt.hold)
        except Transient:
            # The name service may be what is broken; the host key is still checked.
            if not self._last_good:
                raise
            return self._last_good

    def _enter(
        self,
        connection: LinkSocket,
        known: tuple[KnownKey, ...],
        keys: LoginKeys,
        deadline: Deadline,
        news: LinkNews,
    ) -> SshLink:
        name = f"{self._name}-link{next(self._dials)}"
        packetizer = StampedPacketizer(connection, self._clock)
        transport = QuietTransport(connection, packetizer)
        transport.name = f"{name}-transport"
        transport.banner_timeout = transport.handshake_timeout = _HANDSHAKE_SECONDS
        try:
            _handshake(transport, self._plan, known, deadline)
            asked = self._clock.run()
            _log_in(transport, self._plan, keys.keys, deadline)
            return SshLink(
                transport,
                packetizer,
                keepalive=self._keepalive,
                clock=self._clock,
                news=news,
                name=name,
                guess=self._clock.run() - asked,  # two round trips and more
            )
        except BaseException:
            close_transport(transport, Deadline.after(self._clock, _CLOSE_SECONDS))
            raise


def _handshake(
    transport: paramiko.Transport,
    plan: SshPlan,
    known: tuple[KnownKey, ...],
    deadline: Deadline,
) -> None:
    """Keys are exchanged and the server is the one that known_hosts knows, or it raises."""
    offers = transport.get_security_options()
    offers.key_types = preferred_kinds(known, offers.key_types)
    offers.ciphers = (*_FASTEST, *(one for one in offers.ciphers if one not in _FASTEST))
    done = threading.Event()
    transport.start_client(event=done)
    if not done.wait(deadline.at_most(_HANDSHAKE_SECONDS).remaining()):
        raise failed(Cause.HOST_UNREACHABLE, "key exchange did not end in time", "host_key")
    error = transport.get_exception()
    if isinstance(error, IncompatiblePeer):
        raise Permanent(
            Cause.SSHD_REJECTS,
            f"no common algorithm with this server ({error}): it needs engine `openssh`",
            phase="banner",
            mend='set ssh.engine = "openssh"',
            reached=True,
        ) from error
    if error is not None or not transport.is_active():
        told = f"the connection ended during key exchange ({error or 'no reason given'})"
        # The door was open: who turns a client away says so (no error), or ends before its banner.
        cause = Cause.SSHD_REJECTS if error is None else Cause.HOST_UNREACHABLE
        raise failed(cause, told, "host_key") from error
    key = transport.get_remote_server_key()
    verify(plan, known, key.get_name(), key.asbytes())


def _log_in(
    transport: paramiko.Transport,
    plan: SshPlan,
    keys: tuple[LoginKey, ...],
    deadline: Deadline,
) -> None:
    """Logged in with one of the keys, or it raises."""
    limit = deadline.at_most(_LOGIN_SECONDS)
    refused: list[str] = []
    for key in keys:
        if _offer(transport, plan, key, refused, limit):
            return
        refused.append(key.shown)
    raise refused_login(
        plan, f"the server refused {', '.join(refused)} for {plan.user}", refused[0]
    )


def _offer(
    transport: paramiko.Transport,
    plan: SshPlan,
    key: LoginKey,
    refused: list[str],
    deadline: Deadline,
) -> bool:
    done = threading.Event()
    try:
        transport.auth_publickey(plan.user, key.key, done)
    except GONE as error:
        raise _auth_broke(plan, key, refused, error) from error
    if not done.wait(deadline.remaining()):
        raise failed(Cause.HOST_UNREACHABLE, "the login was not answered in time", "auth")
    if transport.is_authenticated():
        return True
    why = transport.get_exception()
    if isinstance(why, paramiko.BadAuthenticationType):
        raise refused_login(
            plan, f"the server takes no keys: {one_line(str(why.allowed_types), 300)}", key.shown
        )
    if isinstance(why, paramiko.AuthenticationException):
        raise second_factor(plan)
    if not transport.is_active():
        raise _auth_broke(plan, key, refused, why) from why
    return False


def _auth_broke(
    plan: SshPlan, key: LoginKey, refused: list[str], error: Exception | None
) -> Permanent | Transient:
    """The connection ended while this key was offered: because of the agent, the keys, or sshd."""
    if isinstance(error, AgentSilent):
        return unsigned(f"the agent did not sign with {key.shown} in time")
    if isinstance(error, paramiko.SSHException) and "signing" in str(error):
        return unsigned(f"the agent refused to sign with {key.shown}")
    if refused:
        told = f"the server refused {', '.join(refused)} and ended the connection"
        return refused_login(plan, told, refused[0])
    return failed(Cause.SSHD_REJECTS, "the server ended the connection during login", "auth")
