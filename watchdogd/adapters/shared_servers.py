"""The agent's SSH servers: targets with the same login and settings share the connections to theirs.

Each target still dials, loses and closes links of its own (``ports.SshEngine``, one a target); here its
dial becomes a share of a connection that is there, of one on its way, or a dial. So the decisions know
nothing of it, and one login serves all. In the flow: between ``links`` and the real engine.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakValueDictionary

from watchdogd.adapters.crew import CREW
from watchdogd.adapters.file_signature import Signature, signature
from watchdogd.adapters.shared_link import Share, Trunk
from watchdogd.adapters.ssh_door import DIALS_AT_ONCE, Door, Failure
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.dialing import AUTH_REST_SECONDS
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Clock, Deadline, Link, LinkNews, SshEngine

SESSIONS = 8
"""Of the 10 that sshd allows on a connection (``MaxSessions``): one is engine ``openssh``'s own, and one
that was just given back may still count."""
_LOOK_SECONDS = 0.25
"""So often a login looks whether those of others leave it room."""
CLOSE_SECONDS = 5.0
SAME_CHANGE_SECONDS = 0.5
"""All targets hear of one change of the network, and what the first of them began anew is not meant."""
STARTS_OVER, STARTS_OVER_SECONDS = 3, 15.0
"""So often in so long is a dial begun anew: sshd from 9.8 on books a second for each that it had let in to speak,
and from 15 of them on locks the laptop out."""
SHORT_SECONDS = 15.0
"""A dial that had less time left when it began, and used it up, says nothing of the server."""
TOLD_SECONDS, REACHED_SECONDS = 5.0, 31.0
"""So long a failure is the answer to the other targets' dials too; the longer one if sshd was reached, as
it counts those: beyond the pause between two tries of a refused key (``core.dialing``), so that those of targets
that are out of step are never closer together than one's."""
REFUSED_LOGINS, REFUSED_REST_SECONDS = 4, AUTH_REST_SECONDS
"""After so many refused logins by all targets together none is tried for so long. fail2ban's ``sshd`` jail locks an
address out at the fifth (``maxretry = 5``), and forgets the others only after ten minutes without one (``findtime``):
four in any ten minutes would not do, as its count of an older one fades slowly."""
_NOT_ASKED = " (not asked again yet: it refused several logins lately)"


class SshServers:
    """All servers of one agent. May be used from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._servers: WeakValueDictionary[tuple[SshPlan, float], SharedServer] = (
            WeakValueDictionary()
        )
        self._doors: WeakValueDictionary[tuple[str, int, str], Door] = WeakValueDictionary()

    def engine(
        self, plan: SshPlan, keepalive: float, weight: int, make: Callable[[], SshEngine]
    ) -> SharedEngine:
        """For one target. ``weight``: sessions that it may need at once; ``make``: the real engine, for
        the first target of a server."""
        with self._lock:
            server = self._servers.get((plan, keepalive))
            if server is None:
                files = (*plan.known_hosts, *plan.identity_files, *plan.hop_files)
                address = (plan.host, plan.port, plan.first_hop)
                door = self._doors.setdefault(address, Door())
                server = SharedServer(make(), files, self._clock, door)
                self._servers[plan, keepalive] = server
            return SharedEngine(server, weight)


@dataclass(slots=True, eq=False)
class SharedEngine:
    """Implements ``ports.SshEngine`` for one target. One dial at a time: the caller's duty."""

    server: SharedServer
    weight: int
    shares: set[Share] = field(default_factory=set)
    """Those not given back."""
    told: int = 0
    """The number of the newest failure that this target knows of."""
    ordered: bool = False
    """Does a person want the next dial?"""

    def dial(self, deadline: Deadline, news: LinkNews) -> Link:
        """See the port. Never a link that this target has already, nor an older one."""
        try:
            return self.server.dial(self, deadline, news)
        finally:
            self.ordered = False

    def start_over(self) -> None:
        """See the port. What other targets dial for this one begins anew as well."""
        self.server.start_over()

    def order(self) -> None:
        """The next dial asks the server, whatever it answered lately: a person may have mended something."""
        self.ordered = True


class SharedServer:
    """The connections to one server, for targets with the same settings."""

    def __init__(
        self, engine: SshEngine, files: tuple[str, ...], clock: Clock, door: Door | None = None
    ) -> None:
        """``files``: whose change may make a refused login work; ``door``: of other logins to that address."""
        self._engine = engine
        self._door = door or Door()
        self._files = files
        self._clock = clock
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._trunks: list[Trunk] = []
        self._flying = 0
        self._failure: Failure | None = None
        self._refused: tuple[Failure, ...] = ()
        """Logins since the last that was let in."""
        self._started_over: tuple[float, ...] = ()
        """``boot`` clock."""
        self._most = SESSIONS
        """Targets on one connection."""

    def dial(self, me: SharedEngine, deadline: Deadline, news: LinkNews) -> Share:
        """A share for ``me``; raises as the real engine, for others' dials too."""
        share, own = self._board(me, news, deadline)
        if own:
            self._fly(me, share, deadline)
        return share

    def start_over(self) -> None:
        """Each dial on its way begins anew, once for all targets that say so."""
        now = self._clock.boot()
        with self._changed:
            lately = [at for at in self._started_over if now - at < STARTS_OVER_SECONDS]
            same = bool(lately) and now - lately[-1] < SAME_CHANGE_SECONDS
            if same or len(lately) >= STARTS_OVER:
                return
            self._started_over = (*lately, now)
        self._engine.start_over()

    # ------------------------------------------------------------ getting on

    def _board(self, me: SharedEngine, news: LinkNews, deadline: Deadline) -> tuple[Share, bool]:
        """A share of a connection that is up, or of one that the caller has to dial now."""
        began, files = self._clock.boot(), self._signatures()
        with self._changed:
            while True:
                if (trunk := self._joinable(me)) is not None:
                    share = self._join(me, trunk, news)
                    if self._await(trunk, deadline):
                        share.handed = True
                        return share, False
                    if (link := self._leave(me, share)) is not None:
                        limit = Deadline.after(self._clock, CLOSE_SECONDS)
                        CREW.start("ssh-close", partial(link.close, limit))
                self._tell_failure(me, began, files)
                if deadline.passed():
                    told = "the dials of other targets to this server did not end in time"
                    raise Transient(Cause.HOST_UNREACHABLE, told, phase="connect")
                if self._joinable(me) is not None:
                    continue
                ours = self._flying < self._dials()
                if ours and self._door.knock():
                    return self._join(me, self._depart(), news), True
                limit = deadline.at_most(_LOOK_SECONDS) if ours else deadline
                self._changed.wait(limit.remaining())

    def _depart(self) -> Trunk:
        trunk = Trunk(next(self._numbers), SESSIONS, self._crowded)
        self._trunks.append(trunk)
        self._flying += 1
        return trunk

    def _joinable(self, me: SharedEngine) -> Trunk | None:
        me.shares = {share for share in me.shares if not share.trunk.ended}
        newest = max((share.trunk.number for share in me.shares), default=0)
        for trunk in self._trunks:
            if trunk.number > newest and trunk.takes(me.weight, self._most):
                return trunk
        return None

    def _join(self, me: SharedEngine, trunk: Trunk, news: LinkNews) -> Share:
        share = Share(trunk, news, me.weight, lambda one: self._leave(me, one))
        trunk.shares = (*trunk.shares, share)
        me.shares.add(share)
        return share

    def _await(self, trunk: Trunk, deadline: Deadline) -> bool:
        """Is it up by then, and does it speak?"""
        self._changed.wait_for(lambda: trunk.link is not None or trunk.ended, deadline.remaining())
        return trunk.link is not None and not trunk.ended and not trunk.silent

    def _leave(self, me: SharedEngine, share: Share) -> Link | None:
        """The connection, if nobody has a share of it any more."""
        with self._changed:
            me.shares.discard(share)
            trunk = share.trunk
            left = tuple(one for one in trunk.shares if one is not share)
            was_last = bool(trunk.shares) and not left
            trunk.shares = left
            if was_last and trunk.link is not None:
                self._end(trunk)
            self._changed.notify_all()
            return trunk.link if was_last else None

    def _tell_failure(self, me: SharedEngine, began: float, files: tuple[Signature, ...]) -> None:
        """Raise what another target's dial has just found out, once; and that too many logins were refused, each
        time. ``began``: ``boot`` clock, when this one asked; ``files``: as they were then."""
        failure = self._failure
        if failure is None or (me.ordered and failure.at < began):
            return
        if self._is_news(failure, me, began) and failure.files == files:
            me.told = failure.number
            raise failure.again()
        if len(refused := self._refused_as_now(files)) >= self._may_be_refused():
            raise refused[-1].again(_NOT_ASKED, reached=False)  # sshd counts nothing of it

    def _is_news(self, failure: Failure, me: SharedEngine, began: float) -> bool:
        """A refused host key is told only to who waited for that very dial: whoever asks later may be in another
        network."""
        if me.told >= failure.number:
            return False
        if failure.error.cause is Cause.HOST_KEY and began > failure.at:
            return False
        lasts = REACHED_SECONDS if failure.error.reached else TOLD_SECONDS
        return self._clock.boot() - failure.at < lasts

    def _may_be_refused(self) -> int:
        """Logins. One at least: whoever was never refused, or let in since, is no reason for a lock."""
        since = self._clock.boot() - REFUSED_REST_SECONDS
        return max(1, REFUSED_LOGINS - self._door.others(self, since))

    def _refused_as_now(self, files: tuple[Signature, ...]) -> tuple[Failure, ...]:
        """With the same keys, and not rested from."""
        same = tuple(one for one in self._refused if one.files == files)
        rested = not same or self._clock.boot() - same[-1].at >= REFUSED_REST_SECONDS
        return () if rested else same

    def _dials(self) -> int:
        """How many may run now."""
        entered = any(trunk.link is not None and not trunk.silent for trunk in self._trunks)
        return DIALS_AT_ONCE if entered and not self._refused else 1

    # ------------------------------------------------------------ one dial

    def _fly(self, me: SharedEngine, share: Share, deadline: Deadline) -> None:
        files, short = self._signatures(), deadline.remaining() < SHORT_SECONDS
        try:
            link = self._engine.dial(deadline, _TrunkNews(self, share.trunk))
        except (Transient, Permanent) as error:
            number, now = next(self._numbers), self._clock.boot()
            failure = Failure(number=number, error=error, at=now, files=files)
            self._failed(share.trunk, None if short and deadline.passed() else failure)
            me.told = number
            raise
        except BaseException:
            self._failed(share.trunk, None)
            raise
        with self._changed:
            share.handed = True
            share.trunk.link = link
            self._landed()
            self._failure, self._refused = None, ()
            self._door.note(self, ())
            self._changed.notify_all()
        self._catch_up(share)

    def _catch_up(self, share: Share) -> None:
        """Tell who dialled what happened to the connection while it was being handed over."""
        if share.trunk.lost is not None:
            share.news.lost(share.trunk.lost)
        elif share.trunk.silent:
            share.news.silent()
            if not share.trunk.silent:  # it spoke meanwhile, and that may have been told first
                share.news.speaking()

    def _failed(self, trunk: Trunk, failure: Failure | None) -> None:
        with self._changed:
            self._landed()
            self._end(trunk)
            self._failure = failure or self._failure
            if failure is not None and failure.error.reached and failure.error.cause is Cause.AUTH:
                kept = replace(failure, error=failure.again())  # without the frames of who dialled
                self._refused = (*self._refused_as_now(failure.files), kept)
                self._door.note(self, self._refused)
            self._changed.notify_all()

    def _landed(self) -> None:
        self._flying -= 1
        self._door.entered()

    def _end(self, trunk: Trunk) -> None:
        trunk.ended = True
        if trunk in self._trunks:
            self._trunks.remove(trunk)

    def _crowded(self) -> None:
        """This server allows fewer sessions than usual: from now on each new link is one target's own."""
        with self._changed:
            self._most = 1

    def _signatures(self) -> tuple[Signature, ...]:
        return tuple(signature(name) for name in self._files)

    # ------------------------------------------------------------ news of a connection

    def silent(self, trunk: Trunk, *, silent: bool) -> tuple[Share, ...]:
        """Note it; returns whom to tell."""
        with self._changed:
            trunk.silent = silent
            self._changed.notify_all()
            return trunk.handed()

    def lost(self, trunk: Trunk, detail: str) -> tuple[Share, ...]:
        """Note it; returns whom to tell."""
        with self._changed:
            trunk.lost = detail
            self._end(trunk)
            self._changed.notify_all()
            return trunk.handed()


class _TrunkNews:
    """``ports.LinkNews`` of one connection, handed on to each share."""

    def __init__(self, server: SharedServer, trunk: Trunk) -> None:
        self._server = server
        self._trunk = trunk

    def silent(self) -> None:
        for share in self._server.silent(self._trunk, silent=True):
            share.news.silent()

    def speaking(self) -> None:
        for share in self._server.silent(self._trunk, silent=False):
            share.news.speaking()

    def lost(self, detail: str) -> None:
        for share in self._server.lost(self._trunk, detail):
            share.news.lost(detail)
