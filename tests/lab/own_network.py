"""A loopback of one's own, whose packets may be lost, and a hosts file of one's own. Root only.

Linux keeps network and mounts by thread. A thread that leaves them takes along all threads and processes that
it starts from then on, so a whole test runs there, and nobody else is disturbed by its rules.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab import needs

_NEW_NETWORK, _NEW_MOUNTS = 0x40000000, 0x00020000
_PRIVATE = 1 << 18 | 1 << 14
_BIND = 1 << 12
_LIBC = ctypes.CDLL(None, use_errno=True)
_WAIT = 10.0


def in_own_network(job: Callable[[], None], seconds: float = 110.0) -> None:
    """Run ``job`` there; raises what it raises. What it starts must have ended when it returns."""
    needs.programs("ip", "iptables")
    needs.root("a network of its own")
    raised: list[BaseException] = []

    def run() -> None:
        try:
            _checked(_LIBC.unshare(_NEW_NETWORK | _NEW_MOUNTS))
            _checked(_LIBC.mount(b"none", b"/", None, _PRIVATE, None))
            _run("ip", "link", "set", "lo", "up")
            job()
        except BaseException as error:  # noqa: BLE001 - raised again, in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=run, name="test-own-network")
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "the job did not end"
    if raised:
        raise raised[0]


def lose_every(nth: int, port: int) -> None:
    """Within: every so many packets one is lost, in each direction of that TCP port.

    Counted, not thrown, so that no run has worse luck than another; a packet that is sent again passes.
    """
    _both_ways(port, "-m", "statistic", "--mode", "nth", "--every", str(nth), "--packet", "0")


def lose_larger(size: int, port: int) -> None:
    """Within: packets of more bytes vanish, as behind a tunnel whose MTU nobody was told."""
    _both_ways(port, "-m", "length", "--length", f"{size + 1}:65535")


def lose_nothing() -> None:
    """Within: all rules are taken away."""
    _run("iptables", "-w", "-F", "INPUT")


def resolve(folder: Path, **names: str) -> None:
    """Within: these names (an underscore is a dot), and no others, have these addresses."""
    hosts = folder / "hosts"
    new = folder / "hosts.new"
    new.write_text("".join(f"{to} {name.replace('_', '.')}\n" for name, to in names.items()))
    if hosts.exists():
        hosts.write_text(new.read_text())  # in place: the mount is of the file
        return
    os.replace(new, hosts)
    _checked(_LIBC.mount(bytes(hosts), b"/etc/hosts", None, _BIND, None))


def _both_ways(port: int, *rule: str) -> None:
    for end in ("--dport", "--sport"):
        _run("iptables", "-w", "-A", "INPUT", "-p", "tcp", end, str(port), *rule, "-j", "DROP")


def _checked(result: Any) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, timeout=_WAIT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv} ended with {done.returncode}: {done.stderr!r}")
