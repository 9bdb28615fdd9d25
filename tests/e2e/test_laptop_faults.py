"""Faults of this laptop: said, outwaited, and nothing on the server is touched."""

from __future__ import annotations

import re
import socket
import subprocess
import sys

import pytest

from tests.e2e.lab import OWN_TOKEN, Bench, container_untouched
from tests.e2e.network import Laptop
from tests.lab import needs
from tests.lab.docker import Dockerd

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]


STRANGER = """
import socket, sys
held = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("holding", flush=True)
while True:
    client, _ = held.accept()
    client.sendall(b"stranger")
    client.close()
"""


def test_port_conflict(own: Bench) -> None:
    """A stranger has the local port when the agent starts: named, never killed, outwaited."""
    own.settle()
    assert own.agent.end() == 0
    stranger = subprocess.Popen(
        [sys.executable, "-c", STRANGER, str(own.local)], stdout=subprocess.PIPE
    )
    assert stranger.stdout is not None
    try:
        assert stranger.stdout.readline() == b"holding\n"
        begin = own.mark()
        own.agent.start()
        own.wait_cause("port_conflict")
        target = own.agent.target()
        assert re.search(rf"python\S* \(pid {stranger.pid}\)", target["detail"]), target["detail"]
        assert target["mend"]
        assert str(stranger.pid) in target["forward"]["holder"]
        with socket.create_connection(("127.0.0.1", own.local), 3) as client:
            assert client.recv(100) == b"stranger"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        stranger.stdout.close()
    own.calm()
    assert own.usable()
    assert own.actions(begin) == []
    assert own.incidents(begin) == ["port_conflict"]
    assert own.acts(begin) == []


def test_laptop_offline(dockerd: Dockerd, jupyter: str) -> None:
    """The cable is pulled out: nothing is dialled, judged or touched until it is back."""
    needs.programs("sshd", "ssh-keygen", "tmux", "ip")
    needs.root("a network namespace")
    laptop = Laptop()
    try:
        with Bench(
            dockerd, jupyter, settings=OWN_TOKEN, before=laptop.before, address=laptop.server
        ) as bench:
            bench.settle()
            with container_untouched(bench) as begin:
                laptop.pull_out()
                try:
                    bench.wait_state("offline", 45)
                    bench.pass_time(6)
                    assert bench.agent.target()["state"] == "offline"
                    assert bench.agent.target()["cause"] == "offline"
                    assert bench.agent.metrics()["online"] == 0
                    assert bench.dials(begin) == 0
                    assert bench.actions(begin) == []
                finally:
                    laptop.plug_in()
                bench.wait_state("up", 30)
            assert bench.actions(begin) == []
            assert bench.incidents(begin) == []
            assert bench.dials(begin) <= 1
    finally:
        laptop.close()
