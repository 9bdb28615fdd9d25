"""A container engine of our own for tests: a real ``dockerd`` that touches nothing but its folder.

It has its own data, its own socket and its own bridge, and it writes no packet filter rules: ports
published on loopback are served by its userland proxy. So any number of them can run side by side,
also beside an engine that belongs to the machine. Root and Debian's ``docker.io`` are enough.

Measured on 2 cores: 1 to 3 s to ready, 1 s to end.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.lab.closing import Closing

READY_SECONDS = 30.0
STOP_SECONDS = 15.0


class Dockerd(Closing):
    """A running engine. Use as a context manager, or call ``close``; both leave nothing behind.

    Raises ``RuntimeError`` with the daemon's last words if it does not get ready.
    """

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wd-docker-", dir="/tmp"))
        self.socket = str(self.root / "s")
        """Path of its unix socket."""
        self.bridge = ""
        self.pid = 0
        """Process id of the daemon, 0 while it does not run."""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.bridge = _make_bridge()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def env(self) -> dict[str, str]:
        """The variables that point a ``docker`` client at this engine."""
        return {"DOCKER_HOST": f"unix://{self.socket}"}

    def start(self) -> None:
        """Start the daemon again on the same data; waits until it answers."""
        # Left by a SIGKILL. The daemon's containerd died with it, but where process 1 reaps no
        # orphans its zombie passes for a living one.
        for left in ("pid", "exec/containerd/containerd.pid"):
            (self.root / left).unlink(missing_ok=True)
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self._process.pid
        _until(self._ready, READY_SECONDS, lambda: f"dockerd is not ready: {self.last_words()}")

    def kill(self) -> None:
        """SIGKILL to the daemon, as a crash: the containers' processes live on."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM to the daemon: it ends its containers first."""
        self._signal(signal.SIGTERM)

    def cli(
        self, *args: str, stdin: bytes = b"", check: bool = True, seconds: float = 60.0
    ) -> subprocess.CompletedProcess[bytes]:
        """``docker -H unix://... ARGS``. Raises ``CalledProcessError`` if ``check`` and it fails."""
        done = subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", *args],
            input=stdin,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"docker {args} ended with {done.returncode}: {done.stderr!r}")
        return done

    def out(self, *args: str) -> str:
        """What that command printed, without the newline."""
        return self.cli(*args).stdout.decode().strip()

    def clear(self) -> None:
        """Remove all containers and named volumes, for the next test."""
        if ids := self.out("ps", "-aq").split():
            self.cli("rm", "-f", *ids)
        if volumes := self.out("volume", "ls", "-q").split():
            self.cli("volume", "rm", "-f", *volumes)

    def last_words(self) -> str:
        """The end of the daemon's log."""
        with contextlib.suppress(OSError):
            return (self.root / "log").read_text(errors="replace")[-2000:]
        return ""

    def close(self) -> None:
        """End the daemon, whatever is left of its containers, its mounts and its bridge."""
        if self._process is not None:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.clear()  # the daemon would first wait 10 s for each container to end by itself
            self.stop()
        for pid in _family(str(self.root)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _until(lambda: not _family(str(self.root)), STOP_SECONDS, lambda: "containers do not end")
        for mount in reversed(_mounts_below(self.root)):
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False, timeout=10)
        if self.bridge:
            _ip("link", "del", self.bridge)
            _drop_cgroups(self.bridge)
        shutil.rmtree(self.root, ignore_errors=True)

    def _argv(self) -> list[str]:
        return [
            "dockerd",
            *("--data-root", str(self.root / "data")),
            *("--exec-root", str(self.root / "exec")),
            *("--pidfile", str(self.root / "pid")),
            *("--host", f"unix://{self.socket}"),
            *("--bridge", self.bridge),
            *("--containerd-namespace", self.bridge),
            *("--containerd-plugins-namespace", f"{self.bridge}-plugins"),
            *("--shutdown-timeout", "2"),
            *("--exec-opt", "native.cgroupdriver=cgroupfs"),
            *("--cgroup-parent", f"/{self.bridge}"),
            "--iptables=false",
            "--ip-forward=false",
        ]

    def _ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"dockerd ended: {self.last_words()}")
        return self.cli("version", check=False).returncode == 0

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        self._process, self.pid = None, 0


def _until(done: object, seconds: float, why: object) -> None:
    assert callable(done)
    assert callable(why)
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(why())
        time.sleep(0.1)


def _ip(*args: str) -> bool:
    done = subprocess.run(["ip", *args], capture_output=True, check=False, timeout=10)
    return done.returncode == 0


def _make_bridge() -> str:
    """A bridge with a free /24 of its own; two callers at once cannot get the same one."""
    for _ in range(50):
        name, net = f"wd{random.randrange(16**6):06x}", random.randrange(256)
        network = ipaddress.ip_network(f"10.213.{net}.0/24")
        routes = subprocess.run(["ip", "-4", "route"], capture_output=True, check=True, timeout=10)
        if f"10.213.{net}." in routes.stdout.decode():
            continue
        if _ip("link", "add", name, "type", "bridge"):
            _ip("addr", "add", f"{network[1]}/24", "dev", name)
            _ip("link", "set", name, "up")
            return name
    raise RuntimeError("cannot make a bridge: is this root, is `ip` installed?")


def _family(mark: str) -> list[int]:
    """Processes whose command line names our folder, and all that descend from them."""
    parents: dict[int, int] = {}
    ours: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                stat = (entry / "stat").read_text()
                state, parent = stat.rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
                    if mark in (entry / "cmdline").read_bytes().decode(errors="replace"):
                        ours.add(int(entry.name))
    ours.discard(os.getpid())
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sorted(ours)


def _drop_cgroups(name: str) -> None:
    """The groups that containers leave behind when the daemon is killed before them."""
    for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")):
        below = sorted((hierarchy / name).glob("**/"), reverse=True)
        for folder in below:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _mounts_below(root: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [mount for line in lines if (mount := line.split()[1]).startswith(f"{root}/")]
