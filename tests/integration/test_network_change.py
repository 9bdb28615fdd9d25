"""A laptop that comes to another network: the agent in a namespace of its own, whose cable the test moves.

Keepalive and probes are far too rare to notice anything in time: what is noticed, the kernel told.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.network import Laptop
from tests.lab import needs
from tests.lab.asking import fetch
from tests.lab.namespace import within
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from tests.lab.stand_in import TOKEN, StandIn
from watchdogd.settings import Address

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

WAIT = 90.0


class Scene:
    """A server on this machine, and the agent on the laptop."""

    def __init__(
        self, laptop: Laptop, server: Sshd, runtime: StandIn, folder: Path, engine: str
    ) -> None:
        self.laptop, self.server = laptop, server
        self.local = Address("127.0.0.1", free_port())
        kind, blob = server.host_key.with_suffix(".pub").read_text().split()[:2]
        known, token = folder / "known_hosts", folder / "token"
        known.write_text(f"[{laptop.server}]:{server.port} {kind} {blob}\n")
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.agent = Agent(
            folder,
            {
                "agent.listen": f"127.0.0.1:{free_port()}",
                "targets.a100.ssh.host": laptop.server,
                "targets.a100.ssh.port": server.port,
                "targets.a100.ssh.user": server.user,
                "targets.a100.ssh.identity_file": server.identity_file,
                "targets.a100.ssh.known_hosts": str(known),
                "targets.a100.ssh.keepalive": "1h",
                "targets.a100.ssh.engine": engine,
                "targets.a100.probe.interval": "1h",
                "targets.a100.forward.local": str(self.local),
                "targets.a100.forward.remote": str(runtime.address),
                "targets.a100.forward.hold": "1s",
                "targets.a100.runtime.kind": "external",
                "targets.a100.runtime.token_file": str(token),
            },
            before=laptop.before,
        )

    def usable(self) -> bool:
        """Does a request on the laptop reach the runtime?"""
        try:
            return within(self.laptop.name, lambda: fetch(self.local, "/api"))[0] == 200
        except OSError:
            return False

    def await_usable(self) -> None:
        self.agent.until(self.usable, "usable", WAIT)

    def news(self) -> list[str]:
        """What happened to the target lately."""
        return [str(one["kind"]) for one in self.agent.target().get("recent", [])]

    def replaced(self) -> bool:
        """Did another link take the first one's place?"""
        return any("connected again" in str(one["event"]) for one in self.agent.records())

    def go_dead(self) -> None:
        """Nothing reaches the server any more from this address, and a client waits for an answer."""
        laptop, port = self.laptop, str(self.server.port)
        gone = ("OUTPUT", "-s", laptop.address, "-p", "tcp", "--dport", port, "-j", "DROP")
        laptop.inside("iptables", "-w", "-A", *gone, "--syn")
        laptop.inside("iptables", "-w", "-A", *gone)
        threading.Thread(target=self.usable, name="client", daemon=True).start()

    def dials_in_vain(self) -> bool:
        """Did a dial's first packet go the dead way?"""
        rules = self.laptop.inside("iptables", "-w", "-vnxL", "OUTPUT").splitlines()
        first, _ = (line for line in rules if "DROP" in line)
        return first.split()[0] != "0"

    def dials(self) -> int:
        """Those that ended."""
        return int(self.agent.metric("tunnel_dials_total"))

    def move(self) -> None:
        """Another network: an address, a way, and a former one of which nothing comes back."""
        laptop, net = self.laptop, self.laptop.server.rsplit(".", 1)[0]
        laptop.inside("ip", "addr", "flush", "dev", laptop.cable)
        laptop.inside("ip", "addr", "add", f"{net}.130/25", "dev", laptop.cable)
        laptop.inside("ip", "route", "add", laptop.server, "via", f"{net}.129")


@pytest.fixture(params=["sshtunnel"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    needs.programs("ip", "sshd", "ssh-keygen")
    needs.root("a network namespace")
    laptop = Laptop()
    try:
        net, other = laptop.server.rsplit(".", 1)[0], laptop.cable.replace("wl", "ws", 1)
        laptop.beside("ip", "addr", "add", f"{net}.129/25", "dev", other)
        options = {"ListenAddress": f"{laptop.server}:{needs.free_port()}"}
        port = int(options["ListenAddress"].rpartition(":")[2])
        with Sshd(port=port, options=options) as server, StandIn() as runtime:
            made = Scene(laptop, server, runtime, tmp_path, request.param)
            made.agent.start()
            try:
                made.await_usable()
                made.agent.until(lambda: made.agent.target().get("state") == "up", "up", WAIT)
                yield made
            finally:
                made.agent.close()
    finally:
        laptop.close()


def test_in_another_network_a_dead_link_is_replaced_at_once(scene: Scene) -> None:
    scene.move()
    scene.agent.until(scene.replaced, "another link", WAIT)
    scene.await_usable()
    assert "network_changed" in scene.news()
    assert scene.agent.incidents() == []


@pytest.mark.parametrize("scene", ["sshtunnel", "openssh"], indirect=True)
def test_a_dial_on_the_former_way_begins_anew_in_the_other_network(scene: Scene) -> None:
    dials = scene.dials()
    scene.go_dead()
    scene.agent.until(scene.dials_in_vain, "a dial", WAIT)
    scene.move()
    scene.agent.until(scene.replaced, "another link", WAIT)
    scene.await_usable()
    assert scene.dials() == dials + 1  # none failed: it was that one


def test_a_cable_pulled_out_for_a_while_costs_seconds_once_it_is_back(scene: Scene) -> None:
    scene.laptop.pull_out()
    scene.agent.until(lambda: scene.agent.target().get("state") == "offline", "offline", WAIT)
    scene.laptop.plug_in()
    scene.await_usable()
    scene.agent.until(lambda: scene.agent.target().get("state") == "up", "up", WAIT)
    assert scene.news().count("network_changed") == 2
    assert scene.agent.incidents() == []


def test_containers_that_come_and_go_cost_no_dial_and_no_question(scene: Scene) -> None:
    inside = scene.laptop.inside
    for number in range(3):
        inside("ip", "link", "add", "docker0", "type", "bridge")
        inside("ip", "addr", "add", f"172.31.{number}.1/24", "dev", "docker0")
        inside("ip", "link", "set", "docker0", "up")
        inside("ip", "link", "del", "docker0")
    scene.move()  # what is told after all that is this
    scene.agent.until(scene.replaced, "another link", WAIT)
    assert scene.news().count("network_changed") <= 2
