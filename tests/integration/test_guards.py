"""The guards of conftest.py do see what they are for."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guards import LoopbackOnly, Traces, WentOutside

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 0.0
NEEDS_PROC = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here")


@contextlib.contextmanager
def orphan() -> Iterator[int]:
    """A process that left its parent, as a daemon does."""
    code = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.wait(10)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)


def test_nothing_is_found_where_nothing_was_left() -> None:
    before = Traces.now()
    with socket.socket():
        pass
    assert before.left_over(AT_ONCE) == ()


def test_a_thread_is_found_by_name_daemon_or_not() -> None:
    before, stop = Traces.now(), threading.Event()
    thread = threading.Thread(target=stop.wait, name="forgotten", daemon=True)
    thread.start()
    assert before.left_over(AT_ONCE) == ("thread 'forgotten' (daemon: True)",)
    stop.set()
    thread.join(5)
    assert before.left_over() == ()


@NEEDS_PROC
def test_a_descriptor_is_found() -> None:
    before = Traces.now()
    with socket.socket() as held:
        (found,) = before.left_over(AT_ONCE)
        assert found.startswith(f"descriptor {held.fileno()} -> socket:")


@NEEDS_PROC
def test_a_process_is_found_though_it_left_its_parent() -> None:
    before = Traces.now()
    with orphan() as pid:
        (found,) = before.left_over(AT_ONCE)
        assert f"process {pid} " in found
    assert before.left_over() == ()


@NEEDS_PROC
def test_what_ends_within_the_grace_was_not_left() -> None:
    before = Traces.now()
    thread = threading.Timer(0.2, lambda: None)
    thread.start()
    assert before.left_over(AT_ONCE)
    assert before.left_over() == ()


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_a_connection_to_another_machine_is_refused_and_noted(
    loopback_only: LoopbackOnly, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as sock, pytest.raises(WentOutside):
        sock.connect((address, 80))
    assert loopback_only.noted() == (address,)


def test_a_name_is_not_looked_up_outside(loopback_only: LoopbackOnly) -> None:
    with pytest.raises(WentOutside):
        socket.create_connection(("example.org", 80), timeout=5)
    assert loopback_only.noted() == ("example.org",)


def test_loopback_and_a_network_of_ones_own_are_allowed(loopback_only: LoopbackOnly) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
    with loopback_only.network("192.0.2.0/24"):
        assert socket.getaddrinfo("192.0.2.1", 9)
    assert loopback_only.noted() == ()
    with pytest.raises(WentOutside):
        socket.getaddrinfo("192.0.2.1", 9)
    assert loopback_only.noted() == ("192.0.2.1",)


def run_a_skipping_test(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    """pytest with these guards on one test that is skipped."""
    (folder / "test_it.py").write_text(
        "import pytest\n\ndef test_it():\n    pytest.skip('no such part')\n"
    )
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.conftest",
            "-p",
            "no:cacheprovider",
            str(folder),
        ],
        cwd=ROOT,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_skip_is_named_with_its_reason_at_the_end(tmp_path: Path) -> None:
    done = run_a_skipping_test(tmp_path, ci="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_it.py::test_it: no such part" in done.stdout.partition("left out")[2]


def test_a_skip_is_a_failure_in_ci(tmp_path: Path) -> None:
    done = run_a_skipping_test(tmp_path, ci="true")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "no such part" in done.stdout
