"""The files of the event log: whole lines only, bounded, for nobody else's eyes."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from watchdogd.adapters.event_files import NOW, EventFiles, raw_lines

LINE = b'{"n":%04d}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "events"


@pytest.fixture
def files(folder: Path) -> Iterator[EventFiles]:
    made = EventFiles(folder, file_bytes=100, total_bytes=1000)
    yield made
    made.close()


def fill(files: EventFiles, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        files.begin()
        files.append(LINE % number)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_made_before_it_is_needed(files: EventFiles, folder: Path) -> None:
    assert not folder.exists()
    files.close()


def test_modes_are_for_the_owner_only(files: EventFiles, folder: Path) -> None:
    before = os.umask(0)
    try:
        fill(files, 20)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(names(folder)) > 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_file_that_others_could_read_is_closed_to_them(files: EventFiles, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / NOW).touch(0o644)
    files.begin()
    assert stat.S_IMODE((folder / NOW).stat().st_mode) == 0o600


def test_a_full_file_is_put_away_and_the_next_begins_by_itself(
    files: EventFiles, folder: Path
) -> None:
    fresh = []
    for number in range(25):
        fresh.append(files.begin())
        files.append(LINE % number)
    assert names(folder) == ["events-000001.jsonl.gz", "events-000002.jsonl.gz", NOW]
    assert [number for number, one in enumerate(fresh) if one] == [0, 10, 20]
    kept = b"".join(b"".join(raw_lines(str(folder / name))) for name in names(folder))
    assert kept == b"".join(LINE % number for number in range(25))


def test_the_oldest_go_and_all_stays_bounded(folder: Path) -> None:
    files = EventFiles(folder, file_bytes=100, total_bytes=300)
    fill(files, 400)
    files.close()
    sizes = sum(path.stat().st_size for path in folder.iterdir())
    assert 100 < sizes <= 300
    assert "events-000039.jsonl.gz" in names(folder)
    assert "events-000001.jsonl.gz" not in names(folder)


def test_an_agent_goes_on_in_the_file_of_the_former_one(folder: Path) -> None:
    for number in range(2):
        files = EventFiles(folder)
        assert files.begin()
        files.append(LINE % number)
        assert not files.begin()
        files.close()
    assert (folder / NOW).read_bytes() == LINE % 0 + LINE % 1


@pytest.mark.parametrize("half", [b'{"n":', b"\0" * 70_000, b"x" * 70_000])
def test_half_a_line_that_a_crash_left_is_taken_away(
    files: EventFiles, folder: Path, half: bytes
) -> None:
    folder.mkdir(parents=True)
    (folder / NOW).write_bytes(LINE % 0 + half)
    files.begin()
    files.append(LINE % 1)
    assert (folder / NOW).read_bytes() == LINE % 0 + LINE % 1


def test_only_half_a_line_leaves_an_empty_file(files: EventFiles, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / NOW).write_bytes(b"half")
    files.begin()
    assert (folder / NOW).read_bytes() == b""


def test_a_disk_that_is_full_in_the_middle_of_a_line_leaves_none_of_it(
    files: EventFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(files, 1)
    write, room = os.write, [4]

    def short(file: int, text: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, text[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", short)
        with pytest.raises(OSError, match="No space"):
            files.append(LINE % 1)
    fill(files, 1, first=2)
    assert (folder / NOW).read_bytes() == LINE % 0 + LINE % 2


def test_without_room_to_compress_the_full_file_is_kept_as_it_is(
    files: EventFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    fill(files, 10)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        fill(files, 1, first=10)
    assert names(folder) == ["events-000001.jsonl", NOW]
    fill(files, 10, first=11)
    assert names(folder) == ["events-000001.jsonl", "events-000002.jsonl.gz", NOW]


def test_what_a_crash_left_of_a_compression_goes(files: EventFiles, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "events-000007.jsonl.gz.half").write_bytes(b"half")
    fill(files, 11)
    assert names(folder) == ["events-000001.jsonl.gz", NOW]


def test_a_log_that_somebody_removed_begins_again(files: EventFiles, folder: Path) -> None:
    fill(files, 10)
    (folder / NOW).unlink()
    with pytest.raises(FileNotFoundError):
        files.begin()
    fill(files, 1)
    assert (folder / NOW).read_bytes() == LINE % 0


def test_a_link_in_its_place_is_not_followed(files: EventFiles, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / NOW).symlink_to(folder.parent / "elsewhere")
    with pytest.raises(OSError, match=NOW):
        files.begin()
    assert not (folder.parent / "elsewhere").exists()


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_packed_or_not_is_seen_by_the_content(tmp_path: Path, pack: Any) -> None:
    file = tmp_path / "log"
    file.write_bytes(pack(b"a\nb\nhalf"))
    assert list(raw_lines(str(file))) == [b"a\n", b"b\n", b"half"]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert list(raw_lines(str(tmp_path / "log"))) == []


@pytest.mark.parametrize("harm", [lambda packed: packed[:-12], lambda packed: packed[:12] + b"xx"])
def test_a_damaged_archive_says_so(tmp_path: Path, harm: Any) -> None:
    file = tmp_path / "log.gz"
    file.write_bytes(harm(gzip.compress(os.urandom(5000))))
    with pytest.raises(OSError, match="damaged"):
        list(raw_lines(str(file)))


def test_a_missing_file_or_a_folder_is_an_os_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match=str(path)):
            list(raw_lines(str(path)))
