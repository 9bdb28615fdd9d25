"""``kind = "session"``: a real Jupyter that is a command in a real tmux, with nothing of Docker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.lab import Bench, stopped
from tests.e2e.server import SESSION
from tests.lab import needs
from watchdogd.demo.runtime import Program, program
from watchdogd.demo.sight import Process

pytestmark = pytest.mark.real


def other(bench: Bench, made: Program, before: Process | None, within: float) -> Process:
    """The next process of the runtime, once all is well again."""

    def found() -> Process | None:
        now = made.process()
        return now if now is not None and not now.same_as(before) else None

    process = bench.agent.until(found, "another runtime", within)
    bench.calm()
    return process


@pytest.mark.timeout(180)
def test_a_runtime_in_tmux(tmp_path: Path) -> None:
    """Not there: started. Killed: started. Hung: ended and started, once it is sure."""
    needs.programs("sshd", "ssh-keygen", "tmux")
    pytest.importorskip("jupyter_server", reason="not installed: jupyter-server")
    made = program(tmp_path, port := needs.free_port(), "unused", real=True)
    settings = {
        "runtime.kind": "session",
        "runtime.session.command": made.shell_command(),
        "probe.timeout": "1s",
    }
    with Bench(None, "", settings=settings, port=port) as bench:
        begin = bench.start()
        first = made.process()
        assert first is not None
        assert bench.actions(begin) == ["start_session"]
        assert bench.incidents(begin) == ["session_missing"]
        assert bench.server.sessions() == [SESSION]
        url = bench.agent.url()
        assert bench.opens(url)

        begin = bench.mark()
        os.kill(first.pid, signal.SIGKILL)
        second = other(bench, made, first, 60)
        assert bench.actions(begin) == ["start_session"]
        assert bench.incidents(begin) == ["session_missing"]
        assert bench.server.sessions() == [SESSION]
        assert bench.opens(url)

        begin, frozen = bench.mark(), bench.clock.run()
        with stopped(second.pid):
            bench.wait_cause("runtime_hung", 40)
            third = other(bench, made, second, 90)
        assert bench.clock.run() - frozen > 8, "hung_after"
        assert bench.actions(begin) == ["restart_session"]
        assert bench.incidents(begin) == ["runtime_hung"]
        assert bench.server.sessions() == [SESSION]
        assert bench.agent.url() == url
        assert bench.opens(url)

        begin = bench.mark()
        bench.server.sshd.kill_sessions()
        bench.agent.until(lambda: bench.logins(begin) == 1, "a new login", 20)
        bench.calm()
        assert third.same_as(made.process())
        assert bench.actions(begin) == []
