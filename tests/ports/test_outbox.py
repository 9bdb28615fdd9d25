"""The outbox in the journal: what was decided survives a crash, whole, and once."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchdogd.adapters.journal import SqliteJournal
from watchdogd.adapters.outbox import JournalOutbox
from watchdogd.core.notices import Told
from watchdogd.core.words import Cause
from watchdogd.ports import Posted, Reached

TOLD = Told(incident="i", cause=Cause.DNS, since_wall=1.0, last_wall=2.0)


def line(seq: int, key: str = "") -> Posted:
    return Posted(seq=seq, key=key or f"k{seq}", wall=1.5, incident="i", news="opened", text="down")


def outbox(path: Path) -> JournalOutbox:
    return JournalOutbox(SqliteJournal(str(path / "journal.sqlite")))


def test_told_and_lines_come_back_in_another_process(tmp_path: Path) -> None:
    outbox(tmp_path).post({"a100": TOLD}, [line(5), line(6)], oldest=5)
    outbox(tmp_path).reach({"x": Reached(seq=5, missed=2)})
    left = outbox(tmp_path).left()
    assert left.told == {"a100": TOLD}
    assert left.lines == (line(5), line(6))
    assert left.reached == {"x": Reached(seq=5, missed=2)}


def test_a_key_is_kept_once(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.post({}, [line(5, "a")], oldest=1)
    box.post({}, [line(6, "a"), line(7, "b")], oldest=1)
    assert [(one.seq, one.key) for one in box.left().lines] == [(5, "a"), (7, "b")]


def test_old_lines_go_and_so_do_destinations(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.reach({"x": Reached(seq=1), "y": Reached(seq=1)})
    box.reach({"y": Reached(seq=2)})
    box.post({"a": TOLD}, [line(1), line(2), line(3)], oldest=3)
    box.post({"a": Told()}, [], oldest=3)
    left = box.left()
    assert left.lines == (line(3),)
    assert left.told == {"a": Told()}
    assert left.reached == {"y": Reached(seq=2)}


def test_a_row_that_cannot_be_read_is_an_error_of_the_system(tmp_path: Path) -> None:
    journal = SqliteJournal(str(tmp_path / "journal.sqlite"))
    journal.transaction(lambda c: c.execute("INSERT INTO told VALUES ('a', '{\"x\": 1}')").rowcount)
    with pytest.raises(OSError, match="outbox cannot be read"):
        JournalOutbox(journal).left()
    journal.close()
