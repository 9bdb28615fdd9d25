"""Each fault on real parts, without an agent: it is there when made, gone when undone."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import needs
from tests.lab.guards import MARK
from watchdogd.adapters.clock import SystemClock
from watchdogd.demo import runtime
from watchdogd.demo.faults import FAULTS, Fault, FaultName, Lab
from watchdogd.demo.sight import alive, free_port, until
from watchdogd.demo.ssh_server import SshServer

pytestmark = pytest.mark.real
CLOCK = SystemClock()
ON_THE_LINK = (FaultName.LINK_KILLED, FaultName.LINK_FROZEN, FaultName.SERVER_GONE_AND_BACK)
IN_TMUX = tuple(fault.name for fault in FAULTS.values() if fault.needs_tmux)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a unix socket's path has about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="wd-") as made:
        yield Path(made)


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    marked = {name: os.environ[name] for name in ("PATH", MARK)}
    return {**marked, "HOME": str(folder), "SHELL": "/bin/sh", "TMUX_TMPDIR": str(folder)}


@pytest.fixture(params=[True, False], ids=["jupyter", "stand-in"])
def lab(request: pytest.FixtureRequest, folder: Path, environment: dict[str, str]) -> Iterator[Lab]:
    """Server and runtime up; the runtime is the real Jupyter, and the stand-in."""
    needs.programs("tmux")
    program = runtime.program(folder, free_port(), secrets.token_hex(24), real=bool(request.param))
    tmux = runtime.TmuxRuntime(program, environment, CLOCK)
    server = SshServer(folder, environment, CLOCK)
    try:
        server.start()
        tmux.start()
        assert until(CLOCK, runtime.START_SECONDS, program.answers)
        yield Lab(server=server, program=program, tmux=tmux, local_port=free_port())
    finally:
        tmux.close()
        server.close()


def becomes_present(fault: Fault, lab: Lab) -> bool:
    return until(CLOCK, 10, lambda: fault.present(lab))


@pytest.mark.parametrize("name", IN_TMUX)
def test_a_fault_of_the_runtime_is_there_when_made(lab: Lab, name: FaultName) -> None:
    fault, before = FAULTS[name], lab.program.process()
    assert before is not None
    assert not fault.present(lab)
    fault.inject(lab)
    assert becomes_present(fault, lab)
    assert alive(before) is (name is FaultName.RUNTIME_HUNG)
    fault.undo(lab)
    assert lab.program.answers(5) is (name is FaultName.RUNTIME_HUNG)


def test_nothing_is_left_of_a_hung_runtime(lab: Lab) -> None:
    before = lab.program.process()
    assert before is not None
    FAULTS[FaultName.RUNTIME_HUNG].inject(lab)
    assert lab.tmux is not None
    lab.tmux.close()
    assert not alive(before)


@pytest.fixture
def linked(folder: Path, environment: dict[str, str]) -> Iterator[Lab]:
    """A server with one client, and no runtime."""
    paramiko = pytest.importorskip("paramiko")
    server = SshServer(folder, environment, CLOCK)
    client = paramiko.SSHClient()
    program = runtime.program(folder, free_port(), "0" * 48, real=False)
    try:
        server.start()
        client.load_host_keys(str(server.known_hosts))
        client.connect(
            "127.0.0.1", server.port, server.user, key_filename=str(server.identity_file)
        )
        yield Lab(server=server, program=program, tmux=None, local_port=free_port())
    finally:
        client.close()
        server.close()


@pytest.mark.parametrize("name", [*ON_THE_LINK, FaultName.PORT_TAKEN_AT_START])
def test_a_fault_of_the_link_is_there_when_made(linked: Lab, name: FaultName) -> None:
    fault = FAULTS[name]
    assert not fault.present(linked)
    fault.inject(linked)
    assert becomes_present(fault, linked)
    fault.undo(linked)
    if name is not FaultName.LINK_KILLED:
        assert until(CLOCK, 10, lambda: not fault.present(linked))


def test_without_a_client_there_is_no_link_to_kill(linked: Lab) -> None:
    linked.server.stop()
    linked.server.start()
    for name in (FaultName.LINK_KILLED, FaultName.LINK_FROZEN):
        FAULTS[name].inject(linked)
        assert not FAULTS[name].present(linked), "a fault that did not take is not called one"
