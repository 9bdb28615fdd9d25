"""``Route`` on a machine without a network: a network namespace of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.lab import needs

pytestmark = pytest.mark.real

SCRIPT = """
import sys
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.route import Route
from watchdogd.ports import Deadline
for host in sys.argv[1:]:
    found = Route(host)(Deadline.after(SystemClock(), 5))
    print(host, found.routed, found.resolved)
"""


def test_without_any_network_there_is_no_route() -> None:
    needs.programs("unshare")
    needs.root("a network namespace")
    hosts = ["192.0.2.7", "2001:db8::7", "nowhere.invalid"]
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", SCRIPT, *hosts],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "192.0.2.7 False None",
        "2001:db8::7 False None",
        "nowhere.invalid False False",
    ]
