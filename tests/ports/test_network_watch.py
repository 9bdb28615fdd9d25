"""Changes of the network as the kernel tells them, in a network namespace that the test changes."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.network import Laptop
from tests.lab import needs
from tests.lab.namespace import move_to, within
from tests.lab.waiting import until
from watchdogd.adapters import netlink
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.netlink import Notifications
from watchdogd.adapters.network_watch import NetworkWatch
from watchdogd.adapters.route import Route
from watchdogd.ports import Deadline

pytestmark = pytest.mark.real

CLOCK = SystemClock()
WAIT = 20.0
AWAY = "198.51.100.7"
"""An address that only a default route leads to."""


@pytest.fixture
def laptop() -> Iterator[Laptop]:
    needs.programs("ip")
    needs.root("a network namespace")
    made = Laptop()
    try:
        yield made
    finally:
        made.close()


class Watched:
    """A watch whose thread lives in the namespace, and what it told."""

    def __init__(self, laptop: Laptop, *hosts: str, polls: bool = False) -> None:
        self.told: queue.Queue[tuple[str, bool]] = queue.Queue()
        self.looks = 0
        self._routes = {host: Route(host) for host in hosts}
        self._laptop = laptop
        self._polls = polls
        self._begun = threading.Event()
        self.watch = NetworkWatch(
            self._ways,
            lambda name, routed: self.told.put((name, routed)),
            CLOCK,
            notifications=self._open,
            poll=0.05,
        )

    def __enter__(self) -> Watched:
        self.watch.start()
        assert self._begun.wait(WAIT)
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.close(WAIT)
        assert "network-watch" not in {thread.name for thread in threading.enumerate()}

    def next(self) -> tuple[str, bool]:
        return self.told.get(timeout=WAIT)

    def looked_again(self) -> None:
        """Returns once it took note of what was changed before."""
        before = self.looks
        until(lambda: self.looks > before, "a look", WAIT)

    def _open(self) -> Notifications:
        move_to(self._laptop.name)
        if self._polls:
            raise PermissionError("not here")
        return Notifications()

    def _ways(self) -> Mapping[str, Mapping[str, str]]:
        found = {host: route.ways() for host, route in self._routes.items()}
        self.looks += 1
        self._begun.set()
        return found


@pytest.mark.parametrize("polls", [False, True])
def test_a_cable_that_is_pulled_out_and_put_back_is_told(laptop: Laptop, polls: bool) -> None:
    with Watched(laptop, laptop.server, polls=polls) as watched:
        laptop.pull_out()
        assert watched.next() == (laptop.server, False)
        laptop.plug_in()
        assert watched.next() == (laptop.server, True)
    assert watched.told.empty()


def test_a_carrier_that_is_lost_is_no_way(laptop: Laptop) -> None:
    """As Wi-Fi out of reach: addresses and routes stay."""
    other = laptop.cable.replace("wl", "ws", 1)
    with Watched(laptop, laptop.server) as watched:
        subprocess.run(["ip", "link", "set", other, "down"], check=True, timeout=WAIT)
        assert watched.next() == (laptop.server, False)
        subprocess.run(["ip", "link", "set", other, "up"], check=True, timeout=WAIT)
        assert watched.next() == (laptop.server, True)


def test_another_address_of_our_own_is_told(laptop: Laptop) -> None:
    with Watched(laptop, laptop.server) as watched:
        moved = laptop.server.rsplit(".", 1)[0] + ".9/28"
        laptop.inside("ip", "addr", "flush", "dev", laptop.cable)
        laptop.inside("ip", "addr", "add", moved, "dev", laptop.cable)
        while watched.next() != (laptop.server, True):
            pass  # on a slow machine the moment without an address may be told, too


def test_another_gateway_is_told_though_our_address_stays(laptop: Laptop) -> None:
    laptop.inside("ip", "route", "add", "default", "via", laptop.server)
    with Watched(laptop, AWAY, laptop.server) as watched:
        laptop.inside("ip", "route", "replace", "default", "dev", laptop.cable)
        assert watched.next() == (AWAY, True)
        assert watched.told.empty()  # the other server is still reached as before


def test_a_default_route_that_comes_and_goes_is_told(laptop: Laptop) -> None:
    with Watched(laptop, AWAY) as watched:
        laptop.inside("ip", "route", "add", "default", "via", laptop.server)
        assert watched.next() == (AWAY, True)
        laptop.inside("ip", "route", "del", "default")
        assert watched.next() == (AWAY, False)


def test_containers_that_come_and_go_are_no_news(laptop: Laptop) -> None:
    with Watched(laptop, laptop.server) as watched:
        laptop.inside("ip", "link", "add", "docker0", "type", "bridge")
        laptop.inside("ip", "addr", "add", "172.31.9.1/24", "dev", "docker0")
        for number in range(5):
            name = f"veth{number}"
            laptop.inside("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
            laptop.inside("ip", "link", "set", name, "master", "docker0", "up")
            watched.looked_again()
            laptop.inside("ip", "link", "del", name)
        laptop.inside("ip", "link", "del", "docker0")
        watched.looked_again()
        laptop.pull_out()
        assert watched.next() == (laptop.server, False)


def test_a_burst_is_told_once(laptop: Laptop) -> None:
    with Watched(laptop, AWAY) as watched:
        for number in range(2, 30):
            laptop.inside("ip", "addr", "add", f"192.168.77.{number}/32", "dev", laptop.cable)
        laptop.inside("ip", "route", "add", "default", "via", laptop.server)
        assert watched.next() == (AWAY, True)
        laptop.pull_out()
        assert watched.next() == (AWAY, False)
    assert watched.told.empty()


def test_a_kernel_that_tells_nothing_any_more_is_looked_at_instead(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(news: Notifications) -> None:
        raise ConnectionResetError("gone")

    with Watched(laptop, laptop.server) as watched:
        monkeypatch.setattr(Notifications, "drain", broken)
        laptop.pull_out()
        assert watched.next() == (laptop.server, False)
        laptop.plug_in()
        assert watched.next() == (laptop.server, True)


def test_it_ends_while_things_change_and_leaves_nothing(laptop: Laptop) -> None:
    with Watched(laptop, laptop.server):
        laptop.pull_out()
    with Watched(laptop, laptop.server, polls=True):
        laptop.plug_in()


def test_one_that_never_began_ends_as_well() -> None:
    NetworkWatch(dict, lambda name, routed: None, CLOCK).close(WAIT)


def test_the_kernels_word_on_a_way(laptop: Laptop) -> None:
    hosts = ("127.0.0.1", "::1", laptop.server, AWAY, "2001:db8::7")
    soon = Deadline.after(CLOCK, WAIT)
    ways = within(laptop.name, lambda: [netlink.way(host, soon) for host in hosts])
    local4, local6, near, far4, far6 = ways
    assert local4.endswith("//7f000001")
    assert local6.endswith("//" + "0" * 31 + "1")
    assert near.split("/")[1] == ""
    assert near
    assert (far4, far6) == ("", "")


def test_where_the_kernel_may_not_be_asked_our_own_address_is_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(address: str, deadline: Deadline) -> str:
        raise OSError("not here")

    monkeypatch.setattr(netlink, "way", refused)
    assert Route("127.0.0.1").ways() == {"127.0.0.1": "127.0.0.1"}
