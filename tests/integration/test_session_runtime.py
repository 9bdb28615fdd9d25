"""A real Jupyter as a command in a real tmux, started, looked at and restarted; only SSH is left out."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import FakeLinks, an_intent, reach_with, target
from tests.lab import needs
from tests.lab.local_link import LocalLink, until
from watchdogd.adapters.child_ledger import identity_of
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.guard import ServerGuard
from watchdogd.adapters.http import get
from watchdogd.adapters.server_http import ServerHttp
from watchdogd.adapters.tmux import Tmux
from watchdogd.adapters.tokens import TokenFile
from watchdogd.core.sight import Generation, HostSight
from watchdogd.core.words import Cause, Kind, Outcome, Refusal, Remedy, Result
from watchdogd.ports import Deadline, LinkFacts, Reach, Reading
from watchdogd.probes.host import host
from watchdogd.probes.runtime import runtime_server, runtime_tunnel
from watchdogd.probes.session import session
from watchdogd.remedies.session import restart_session, start_session
from watchdogd.settings import Address, ForwardSettings

pytestmark = pytest.mark.real

CLOCK = SystemClock()
NAME = "colab_session"


class SpeakingLink(LocalLink):
    """A local link never falls silent."""

    def facts(self) -> LinkFacts:
        return LinkFacts(connected_at=0.0, last_received_at=CLOCK.run(), round_trip=None)


@pytest.fixture
def reach(tmp_path: Path, free_port: int) -> Iterator[Reach]:
    needs.programs("tmux")
    pytest.importorskip("jupyter_server", reason="not installed: jupyter-server")
    home, sockets = tmp_path / "home", tmp_path / "tm"
    for folder in (home, sockets):
        folder.mkdir()
    link = SpeakingLink({"HOME": str(home), "TMUX_TMPDIR": str(sockets), "SHELL": "/bin/sh"})
    link.env.pop("TMUX", None)
    address = Address("127.0.0.1", free_port)
    flags = [f"--port={free_port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={home}"]
    argv = [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", *flags]
    made = target(Kind.SESSION, command=shlex.join(argv))
    forward = ForwardSettings(local=address, remote=address)
    sessions = Tmux(lambda: link, CLOCK)
    yield replace(
        reach_with(FakeClock(), kind=Kind.SESSION, links=FakeLinks(link=link)),
        target=replace(made, forward=forward),
        clock=CLOCK,
        http=get,
        ask_on_server=ServerHttp(lambda: link, CLOCK),
        sessions=sessions,
        guard=ServerGuard(lambda: link, CLOCK, sessions),
        tokens=TokenFile(str(tmp_path / "state" / "token"), None),
    )
    if sessions.look(NAME, soon()).exists:
        sessions.kill(NAME, soon())
    until(lambda: not any(str(home) in line for line in commands().values()), 20)


def soon(seconds: float = 60.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


def commands() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found[int(entry.name)] = (entry / "cmdline").read_text(errors="replace")
        except OSError:
            continue
    return found


def pids_of(flag: str) -> list[int]:
    """The Jupyter server with this flag, and not the shell that started it."""
    return [pid for pid, line in commands().items() if flag in line.split("\0")]


def outcomes(reach: Reach) -> dict[str, tuple[Outcome, Cause | None]]:
    readings: list[Reading] = []
    for probe in (runtime_tunnel, session, host, runtime_server):
        readings.append(probe(reach, soon(10), readings))
    seen = [one for reading in readings for one in reading.observations]
    return {one.probe.value: (one.outcome, one.cause) for one in seen}


def processes(reach: Reach) -> HostSight | None:
    """What a decision to restart rests on."""
    return host(reach, soon(10), [session(reach, soon(10), ())]).host


def worker(reach: Reach) -> int:
    """Something is begun in the session: a child of the shell that Jupyter was started in."""
    assert isinstance(reach.sessions, Tmux)
    link = reach.links.current()
    argv = ["tmux", "split-window", "-d", "-t", f"={NAME}:", "-P", "-F", "#{pane_pid}", "sleep 300"]
    done = link.run(argv, deadline=soon(10))
    assert done.status == 0, done
    return int(done.stdout)


def test_started_looked_at_frozen_and_restarted(reach: Reach) -> None:
    start = an_intent(Remedy.START_SESSION, Cause.SESSION_MISSING)
    assert outcomes(reach)["session"] == (Outcome.FAIL, Cause.SESSION_MISSING)
    begun = start_session(reach, start, soon(60))
    assert begun.result is Result.DONE, begun
    assert set(outcomes(reach).values()) == {(Outcome.OK, None)}
    assert start_session(reach, start, soon(60)).result is Result.NOTHING

    assert reach.sessions is not None
    generation = reach.sessions.look(NAME, soon()).generation
    token = reach.tokens.current()
    assert token is not None
    assert generation is not None
    judged = Generation(container=generation)
    restart = an_intent(Remedy.RESTART_SESSION, Cause.RUNTIME_HUNG, judged)
    assert restart_session(reach, restart, soon(60)).result is Result.NOTHING
    assert not any(token.reveal() in line for line in commands().values())

    for pid in pids_of(f"--port={reach.target.forward.local.port}"):
        os.kill(pid, signal.SIGSTOP)
    short = replace(
        reach, target=replace(reach.target, probe=replace(reach.target.probe, timeout=1))
    )
    hung = outcomes(short)
    assert hung["runtime_tunnel"] == hung["runtime_server"] == (Outcome.FAIL, Cause.RUNTIME_HUNG)
    assert hung["host"] == hung["session"] == (Outcome.OK, None)

    working = replace(restart, key="k2", seen=processes(reach))
    child = worker(reach)
    try:
        ended = restart_session(reach, working, soon(60))
        assert (ended.result, ended.reason) == (Result.NOTHING, Refusal.VETO), ended
    finally:
        os.kill(child, signal.SIGKILL)
    until(lambda: identity_of(child) is None, 30)

    ended = restart_session(reach, replace(restart, key="k3", seen=processes(reach)), soon(60))
    assert ended.result is Result.DONE, ended
    assert reach.sessions.look(NAME, soon()).generation != generation
    assert reach.tokens.current() == token
    assert set(outcomes(reach).values()) == {(Outcome.OK, None)}
    assert restart_session(reach, restart, soon(60)).result is Result.NOTHING
