"""Out of file descriptors: what accepts clients rests instead of spinning, and nobody else is blamed."""

from __future__ import annotations

import subprocess
import sys

import pytest

_BEFORE = """
import os, resource, socket, sys
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.forward import ListeningForward
from watchdogd.errors import Transient
from watchdogd.settings import Address
from watchdogd.web import Routes, WebServer

clock = SystemClock()
forward = ListeningForward(Address("127.0.0.1", 0), Address("127.0.0.1", 9), 0.001, clock)
web = WebServer(Address("127.0.0.1", 0), Routes(metrics=None, round_age=None, unready=None), clock)

def exhaust():
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, 1024))
    try:
        while True:
            os.dup(0)
    except OSError:
        pass

def busy():
    before = os.times()
    clock.wait(1.0)
    after = os.times()
    return after.user + after.system - before.user - before.system
"""
_ACCEPTS = """
forward.bind() if sys.argv[1] == "forward" else web.start()
where = forward.address if sys.argv[1] == "forward" else web.address
client = socket.socket()
exhaust()
client.connect((where.host, where.port))
print(busy(), flush=True)
os._exit(0)
"""
_BINDS = """
exhaust()
try:
    forward.bind()
except Transient as error:
    print(error.detail, "|", error.mend, flush=True)
os._exit(0)
"""


def _run(code: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _BEFORE + code, *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
class TestOutOfDescriptors:
    @pytest.mark.parametrize("listener", ["forward", "web"])
    def test_a_client_that_cannot_be_accepted_costs_no_cpu(self, listener: str) -> None:
        assert float(_run(_ACCEPTS, listener)) < 0.1

    def test_a_port_that_nobody_holds_is_laid_to_nobodys_charge(self) -> None:
        told = _run(_BINDS)
        assert "held by the system" in told
        assert "end " not in told
