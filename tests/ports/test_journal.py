"""``ports.Journal`` on its SQLite file: what it keeps, and that it says so when it cannot."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from watchdogd.adapters.journal import SqliteJournal
from watchdogd.core.model import (
    Charge,
    Env,
    Incident,
    Intent,
    Memory,
    Pause,
)
from watchdogd.core.resume import Hook, Resume, Trial
from watchdogd.core.shadow import Score, Shadow, WouldHave
from watchdogd.core.sight import Generation
from watchdogd.core.words import Cause, Refusal, Remedy, Result
from watchdogd.eventlog.codec import encode
from watchdogd.ports import Journal

pytestmark = pytest.mark.real

HOUR = 3600.0
NOW = Env(run=10.0, boot=90_000.0, wall=1_800_000_000.0, boot_id="boot-1", chance=0.5)


def charge(key: str, *, ago: float = 0.0, boot_id: str = "boot-1") -> Charge:
    return Charge(
        remedy=Remedy.RESTART_CONTAINER,
        key=key,
        wall=NOW.wall - ago,
        boot=NOW.boot - ago,
        boot_id=boot_id,
    )


def intent(key: str) -> Intent:
    return Intent(
        key=key,
        remedy=Remedy.RESTART_CONTAINER,
        incident="i-1",
        cause=Cause.RUNTIME_HUNG,
        generation=Generation(container="c1"),
        decided=1.0,
        deadline_seconds=180.0,
        charged=True,
    )


def keep(journal: Journal, *charges: Charge, target: str = "a100") -> None:
    for one in charges:
        journal.intend(target, intent(one.key), one)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "journal.sqlite3")


@pytest.fixture
def open_journal(path: str) -> Iterator[Callable[[], SqliteJournal]]:
    """Opens the file afresh, as the agent's next start does."""
    opened: list[SqliteJournal] = []

    def again() -> SqliteJournal:
        for old in opened:
            old.close()
        opened.append(SqliteJournal(path))
        return opened[-1]

    yield again
    for journal in opened:
        journal.close()


Open = Callable[[], SqliteJournal]


class TestJournal:
    def test_a_new_journal_holds_nothing(self, open_journal: Open) -> None:
        assert open_journal().load("a100", NOW).charges == ()

    def test_a_charge_survives_a_restart_with_and_without_a_result(
        self, open_journal: Open
    ) -> None:
        first, second = charge("k1"), charge("k2")
        journal = open_journal()
        keep(journal, first, second)
        journal.finish("a100", "k1", Result.DONE)
        assert open_journal().load("a100", NOW).charges == (first, second)

    @pytest.mark.parametrize("result", [Result.DONE, Result.FAILED, Result.UNKNOWN])
    def test_no_result_refunds_a_charge(self, open_journal: Open, result: Result) -> None:
        journal = open_journal()
        keep(journal, charge("k1"))
        journal.finish("a100", "k1", result)
        assert journal.load("a100", NOW).charges == (charge("k1"),)

    def test_a_remedy_that_did_nothing_is_not_charged(self, open_journal: Open) -> None:
        journal = open_journal()
        keep(journal, charge("k1"))
        journal.finish("a100", "k1", Result.NOTHING)
        assert journal.load("a100", NOW).charges == ()

    def test_each_target_has_its_own(self, open_journal: Open) -> None:
        journal = open_journal()
        keep(journal, charge("k1"), target="a100")
        journal.finish("h100", "k1", Result.NOTHING)
        assert journal.load("h100", NOW).charges == ()
        assert journal.load("a100", NOW).charges == (charge("k1"),)

    def test_a_key_is_taken_once(self, open_journal: Open) -> None:
        journal = open_journal()
        keep(journal, charge("k1"))
        with pytest.raises(FileExistsError):
            keep(journal, charge("k1"))
        keep(journal, charge("k2"))
        assert [one.key for one in journal.load("a100", NOW).charges] == ["k1", "k2"]

    @pytest.mark.parametrize(
        ("found", "kept"),
        [
            (charge("k", ago=23.9 * HOUR), True),
            (charge("k", ago=24.1 * HOUR), False),
            (charge("k", ago=-5 * HOUR), True),
            (charge("k", ago=23.9 * HOUR, boot_id="boot-0"), True),
            (charge("k", ago=24.1 * HOUR, boot_id="boot-0"), False),
            (charge("k", ago=-99 * HOUR, boot_id="boot-0"), True),
        ],
        ids=["fresh", "old", "ahead", "fresh-reboot", "old-reboot", "ahead-reboot"],
    )
    def test_a_charge_leaves_by_age_alone(
        self, open_journal: Open, found: Charge, kept: bool
    ) -> None:
        journal = open_journal()
        keep(journal, found)
        assert bool(journal.load("a100", NOW).charges) is kept

    def test_within_one_boot_the_wall_clock_ages_nothing(self, open_journal: Open) -> None:
        set_ahead = Env(run=11, boot=NOW.boot + 60, wall=NOW.wall + 1e8, boot_id="boot-1", chance=0)
        journal = open_journal()
        keep(journal, charge("k1"))
        assert journal.load("a100", set_ahead).charges == (charge("k1"),)

    def test_any_thread_may_write(self, open_journal: Open) -> None:
        journal = open_journal()
        journal.load("a100", NOW)
        failures: list[Exception] = []

        def write(name: str) -> None:
            try:
                keep(journal, *(charge(f"{name}-{number}") for number in range(5)))
            except (OSError, sqlite3.Error) as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert failures == []
        assert len(journal.load("a100", NOW).charges) == 20

    def test_an_intent_outlives_a_killed_process(self, open_journal: Open, path: str) -> None:
        script = (
            "import os, signal, sys\n"
            "from tests.ports.test_journal import charge, keep\n"
            "from watchdogd.adapters.journal import SqliteJournal\n"
            "keep(SqliteJournal(sys.argv[1]), charge('k1'))\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, path], timeout=60, check=False)
        assert done.returncode == -9
        assert open_journal().load("a100", NOW).charges == (charge("k1"),)

    def test_nobody_else_can_read_it(self, open_journal: Open, path: str) -> None:
        journal = open_journal()
        keep(journal, charge("k1"))
        modes = {
            stat.S_IMODE(os.stat(os.path.join(os.path.dirname(path), name)).st_mode)
            for name in os.listdir(os.path.dirname(path))
        }
        assert modes == {0o600}
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


WHOLE = Memory(
    incident=Incident(
        id="i",
        cause=Cause.RUNTIME_HUNG,
        opened_wall=NOW.wall,
        first_failure_boot=NOW.boot - 100.0,
        remedies=(Remedy.RECONNECT,),
        usable_again_boot=NOW.boot - 10.0,
    ),
    armed=Generation(boot_id="s", container="c", started="t"),
    ended_by_person=("c", "t"),
    failed_starts=2,
    restarts_unverified=1,
    ooms=(("t", NOW.boot - 50.0),),
    pause=Pause(since_wall=NOW.wall, actor="me", reason="why"),
    resume=Resume(
        lost=Generation(container="c", started="t"),
        repair="i:0:start_container",
        incident="i",
        ran=Generation(container="c", started="s"),
        trial=Trial.MOVED,
        step=1050.0,
        failures=1,
    ),
    shadow=Shadow(
        recent=(
            WouldHave(
                remedy=Remedy.RESTART_CONTAINER,
                cause=Cause.RUNTIME_HUNG,
                reason=Refusal.OBSERVE,
                incident="i",
                generation=Generation(boot_id="s", container="c", started="t"),
                wall=NOW.wall,
                boot=NOW.boot,
                boot_id=NOW.boot_id,
            ),
        ),
        scores=(Score(remedy=Remedy.RESTART_CONTAINER, right=3, false_alarms=6),),
    ),
)


class TestMemory:
    def test_the_newest_is_what_is_remembered(self, open_journal: Open) -> None:
        journal = open_journal()
        assert journal.load("a100", NOW).memory == Memory()
        journal.remember("a100", Memory(failed_starts=1), NOW)
        journal.remember("a100", WHOLE, NOW)
        journal.remember("h100", Memory(), NOW)
        assert open_journal().load("a100", NOW).memory == WHOLE

    def test_its_times_are_moved_to_the_present_boot(self, open_journal: Open) -> None:
        open_journal().remember("a100", WHOLE, NOW)
        later = Env(run=5.0, boot=50.0, wall=NOW.wall + 1000.0, boot_id="boot-2", chance=0.5)
        memory = open_journal().load("a100", later).memory
        assert memory.incident is not None
        assert memory.incident.first_failure_boot == 50.0 - 1100.0
        assert memory.incident.usable_again_boot == 50.0 - 1010.0
        assert memory.ooms == (("t", 50.0 - 1050.0),)

    def test_a_clock_that_was_set_moves_nothing_within_one_boot(self, open_journal: Open) -> None:
        open_journal().remember("a100", WHOLE, NOW)
        later = replace(NOW, wall=NOW.wall + 600.0)
        assert open_journal().load("a100", later).memory == WHOLE

    def test_one_that_cannot_be_read_is_said(self, open_journal: Open, path: str) -> None:
        journal = open_journal()
        journal.remember("a100", WHOLE, NOW)
        journal.close()
        for data in ("garbage", "[]", '{"pause": 7}', '{"unknown": 1}'):
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("UPDATE memories SET data = ?", (data,))
            connection.close()
            with pytest.raises(OSError, match="remembered"):
                open_journal().load("a100", NOW)

    def test_what_is_open_is_told_once(self, open_journal: Open) -> None:
        journal = open_journal()
        keep(journal, charge("k1"), charge("k2"))
        journal.finish("a100", "k1", Result.DONE)
        kept = open_journal().load("a100", NOW)
        assert kept.open == (Remedy.RESTART_CONTAINER,)
        assert [one.key for one in kept.charges] == ["k1", "k2"]
        again = open_journal().load("a100", NOW)
        assert (again.open, len(again.charges)) == ((), 2)

    def test_a_journal_of_a_former_version_is_taken_up(self, open_journal: Open, path: str) -> None:
        journal = open_journal()
        keep(journal, charge("k1"))
        journal.close()
        connection = sqlite3.connect(path, isolation_level=None)
        connection.executescript("DROP TABLE memories; PRAGMA user_version = 1")
        connection.close()
        journal = open_journal()
        assert journal.load("a100", NOW).charges == (charge("k1"),)
        journal.remember("a100", WHOLE, NOW)
        assert open_journal().load("a100", NOW).memory == WHOLE


HOOK = Hook(
    key="i1:resume:c:t",
    incident="i1",
    repair="i1:0:start_container",
    generation=Generation(boot_id="s", container="c", started="t"),
    attempt=1,
    back=0,
    step=None,
    decided=1.0,
    deadline_seconds=60.0,
)
RUN = Generation(container="c", started="t")


class TestHook:
    def test_the_last_one_that_was_begun_is_told_until_another_is(self, open_journal: Open) -> None:
        journal = open_journal()
        assert journal.load("a100", NOW).hook is None
        journal.intend_hook("a100", HOOK, NOW)
        for _ in range(2):
            assert open_journal().load("a100", NOW).hook == RUN
        other = replace(HOOK, key="k2", generation=replace(HOOK.generation, started="u"))
        journal = open_journal()
        journal.finish_hook("a100", HOOK.key, Result.UNKNOWN)
        journal.intend_hook("a100", other, NOW)
        journal.finish_hook("a100", other.key, Result.DONE)
        assert open_journal().load("a100", NOW).hook == replace(RUN, started="u")
        assert journal.load("h100", NOW).hook is None

    @pytest.mark.parametrize("result", [None, Result.DONE, Result.FAILED, Result.UNKNOWN])
    def test_one_generation_has_one(self, open_journal: Open, result: Result | None) -> None:
        journal = open_journal()
        journal.intend_hook("a100", HOOK, NOW)
        if result is not None:
            journal.finish_hook("a100", HOOK.key, result)
        unread = replace(HOOK, key="k2", generation=RUN)  # the server's boot was not read this time
        with pytest.raises(FileExistsError):
            open_journal().intend_hook("a100", unread, NOW)
        journal.intend_hook("h100", HOOK, NOW)

    def test_one_that_was_not_begun_after_all_may_be(self, open_journal: Open) -> None:
        journal = open_journal()
        journal.intend_hook("a100", HOOK, NOW)
        journal.finish_hook("a100", HOOK.key, Result.NOTHING)
        assert open_journal().load("a100", NOW).hook is None
        open_journal().intend_hook("a100", HOOK, NOW)

    def test_a_journal_from_before_hooks_is_taken_up(self, open_journal: Open, path: str) -> None:
        journal = open_journal()
        keep(journal, charge("k1"))
        journal.close()
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("DROP TABLE hooks")
        connection.close()
        assert open_journal().load("a100", NOW).hook is None
        open_journal().intend_hook("a100", HOOK, NOW)

    def test_a_row_that_cannot_be_read_is_said(self, open_journal: Open, path: str) -> None:
        journal = open_journal()
        journal.intend_hook("a100", HOOK, NOW)
        journal.close()
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("UPDATE hooks SET run = '[]'")
        connection.close()
        with pytest.raises(OSError, match="journal"):
            open_journal().load("a100", NOW)

    def test_who_resumes_nothing_is_remembered_as_before(self) -> None:
        assert "resume" not in encode(Memory, Memory())


class TestWhenItCannotKeepItsWord:
    @pytest.mark.parametrize("content", [b"this is no database at all" * 99, b"SQLite format 3\0x"])
    def test_a_corrupt_file(self, open_journal: Open, path: str, content: bytes) -> None:
        os.makedirs(os.path.dirname(path))
        Path(path).write_bytes(content)
        journal = open_journal()
        with pytest.raises(OSError, match="journal"):
            journal.load("a100", NOW)
        with pytest.raises(OSError, match="journal"):
            keep(journal, charge("k1"))
        assert Path(path).read_bytes() == content

    def test_a_damaged_page(self, open_journal: Open, path: str) -> None:
        journal = open_journal()
        keep(journal, *(charge(f"k{number}") for number in range(200)))
        journal.close()
        data = bytearray(Path(path).read_bytes())
        data[4096:8192] = b"\xff" * 4096
        Path(path).write_bytes(data)
        with pytest.raises(OSError, match="journal"):
            open_journal().load("a100", NOW)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE intents SET remedy = 'pray'",
            "UPDATE intents SET wall = 'yesterday'",
            "PRAGMA user_version = 99",
        ],
    )
    def test_a_row_or_a_version_that_is_not_understood(
        self, open_journal: Open, path: str, change: str
    ) -> None:
        journal = open_journal()
        keep(journal, charge("k1"))
        journal.close()
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(change)
        connection.close()
        with pytest.raises(OSError, match="journal"):
            open_journal().load("a100", NOW)

    def test_a_folder_in_its_place(self, open_journal: Open, path: str) -> None:
        os.makedirs(path)
        with pytest.raises(OSError, match=r"journal|directory"):
            open_journal().load("a100", NOW)

    def test_a_writer_that_never_lets_go_is_waited_for_but_not_for_ever(
        self, open_journal: Open, path: str
    ) -> None:
        journal = open_journal()
        keep(journal, charge("k1"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            with pytest.raises(OSError, match="locked"):
                keep(journal, charge("k2"))
        finally:
            other.close()
        keep(journal, charge("k2"))
        assert len(journal.load("a100", NOW).charges) == 2

    def test_a_full_disk_and_then_room_again(self, small_disk: Path) -> None:
        journal = SqliteJournal(str(small_disk / "journal.sqlite3"))
        ballast = small_disk / "ballast"
        try:
            keep(journal, charge("k1"))
            with pytest.raises(OSError, match="No space"):
                ballast.write_bytes(b"x" * 2**20)
            with pytest.raises(OSError, match="journal"):
                keep(journal, *(charge(f"full-{number}") for number in range(200)))
            ballast.unlink()
            keep(journal, charge("k2"))
            keys = [one.key for one in journal.load("a100", NOW).charges]
        finally:
            journal.close()
        assert (keys[0], keys[-1]) == ("k1", "k2")

    def test_a_read_only_disk(self, small_disk: Path) -> None:
        path = str(small_disk / "journal.sqlite3")
        journal = SqliteJournal(path)
        keep(journal, charge("k1"))
        journal.close()
        mount("-o", "remount,ro", str(small_disk))
        with pytest.raises(OSError, match=r"journal|Read-only"):
            keep(journal, charge("k2"))
        with pytest.raises(OSError, match=r"journal|Read-only"):
            journal.load("a100", NOW)
        journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=30)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=30)


class TestStarts:
    def test_the_third_start_that_nobody_ended_only_observes(self, open_journal: Open) -> None:
        assert [open_journal().began(later(seconds)) for seconds in (0, 100, 200)] == [
            None,
            None,
            600.0,
        ]

    def test_what_was_asked_for_is_no_crash_and_cuts_nothing_short(
        self, open_journal: Open
    ) -> None:
        for seconds in (0, 100, 200, 300):
            journal = open_journal()
            assert journal.began(later(seconds)) is None
            journal.asked()
        for seconds, wait in ((400, None), (450, None), (500, 600.0)):
            journal = open_journal()
            assert journal.began(later(seconds)) == wait
        journal.asked()
        assert open_journal().began(later(700)) == 400.0

    def test_few_are_kept(self, open_journal: Open, path: str) -> None:
        journal = open_journal()
        for seconds in range(0, 100_000, 1000):
            journal.began(later(seconds))
        with sqlite3.connect(path) as plain:
            assert plain.execute("SELECT count(*) FROM starts").fetchone() == (20,)
        plain.close()

    def test_a_journal_without_them_is_taken_over(self, open_journal: Open, path: str) -> None:
        keep(open_journal(), charge("k1"))
        with sqlite3.connect(path) as plain:
            plain.execute("DROP TABLE starts")
        plain.close()
        assert open_journal().began(NOW) is None
        assert open_journal().load("a100", NOW).charges == (charge("k1"),)


def later(seconds: float) -> Env:
    return replace(NOW, run=NOW.run + seconds, boot=NOW.boot + seconds, wall=NOW.wall + seconds)
