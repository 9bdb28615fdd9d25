"""The soak of the tunnel, for half a minute: every byte is right, every cut is told, and nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.soak_breaks import Break
from bench.soak_streams import End, Plan, Shape, Transfer
from bench.soak_tunnel import Soaked, surplus
from bench.sunk import Footprint
from tests.lab.engines import MAKERS
from tests.lab.needs import programs

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 0.4
SMALL = Footprint(resident_kib=1, descriptors=2, threads=3, children=4)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", list(MAKERS))
def test_half_a_minute_of_transfers_over_links_that_are_broken(
    engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a process of its own, as a person would run it."""
    programs("sshd", "ssh", "ssh-keygen")
    argv = [sys.executable, "-m", "bench.soak_tunnel", "--minutes", str(MINUTES)]
    environ = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    done = subprocess.run(
        [*argv, "--engine", engine],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "violations" in done.stdout
    with capsys.disabled():
        sys.stdout.write(f"\n{done.stdout}")


PLAN = Plan(Shape.ASK, False, 1, 10, 10)
KILLED = Break("server killed", True, began=10.0, ended=11.0)
HEALED = Break("frozen, healed", False, began=20.0, ended=21.0)


@pytest.mark.parametrize(
    ("end", "began", "ended", "violations"),
    [
        (End.EXACT, 9.0, 12.0, 0),
        (End.CUT, 9.0, 10.1, 0),
        (End.CUT, 10.9, 12.0, 0),
        (End.CUT, 5.0, 9.9, 1),
        (End.CUT, 11.5, 12.0, 1),
        (End.CUT, 19.0, 22.0, 1),
        (End.WRONG, 9.0, 10.1, 1),
        (End.HUNG, 9.0, 10.1, 1),
    ],
)
def test_only_a_broken_link_excuses_a_cut(
    end: End, began: float, ended: float, violations: int
) -> None:
    found = Soaked(engine="sshtunnel", idle=SMALL)
    found.judge([Transfer(PLAN, began, ended, end, 0)], [KILLED, HEALED])
    assert len(found.violations) == violations
    assert found.ends == {end: 1}


@pytest.mark.parametrize("unit", ["descriptors", "threads", "children"])
def test_one_more_of_anything_is_a_violation(unit: str) -> None:
    assert surplus(SMALL, replace(SMALL, **{unit: 10})) == {unit: 10 - getattr(SMALL, unit)}
    assert surplus(SMALL, replace(SMALL, **{unit: 0})) == {}
