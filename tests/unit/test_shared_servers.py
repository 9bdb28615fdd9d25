"""Targets of one server share its connections: who rides on which, who is told what, who dials."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_ssh import FakeEngine, FakeForward, FakeLink
from tests.lab.tcp_server import TcpServer
from tests.lab.waiting import until
from watchdogd.adapters import shared_servers
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.file_signature import Signature, signature
from watchdogd.adapters.shared_link import Share
from watchdogd.adapters.shared_servers import (
    REACHED_SECONDS,
    SAME_CHANGE_SECONDS,
    SESSIONS,
    SHORT_SECONDS,
    STARTS_OVER,
    STARTS_OVER_SECONDS,
    TOLD_SECONDS,
    SharedEngine,
    SharedServer,
    SshServers,
)
from watchdogd.adapters.ssh_refusals import no_session
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.core.events import DialFailed, Event, LinkLost, LinkSilent, LinkSpeaking, LinkUp
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.links import TargetLinks
from watchdogd.ports import Deadline

REAL = SystemClock()
ROOM = 2
"""Targets on one connection, at ``WEIGHT``."""
WEIGHT = SESSIONS // ROOM
PLAN = SshPlan(
    alias="a",
    host="a",
    port=22,
    user="u",
    identity_files=(),
    identity_required=False,
    identities_only=False,
    use_agent=False,
    known_hosts=(),
)


class Target:
    """One target's links on the shared server, and the events that its core is told."""

    def __init__(self, server: SharedServer) -> None:
        self.engine = SharedEngine(server, WEIGHT)
        self.events: list[Event] = []
        self.forward = FakeForward()
        self.links = TargetLinks(
            self.engine, self.forward, REAL, self.events.append, order=self.engine.order
        )
        self.number = 0

    def dial(self) -> None:
        self.number += 1
        self.links.dial(self.number, soon())

    def on(self) -> FakeLink:
        """The connection that it rides on."""
        share = self.links.status().link
        assert isinstance(share, Share)
        assert isinstance(share.trunk.link, FakeLink)
        return share.trunk.link


class Scene:
    """A server and its targets."""

    def __init__(self, tmp_path: Path) -> None:
        self.dialer, self.clock = FakeEngine(REAL), FakeClock()
        self.known_hosts = tmp_path / "known_hosts"
        self.known_hosts.write_text("a")
        self.server = SharedServer(self.dialer, (str(self.known_hosts),), self.clock)
        self.targets: list[Target] = []

    def target(self) -> Target:
        self.targets.append(Target(self.server))
        return self.targets[-1]

    def up(self, count: int = ROOM) -> list[Target]:
        """So many, each with its link."""
        made = [self.target() for _ in range(count)]
        for one in made:
            one.dial()
        return made

    def fail(self, error: Transient | Permanent) -> None:
        self.dialer.failures.append(error)


class Quiet:
    """News that nobody listens to."""

    def silent(self) -> None: ...

    def speaking(self) -> None: ...

    def lost(self, detail: str) -> None: ...


def _wait_for_end(connection: socket.socket) -> None:
    connection.recv(1)


def soon() -> Deadline:
    return Deadline.after(REAL, 20.0)


@contextmanager
def opened(tmp_path: Path) -> Iterator[Scene]:
    """One scene, closed at the end."""
    made = Scene(tmp_path)
    yield made
    made.dialer.may_go.set()
    for one in made.targets:
        one.links.close(soon())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened(tmp_path) as made:
        yield made


def together(*targets: Target) -> list[threading.Thread]:
    threads = [threading.Thread(target=one.dial) for one in targets]
    for thread in threads:
        thread.start()
    return threads


class TestSharing:
    def test_one_login_serves_two_targets_each_with_its_own_numbers(self, scene: Scene) -> None:
        a, b = scene.target(), scene.target()
        a.number = 6
        a.dial()
        b.dial()
        assert len(scene.dialer.links) == 1
        assert (a.events, b.events) == ([LinkUp(number=7)], [LinkUp(number=1)])
        assert a.on() is b.on()

    def test_dials_at_the_same_time_are_one(self, scene: Scene) -> None:
        scene.dialer.may_go.clear()
        threads = together(scene.target(), scene.target())
        assert scene.dialer.dialed.acquire(timeout=20)
        scene.dialer.may_go.set()
        for thread in threads:
            thread.join(20)
        assert len(scene.dialer.links) == 1
        assert [one.events for one in scene.targets] == [[LinkUp(number=1)]] * 2

    def test_a_dial_begins_anew_once_for_all_who_wait_for_it(self, scene: Scene) -> None:
        a, b = scene.target(), scene.target()
        scene.dialer.may_go.clear()
        threads = together(a, b)
        assert scene.dialer.dialed.acquire(timeout=20)
        until(lambda: all(one.links.status().dialing for one in (a, b)), "both wait")
        for one in (a, b):
            one.links.start_over()
        assert scene.dialer.dialed.acquire(timeout=20)
        assert not scene.dialer.dialed.acquire(blocking=False)
        for _ in range(STARTS_OVER + 2):  # the network changes again and again
            scene.clock.pass_by(SAME_CHANGE_SECONDS)
            b.links.start_over()
        for _ in range(STARTS_OVER - 1):
            assert scene.dialer.dialed.acquire(timeout=20)
        assert not scene.dialer.dialed.acquire(blocking=False)
        scene.clock.pass_by(STARTS_OVER_SECONDS)
        a.links.start_over()
        assert scene.dialer.dialed.acquire(timeout=20)
        scene.dialer.may_go.set()
        for thread in threads:
            thread.join(20)
        assert [one.events for one in scene.targets] == [[LinkUp(number=1)]] * 2

    def test_more_targets_than_its_sessions_permit_get_another_connection(
        self, scene: Scene
    ) -> None:
        a, b, c = scene.up(ROOM + 1)
        assert a.on() is b.on()
        assert c.on() is not a.on()

    def test_a_server_that_allows_fewer_sessions_is_shared_no_more(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a, b = scene.up()

        def refuse(*_: object, **__: object) -> None:
            raise no_session("Connect failed")

        monkeypatch.setattr(a.on(), "run", refuse)
        with pytest.raises(Transient, match="no session"):
            a.links.current().run(["true"], deadline=soon())
        a.dial()
        c = scene.target()
        c.dial()
        assert len({a.on(), b.on(), c.on()}) == 3

    def test_servers_are_told_apart_by_all_that_makes_a_link(self) -> None:
        servers = SshServers(REAL)
        other = SshPlan(**{name: getattr(PLAN, name) for name in PLAN.__slots__} | {"user": "v"})
        engines = [
            servers.engine(plan, keepalive, 2, lambda: FakeEngine(REAL))
            for plan, keepalive in ((PLAN, 5.0), (PLAN, 5.0), (other, 5.0), (PLAN, 2.0))
        ]
        assert [one.server is engines[0].server for one in engines] == [True, True, False, False]


class TestNews:
    def test_each_target_is_told_what_happens_to_the_connection(self, scene: Scene) -> None:
        a, b = scene.up()
        a.on().news.silent()
        link = scene.dialer.links[0]
        link.news.speaking()
        link.lose()
        for one in (a, b):
            assert one.events[1:] == [
                LinkSilent(number=1),
                LinkSpeaking(number=1),
                LinkLost(number=1, detail="cut"),
            ]

    def test_both_are_back_after_one_dial_and_both_count_it(self, scene: Scene) -> None:
        a, b = scene.up()
        a.on().lose()
        a.dial()
        b.dial()
        assert len(scene.dialer.links) == 2
        assert a.on() is b.on() is scene.dialer.links[1]
        assert a.events[-1] == b.events[-1] == LinkUp(number=2)

    def test_a_silent_connection_is_joined_by_nobody(self, scene: Scene) -> None:
        (a,) = scene.up(1)
        a.on().news.silent()
        b = scene.target()
        b.dial()
        assert b.on() is scene.dialer.links[1]
        a.dial()
        assert a.on() is b.on()

    def test_a_connection_that_dies_while_it_is_handed_over_is_told_as_lost(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = scene.dialer.dial

        def dies_young(*args: object) -> FakeLink:
            link = whole(*args)  # type: ignore[arg-type]
            link.lose()
            return link

        monkeypatch.setattr(scene.dialer, "dial", dies_young)
        (a,) = scene.up(1)
        assert a.events == [LinkUp(number=1), LinkLost(number=1, detail="cut")]
        monkeypatch.undo()
        (b,) = scene.up(1)
        assert b.on() is scene.dialer.links[1]

    def test_one_that_falls_silent_while_it_is_handed_over_is_told_so(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = scene.dialer.dial

        def falls_silent(*args: object) -> FakeLink:
            link = whole(*args)  # type: ignore[arg-type]
            link.news.silent()
            return link

        monkeypatch.setattr(scene.dialer, "dial", falls_silent)
        (a,) = scene.up(1)
        assert a.events == [LinkUp(number=1), LinkSilent(number=1)]
        assert a.forward.serving is None

    def test_one_that_speaks_again_while_it_is_told_as_silent_is_told_as_speaking_last(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = scene.dialer.dial

        def falls_silent(*args: object) -> FakeLink:
            link = whole(*args)  # type: ignore[arg-type]
            link.news.silent()
            return link

        a = scene.target()
        tell_silent = a.links.link_silent

        def late(number: int) -> None:
            scene.dialer.links[0].news.speaking()
            tell_silent(number)

        monkeypatch.setattr(scene.dialer, "dial", falls_silent)
        monkeypatch.setattr(a.links, "link_silent", late)
        a.dial()
        assert a.events == [LinkUp(number=1)]
        assert a.forward.serving is a.links.status().link

    def test_it_is_told_while_the_key_files_are_looked_at(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene.up()
        news, told = scene.dialer.links[0].news, list[bool]()
        scene.fail(Transient(Cause.SSHD_DOWN, "refused"))
        scene.up(1)

        def hangs(path: str) -> Signature:
            thread = threading.Thread(target=news.speaking, daemon=True)
            thread.start()
            thread.join(10)
            told.append(not thread.is_alive())
            return signature(path)

        monkeypatch.setattr(shared_servers, "signature", hangs)
        a = scene.target()
        a.dial()  # is told the other one's failure
        a.dial()
        assert [type(event) for event in a.events] == [DialFailed, LinkUp]
        assert told
        assert all(told)


class TestReconnect:
    def test_it_dials_beside_and_leaves_the_other_target_s_link(self, scene: Scene) -> None:
        a, b = scene.up()
        before = b.on()
        a.links.reconnect(soon())
        a.links.close_link(1, 0.0)
        assert a.on() is scene.dialer.links[1]
        assert b.on() is before
        assert not before.closed
        assert b.events == [LinkUp(number=1)]

    def test_the_next_one_joins_the_newer_connection(self, scene: Scene) -> None:
        a, b = scene.up()
        a.links.reconnect(soon())
        b.links.reconnect(soon())
        assert a.on() is b.on() is scene.dialer.links[1]
        assert len(scene.dialer.links) == 2

    def test_an_older_connection_that_is_well_is_joined_after_a_loss(self, scene: Scene) -> None:
        a, b = scene.up()
        a.links.reconnect(soon())
        a.links.close_link(1, 0.0)
        until(lambda: len(a.engine.shares) == 1, "the old share is given back")
        a.on().lose()
        a.dial()
        assert a.on() is b.on() is scene.dialer.links[0]


class TestClosing:
    def test_the_connection_ends_with_its_last_share(self, scene: Scene) -> None:
        a, b = scene.up()
        link = a.on()
        a.links.close(soon())
        assert not link.closed
        assert b.links.current().run(["true"], deadline=soon()).status == 0
        b.links.close(soon())
        assert link.closed

    def test_who_waited_for_it_and_is_left_alone_with_a_silent_one_closes_it(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, (a, b) = scene.dialer.dial, (scene.target(), scene.target())

        def falls_silent(*args: object) -> FakeLink:
            monkeypatch.undo()
            link = whole(*args)  # type: ignore[arg-type]
            threads.extend(together(b))
            until(lambda: b.engine.shares, "b waits for it")
            scene.server._changed.acquire()  # b is not heard until a has given it back
            link.news.silent()
            return link

        threads: list[threading.Thread] = []
        monkeypatch.setattr(scene.dialer, "dial", falls_silent)
        try:
            a.engine.dial(soon(), Quiet()).close(soon())
        finally:
            scene.server._changed.release()
        threads[0].join(20)
        assert b.on() is scene.dialer.links[1]
        until(lambda: scene.dialer.links[0].closed, "the silent one is closed", 5.0)

    def test_a_closed_share_takes_its_own_streams_along_and_no_others(self, scene: Scene) -> None:
        with TcpServer(_wait_for_end) as far:
            a, b = scene.up()
            mine = a.links.current().open(far.address, soon())
            others = b.links.current().open(far.address, soon())
            a.links.close(soon())
            assert mine.closed()
            assert not others.closed()
            others.close()

    def test_nothing_is_done_over_a_share_that_was_given_back(self, scene: Scene) -> None:
        a, _ = scene.up()
        share = a.links.current()
        a.links.close(soon())
        assert not share.alive()
        with pytest.raises(Transient) as raised:
            share.run(["true"], deadline=soon())
        assert raised.value.cause is Cause.LINK_LOST


class TestFailures:
    def test_a_failed_dial_is_the_answer_to_all_who_waited_for_it(self, scene: Scene) -> None:
        scene.fail(Transient(Cause.SSHD_DOWN, "refused", phase="connect"))
        scene.dialer.may_go.clear()
        threads = together(*(scene.target() for _ in range(2 * ROOM)))
        assert scene.dialer.dialed.acquire(timeout=20)
        scene.dialer.may_go.set()
        for thread in threads:
            thread.join(20)
        assert not scene.dialer.dialed.acquire(blocking=False)
        for one in scene.targets:
            (event,) = one.events
            assert isinstance(event, DialFailed)
            assert (event.cause, event.detail) == (Cause.SSHD_DOWN, "refused")

    def test_it_is_told_once_and_the_next_dial_is_a_dial(self, scene: Scene) -> None:
        scene.fail(Transient(Cause.SSHD_REJECTS, "full", reached=True))
        _, b = scene.up()
        assert len(scene.dialer.links) == 0
        assert isinstance(b.events[0], DialFailed)
        assert b.events[0].reached
        b.dial()
        assert b.on() is scene.dialer.links[0]

    def test_who_dialled_itself_dials_again(self, scene: Scene) -> None:
        scene.fail(Transient(Cause.SSHD_DOWN, "refused"))
        (a,) = scene.up(1)
        a.dial()
        assert a.on() is scene.dialer.links[0]

    @pytest.mark.parametrize(("reached", "lasts"), [(False, TOLD_SECONDS), (True, REACHED_SECONDS)])
    def test_an_old_failure_says_nothing(self, scene: Scene, reached: bool, lasts: float) -> None:
        scene.fail(Transient(Cause.SSHD_DOWN, "refused", reached=reached))
        scene.up(1)
        scene.clock.pass_by(lasts + 0.1)
        (b,) = scene.up(1)
        assert b.events == [LinkUp(number=1)]

    def test_nor_does_one_from_before_known_hosts_changed(self, scene: Scene) -> None:
        scene.fail(Permanent(Cause.HOST_KEY, "changed", reached=True))
        scene.up(1)
        scene.known_hosts.write_text("another key")
        (b,) = scene.up(1)
        assert b.events == [LinkUp(number=1)]

    def test_nor_does_one_from_before_a_sleep(self, scene: Scene) -> None:
        scene.fail(Transient(Cause.SSHD_REJECTS, "full", reached=True))
        scene.up(1)
        scene.clock.sleep(REACHED_SECONDS + 0.1)
        (b,) = scene.up(1)
        assert b.events == [LinkUp(number=1)]

    def test_a_refused_host_key_is_told_to_who_waited_for_that_dial_only(
        self, scene: Scene
    ) -> None:
        scene.fail(Permanent(Cause.HOST_KEY, "a portal's", reached=True))
        scene.dialer.may_go.clear()
        a, b = scene.target(), scene.target()
        threads = together(a, b)
        until(lambda: a.engine.shares and b.engine.shares, "one dials, one waits")
        scene.clock.pass_by(1.0)
        scene.dialer.may_go.set()
        for thread in threads:
            thread.join(20)
        assert [type(event) for one in (a, b) for event in one.events] == [DialFailed] * 2
        scene.clock.pass_by(0.1)
        (c,) = scene.up(1)  # perhaps in another network
        assert c.events == [LinkUp(number=1)]

    @pytest.mark.parametrize(
        ("seconds", "told"), [(SHORT_SECONDS - 1.0, False), (SHORT_SECONDS + 1.0, True)]
    )
    def test_a_dial_that_its_own_short_deadline_ended_says_nothing(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, seconds: float, told: bool
    ) -> None:
        def late(deadline: Deadline, news: object) -> FakeLink:
            scene.clock.pass_by(deadline.remaining())
            raise Transient(Cause.HOST_UNREACHABLE, "timed out", phase="connect")

        a = scene.target()
        with monkeypatch.context() as patched:
            patched.setattr(scene.dialer, "dial", late)
            a.links.dial(1, Deadline.after(scene.clock, seconds))
        (b,) = scene.up(1)
        assert isinstance(a.events[0], DialFailed)
        assert isinstance(b.events[0], DialFailed) == told

    def test_a_dial_that_broke_leaves_nobody_waiting(self, scene: Scene) -> None:
        scene.dialer.failures.append(ZeroDivisionError())  # type: ignore[arg-type]
        with pytest.raises(ZeroDivisionError):
            scene.target().dial()
        (b,) = scene.up(1)
        assert b.events == [LinkUp(number=1)]

    def test_one_alone_finds_out_until_the_server_let_somebody_in(self, scene: Scene) -> None:
        scene.dialer.may_go.clear()
        threads = together(*(scene.target() for _ in range(3 * ROOM)))
        assert scene.dialer.dialed.acquire(timeout=20)
        assert not scene.dialer.dialed.acquire(timeout=0.2)
        scene.dialer.may_go.set()
        for thread in threads:
            thread.join(20)
        assert all(one.events == [LinkUp(number=1)] for one in scene.targets)
        assert len(scene.dialer.links) == 3
