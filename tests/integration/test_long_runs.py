"""Long runs of the simulated agent with the real sinks: what they leave on the disk, and in the process."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bench.soak_rounds import GROWTH_KIB, Soaked
from bench.sunk import TARGET, Footprint, Sunk, bytes_below, logging_to
from tests.worlds.simulated import HOUR, ROOT, played
from watchdogd.adapters.event_files import raw_lines
from watchdogd.sim.faults import Fault, Kind

pytestmark = pytest.mark.real

HOURS = 4
MONTH = 30 * 24 / HOURS
"""So many times this run."""
FILE_BYTES, TOTAL_BYTES = 256 << 10, 512 << 10
"""A thirty-second and a hundred-and-twenty-eighth of the real ones."""
LOG_BYTES_A_MONTH = 16 << 20
JOURNAL_BYTES = 8 << 20
"""The database, and the write-ahead log that SQLite keeps beside it (about 4 MB)."""
FLAPS_SECONDS = 20.0
SOAK_SECONDS = 100.0
"""At most; it takes 15 s on two cores of a small machine."""


def flapping(hours: float) -> Iterator[Fault]:
    """All of it, all the time: the line is cut every 20 s, Wi-Fi and runtime come and go, the container ends."""
    yield Fault(60.0, Kind.FLAP, hours * HOUR)
    for number in range(int(hours * 6)):
        at = 600.0 * (number + 1)
        yield Fault(at, Kind.HUNG_FOR_A_WHILE, 40.0)
        yield Fault(at + 200, Kind.ROAM, 30.0)
        if number % 5 == 0:
            yield Fault(at + 300, Kind.CRASH, 0.0)


def test_a_month_of_flapping_is_bounded_rotated_and_rate_limited(tmp_path: Path) -> None:
    """A hundred-and-eightieth of it, and what that comes to."""
    state, log = tmp_path / "state", tmp_path / "log"
    with log.open("w") as out, logging_to(out):
        agent = Sunk(state, file_bytes=FILE_BYTES, total_bytes=TOTAL_BYTES)
        try:
            played(agent, *flapping(HOURS), hours=HOURS)
        finally:
            agent.close()
    assert agent.rounds_played > HOURS * HOUR / 10  # it was looked at all the while
    events = list((state / "events").iterdir())
    assert agent.recorder.lost() == 0
    assert sum(path.suffix == ".gz" for path in events) >= 2
    assert bytes_below(state / "events") <= TOTAL_BYTES + FILE_BYTES / 10
    full = (path for path in events if path.suffix == ".gz")  # the other may just have been begun
    assert all(len(list(raw_lines(str(path)))) > 10 for path in full)
    assert log.stat().st_size * MONTH < LOG_BYTES_A_MONTH
    assert bytes_below(state) - bytes_below(state / "events") < JOURNAL_BYTES
    assert_rate_limited(log)
    assert_budgets_kept(state / "journal.sqlite")


def assert_rate_limited(log: Path) -> None:
    """The same news at most once an hour, with a count of those that were held back."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = Counter(line["event"] for line in lines)
    assert 1 <= told["SSH link is lost"] <= HOURS + 1
    held = sum(line.get("repeated", 0) for line in lines if line["event"] == "SSH link is lost")
    assert held > (HOURS - 1) * HOUR / FLAPS_SECONDS / 2


def assert_budgets_kept(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as plain:
        (starts,) = plain.execute(
            "SELECT count(*) FROM intents WHERE target = ?", (TARGET,)
        ).fetchone()
    assert 1 <= starts <= 10


def test_20_000_rounds_of_random_faults_leave_the_process_as_it_was() -> None:
    """In a process of its own: what other tests left in the heap and in threads is not counted."""
    argv = [sys.executable, "-m", "bench.soak_rounds", "--rounds", "20000"]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=SOAK_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "flat" in done.stdout


@pytest.mark.parametrize(
    ("field", "change", "told"),
    [
        ("after", {"resident_kib": 50_000 + GROWTH_KIB}, ()),
        ("after", {"resident_kib": 50_001 + GROWTH_KIB}, (f"{GROWTH_KIB + 1} KiB resident",)),
        ("after", {"descriptors": 8}, ("1 descriptors (alive)",)),
        ("closed", {"threads": 6}, ("2 threads (closed)",)),
        ("closed", {"children": 1}, ("1 children (closed)",)),
    ],
)
def test_what_grew_is_named(field: str, change: dict[str, int], told: tuple[str, ...]) -> None:
    same = Footprint(resident_kib=50_000, descriptors=7, threads=4, children=0)
    found = Soaked(rounds=1, before=same, after=same, idle=same, closed=same)
    assert replace(found, **{field: replace(same, **change)}).grown() == told  # type: ignore[arg-type]
