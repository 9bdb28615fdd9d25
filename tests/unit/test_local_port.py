"""Whose is the local port: the check must see a stranger there, and must not take our agent for one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from watchdogd.adapters.instance import InstanceLock
from watchdogd.app.local_port import stranger_on, with_stranger
from watchdogd.app.results import exit_code, result_of
from watchdogd.control import ControlServer, control_path
from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Kind, Layer, Outcome, ProbeName, State, Vantage
from watchdogd.settings import Address


@pytest.fixture
def held() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Address("127.0.0.1", server.getsockname()[1])


@pytest.fixture(autouse=True)
def own_runtime_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_a_stranger_is_named_and_a_free_port_is_nobodys(
    held: Address, tmp_path: Path, free_port: int
) -> None:
    assert f"(pid {os.getpid()})" in stranger_on(held, tmp_path)
    assert stranger_on(Address("127.0.0.1", free_port), tmp_path) == ""


@pytest.mark.parametrize("bound", [True, False])
def test_the_agents_word_on_its_port_counts(held: Address, tmp_path: Path, bound: bool) -> None:
    forward = {"local": str(held), "bound": bound}
    path = control_path(str(tmp_path), os.environ)
    server = ControlServer(path, lambda _: {"targets": [{"forward": None}, {"forward": forward}]})
    try:
        assert (stranger_on(held, tmp_path) == "") is bound
    finally:
        server.close()


def test_an_agent_that_does_not_answer_is_known_by_its_lock(held: Address, tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "s")
    try:
        assert stranger_on(held, tmp_path / "s") == ""
    finally:
        lock.close()
    assert stranger_on(held, tmp_path / "s")


def seen(probe: ProbeName, layer: Layer) -> Observation:
    return Observation(
        probe=probe,
        layer=layer,
        vantage=Vantage.LAPTOP,
        outcome=Outcome.OK,
        started=1.0,
        ended=2.0,
    )


def test_a_target_whose_port_a_stranger_holds_is_down() -> None:
    ssh = seen(ProbeName.SSH, Layer.SSH)
    fine = (
        ssh,
        seen(ProbeName.FORWARD, Layer.FORWARD),
        seen(ProbeName.RUNTIME_TUNNEL, Layer.RUNTIME),
        seen(ProbeName.RUNTIME_SERVER, Layer.RUNTIME),
    )
    local = Address("127.0.0.1", 9000)
    assert result_of(fine, Kind.EXTERNAL).state is State.UP
    found = result_of(with_stranger(fine, local, "nc (pid 7)", "box"), Kind.EXTERNAL)
    assert (found.state, found.verdict.cause) == (State.DOWN, Cause.PORT_CONFLICT)
    assert found.verdict.detail == "127.0.0.1:9000 is held by nc (pid 7)"
    assert found.verdict.mend.startswith("end nc (pid 7), or set another port in targets.box.")
    assert exit_code({"box": found}) == 2
    # What fails below explains more.
    broken = (replace(ssh, outcome=Outcome.FAIL, cause=Cause.AUTH), *fine[1:])
    refused = result_of(with_stranger(broken, local, "nc (pid 7)", "box"), Kind.EXTERNAL)
    assert exit_code({"box": refused}) == 77
