"""Networks to break: packets dropped on loopback, and a laptop whose only cable can be pulled."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

WAIT = 10.0


def _run(*argv: str, check: bool = True) -> bool:
    return _said(*argv, check=check) is not None


def _said(*argv: str, check: bool = True) -> str | None:
    done = subprocess.run(argv, capture_output=True, timeout=WAIT, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{argv} ended with {done.returncode}: {done.stderr!r}")
    return done.stdout.decode() if done.returncode == 0 else None


@contextmanager
def dropped(port: int) -> Iterator[None]:
    """All packets to that loopback port vanish meanwhile."""
    rule = ("INPUT", "-i", "lo", "-p", "tcp", "--dport", str(port), "-j", "DROP")
    _run("iptables", "-w", "-I", *rule)
    try:
        yield
    finally:
        _run("iptables", "-w", "-D", *rule)


class Laptop:
    """A network namespace with one cable to this machine. Root only; ``close`` takes it away."""

    def __init__(self) -> None:
        mark, net = f"{random.randrange(16**6):06x}", random.randrange(256)
        self.name = f"wd{mark}"
        self.cable, self._other = f"wl{mark}", f"ws{mark}"
        self.address, self.server = f"10.214.{net}.2", f"10.214.{net}.1"
        """Of the laptop, and of this machine as the laptop sees it."""
        _run("ip", "netns", "add", self.name)
        try:
            ends = (self.cable, "type", "veth", "peer", "name", self._other)
            _run("ip", "link", "add", *ends)
            _run("ip", "link", "set", self.cable, "netns", self.name)
            _run("ip", "addr", "add", f"{self.server}/30", "dev", self._other)
            _run("ip", "link", "set", self._other, "up")
            self.inside("ip", "addr", "add", f"{self.address}/30", "dev", self.cable)
            self.inside("ip", "link", "set", "lo", "up")
            self.plug_in()
        except BaseException:
            self.close()
            raise

    @property
    def before(self) -> Sequence[str]:
        """What goes in front of a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def inside(self, *argv: str) -> str:
        """Run a command there; what it prints."""
        return _said(*self.before, *argv) or ""

    def beside(self, *argv: str) -> None:
        """Run a command on this machine, at the cable's other end."""
        _run(*argv)

    def pull_out(self) -> None:
        """No network from now on."""
        self.inside("ip", "link", "set", self.cable, "down")

    def plug_in(self) -> None:
        """The network is there (again)."""
        self.inside("ip", "link", "set", self.cable, "up")

    def close(self) -> None:
        """Take cable and namespace away."""
        _run("ip", "link", "del", self._other, check=False)
        _run("ip", "netns", "del", self.name, check=False)
