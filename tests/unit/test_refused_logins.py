"""Refused logins of all targets of one server: never so many that fail2ban locks the laptop out."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_ssh import FakeEngine, FakeLink
from tests.lab.waiting import until
from tests.unit.test_shared_servers import (
    PLAN,
    REAL,
    ROOM,
    Quiet,
    Scene,
    Target,
    opened,
    soon,
    together,
)
from watchdogd.adapters.shared_servers import (
    REACHED_SECONDS,
    REFUSED_LOGINS,
    REFUSED_REST_SECONDS,
    SharedEngine,
    SshServers,
)
from watchdogd.adapters.ssh_door import DIALS_AT_ONCE
from watchdogd.core.dialing import (
    AUTH_DIALS,
    AUTH_GAP_SECONDS,
    AUTH_REST_SECONDS,
    LOCAL_LOOK_SECONDS,
)
from watchdogd.core.events import DialFailed, LinkUp
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline

NO_KEY = Permanent(Cause.AUTH, "no", phase="auth", reached=True)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened(tmp_path) as made:
        yield made


class Refusing:
    """The server refuses each login until ``mended``; when each was tried."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        self.logins: list[float] = []
        self.mended = False
        self.may_go = threading.Event()
        self.may_go.set()
        dial = scene.dialer.dial

        def refuse(*given: object) -> FakeLink:
            if self.mended:
                return dial(*given)  # type: ignore[arg-type]
            self.logins.append(scene.clock.run())
            assert self.may_go.wait(20)
            raise Permanent(Cause.AUTH, "no", phase="auth", reached=True)

        monkeypatch.setattr(scene.dialer, "dial", refuse)


@pytest.fixture
def refusing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(scene, monkeypatch)


class Crowd:
    """Targets that dial when the decisions would have them dial, each with a clock of its own."""

    def __init__(self, scene: Scene, starts: tuple[float, ...]) -> None:
        self.scene = scene
        self.targets = {scene.target(): scene.clock.run() + at for at in starts}
        self.denied = dict.fromkeys(self.targets, 0)

    def play(self, seconds: float) -> None:
        end = self.scene.clock.run() + seconds
        while self.targets and min(self.targets.values()) < end:
            one = min(self.targets, key=self.targets.__getitem__)
            self.scene.clock.pass_by(max(0.0, self.targets[one] - self.scene.clock.run()))
            one.dial()
            event = one.events[-1]
            if isinstance(event, LinkUp):
                del self.targets[one]
                continue
            assert isinstance(event, DialFailed)
            self.denied[one] += event.reached
            few = self.denied[one] < AUTH_DIALS
            pause = AUTH_GAP_SECONDS if few else AUTH_REST_SECONDS
            self.targets[one] += pause if event.reached else LOCAL_LOOK_SECONDS
        self.scene.clock.pass_by(max(0.0, end - self.scene.clock.run()))


@pytest.mark.parametrize(
    "starts",
    [
        (0.0,),
        (0.0, 35.0),
        (0.0, 40.0, 510.0, 520.0),
        (0.0, 31.0, 60.0, 91.0, 200.0, 600.0),
        tuple(16.0 * number for number in range(8)),
        tuple(113.0 * number for number in range(8)),
    ],
)
def test_targets_out_of_step_try_a_refused_key_no_oftener_than_one(
    scene: Scene, refusing: Refusing, starts: tuple[float, ...]
) -> None:
    crowd = Crowd(scene, starts)
    crowd.play(2 * 3600.0)
    logins = refusing.logins
    pauses = [after - before for before, after in itertools.pairwise(logins)]
    assert min(pauses) >= AUTH_GAP_SECONDS, logins
    assert max(pauses) <= REFUSED_REST_SECONDS + LOCAL_LOOK_SECONDS, "it is tried again"
    for first in range(len(logins) - REFUSED_LOGINS):
        assert max(pauses[first : first + REFUSED_LOGINS]) >= REFUSED_REST_SECONDS, logins
    refusing.mended = True
    crowd.play(REFUSED_REST_SECONDS + 2 * LOCAL_LOOK_SECONDS)
    assert not crowd.targets, "all are up"


def refused(scene: Scene) -> list[Target]:
    """Targets whose server has refused as many logins as may be tried."""
    targets = [scene.target() for _ in range(REFUSED_LOGINS + 1)]
    for one in targets[:REFUSED_LOGINS]:
        scene.fail(NO_KEY)
        one.dial()
        scene.clock.pass_by(REACHED_SECONDS + 0.1)
    targets[-1].dial()
    (told,) = targets[-1].events
    assert isinstance(told, DialFailed)
    assert (told.cause, told.permanent, told.reached) == (Cause.AUTH, True, False)
    assert told.detail == "no (not asked again yet: it refused several logins lately)"
    assert not scene.dialer.links
    return targets


def test_a_person_who_mended_it_is_not_kept_waiting(scene: Scene) -> None:
    one, other, *_ = refused(scene)
    with pytest.raises(Permanent):
        one.links.reconnect(soon())
    scene.fail(NO_KEY)
    with pytest.raises(Permanent, match=r"no$"):
        one.links.reconnect(soon(), ordered=True)
    scene.clock.pass_by(1.0)
    for target in (one, other):
        target.dial()
        assert not scene.dialer.links, "an order is good for one dial"
    one.links.reconnect(soon(), ordered=True)
    assert one.on() is scene.dialer.links[0]


def test_orders_for_all_targets_at_once_are_one_login(scene: Scene, refusing: Refusing) -> None:
    refusing.may_go.clear()
    targets = [scene.target() for _ in range(8)]

    def order(one: Target) -> None:
        with pytest.raises(Permanent):
            one.links.reconnect(soon(), ordered=True)

    threads = [threading.Thread(target=order, args=(one,)) for one in targets]
    for thread in threads:
        thread.start()
    until(lambda: all(one.engine.ordered for one in targets), "all ordered")
    scene.clock.pass_by(1.0)
    refusing.may_go.set()
    for thread in threads:
        thread.join(20)
    assert len(refusing.logins) == 1


def test_no_more_are_tried_at_once_beside_a_link_that_is_up(
    scene: Scene, refusing: Refusing
) -> None:
    refusing.mended = True
    scene.up(ROOM)
    refusing.mended = False
    one = scene.target()
    for _ in range(REFUSED_LOGINS - 1):
        one.dial()
        scene.clock.pass_by(REACHED_SECONDS)
    refusing.may_go.clear()
    threads = together(*(scene.target() for _ in range(2 * DIALS_AT_ONCE)))
    until(lambda: len(refusing.logins) >= REFUSED_LOGINS, "the last that is tried")
    refusing.may_go.set()
    for thread in threads:
        thread.join(20)
    assert len(refusing.logins) == REFUSED_LOGINS


def test_a_key_that_was_mended_is_tried_at_once(scene: Scene) -> None:
    one, *_ = refused(scene)
    scene.known_hosts.write_text("another")
    one.dial()
    assert one.on() is scene.dialer.links[0]


def test_a_login_that_is_let_in_ends_the_count(scene: Scene) -> None:
    one, other, *_ = refused(scene)
    one.links.reconnect(soon(), ordered=True)
    one.links.close(soon())
    scene.fail(Transient(Cause.SSHD_DOWN, "refused"))
    other.dial()
    other.dial()
    assert other.on() is scene.dialer.links[1]


@pytest.mark.parametrize(
    "error",
    [
        Permanent(Cause.AUTH, "no key to log in with", phase="auth", reached=False),
        Transient(Cause.SSHD_REJECTS, "full", phase="banner", reached=True),
    ],
)
def test_only_refused_logins_are_counted(scene: Scene, error: Transient | Permanent) -> None:
    one = scene.target()
    for _ in range(REFUSED_LOGINS + 1):
        scene.fail(error)
        one.dial()
    one.dial()
    assert one.on() is scene.dialer.links[0]


def test_users_of_one_server_are_one_to_its_fail2ban() -> None:
    """Another port is another server; and who was never refused may ask, whatever others were told."""
    clock = FakeClock()
    servers, logins = SshServers(clock), dict[str, int]()

    def engine(user: str, port: int = 22) -> SharedEngine:
        made = FakeEngine(clock)
        made.failures = [NO_KEY] * 99
        plan = replace(PLAN, user=user, port=port)
        return servers.engine(plan, 5.0, 2, lambda: made)

    def knock(whose: str, one: SharedEngine) -> None:
        clock.pass_by(REACHED_SECONDS + 1)
        with pytest.raises(Permanent) as raised:
            one.dial(Deadline.after(clock, 20.0), Quiet())
        logins[whose] = logins.get(whose, 0) + raised.value.reached

    known = {
        "a": engine("a"),
        "b": engine("b"),
        "c": engine("c"),
        "elsewhere": engine("a", 2222),
    }
    for _ in range(9):
        for whose in ("a", "b"):
            knock(whose, known[whose])
    assert logins["a"] + logins["b"] == REFUSED_LOGINS
    knock("c", known["c"])
    knock("c", known["c"])
    assert logins["c"] == 1
    for _ in range(9):
        knock("elsewhere", known["elsewhere"])
    assert logins["elsewhere"] == REFUSED_LOGINS


def test_dials_of_all_logins_to_one_address_are_few_at_once() -> None:
    servers, dialers, begun = SshServers(REAL), list[FakeEngine](), list[FakeEngine]()

    def engine(user: str) -> SharedEngine:
        made = FakeEngine(REAL)
        made.may_go.clear()
        dialers.append(made)
        return servers.engine(replace(PLAN, user=user), 5.0, 2, lambda: made)

    def dial(one: SharedEngine) -> None:
        with suppress(Transient):
            one.dial(soon(), Quiet())

    def as_many_as_may() -> bool:
        begun.extend(one for one in dialers if one.dialed.acquire(blocking=False))
        return len(begun) >= DIALS_AT_ONCE

    engines = [engine(str(number)) for number in range(2 * DIALS_AT_ONCE)]
    threads = [threading.Thread(target=dial, args=(one,)) for one in engines]
    for thread in threads:
        thread.start()
    until(as_many_as_may, "as many as may")
    assert len(begun) == DIALS_AT_ONCE
    begun[0].failures.append(Transient(Cause.SSHD_DOWN, "refused"))  # it leaves room as well
    for one in dialers:
        one.may_go.set()
    for thread in threads:
        thread.join(20)
    assert sum(len(one.links) for one in dialers) == 2 * DIALS_AT_ONCE - 1
