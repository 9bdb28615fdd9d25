"""Guards around every test, the session's real servers, and a summary that names what was left out.

Warnings are errors (``pyproject.toml``). With ``CI=true`` a skip is a failure.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from tests.lab import needs
from tests.lab.guards import LoopbackOnly, Traces, mark_this_run

if TYPE_CHECKING:
    from tests.lab.docker import Dockerd
    from tests.lab.sshd import Sshd

CI = os.environ.get("CI", "").lower() in ("1", "true")
mark_this_run()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So does a shell with what it starts in the background, and all that is started from there inherits it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# ---------------------------------------------------------------- guards


@pytest.fixture(scope="session")
def loopback_only() -> Iterator[LoopbackOnly]:
    """In force all the time; ask for it to allow a network of your own: ``loopback_only.network(NET)``."""
    guard = LoopbackOnly()
    with pytest.MonkeyPatch.context() as patch:
        guard.install(patch)
        yield guard


@pytest.fixture(autouse=True)
def leaves_nothing(loopback_only: LoopbackOnly) -> Iterator[None]:
    """Fails a test that leaves a thread, descriptor or process, or that reached for another machine.

    What the session's and the module's servers hold was there before, and may stay.
    """
    before = Traces.now()
    yield
    left = before.left_over()
    outside = loopback_only.noted()
    assert not left, "left behind: " + "; ".join(left)
    assert not outside, "reached for: " + ", ".join(outside)


# ---------------------------------------------------------------- parts of the lab


@pytest.fixture
def free_port() -> int:
    """A loopback TCP port that nobody listens on."""
    return needs.free_port()


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """One OpenSSH server for the session. A test that breaks its server starts its own ``Sshd``."""
    needs.programs("sshd", "ssh-keygen")
    from tests.lab.sshd import Sshd

    with Sshd() as server:
        yield server


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """One container engine for the session; a test clears what it made with ``dockerd.clear()``."""
    needs.programs("dockerd", "docker", "ip")
    needs.root("a container engine of one's own")
    from tests.lab.docker import Dockerd

    with Dockerd() as engine:
        yield engine


# ---------------------------------------------------------------- skips


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing may be left out."""
    report = yield
    return _strict(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself is left out, too."""
    report = yield
    return _strict(report)


def _strict(report: Report) -> Report:
    if CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {_why(report)}"
    return report


def _why(report: Any) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last word: each test that did not run, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("left out")
        for report in skipped:
            terminalreporter.write_line(f"{report.nodeid}: {_why(report)}")
