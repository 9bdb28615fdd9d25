"""The watch tells of changed content, once a burst, and of nothing else."""

from __future__ import annotations

import os
import queue
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watchdogd.adapters import config_watch
from watchdogd.adapters.config_watch import FolderWatch

SOON = 10.0
Changes = queue.Queue[frozenset[Path]]
Begin = Callable[..., FolderWatch]


@pytest.fixture
def changes() -> Changes:
    return queue.Queue()


@pytest.fixture
def begin(changes: Changes) -> Iterator[Begin]:
    made: list[FolderWatch] = []

    def start(*files: Path, folder: Path | None = None, poll_seconds: float = 60.0) -> FolderWatch:
        def there() -> tuple[Path, ...]:
            return (*files, *(sorted(folder.glob("*.toml")) if folder else ()))

        watch = FolderWatch(
            there,
            changes.put,
            folders=lambda: (folder,) if folder else (),
            poll_seconds=poll_seconds,
            debounce_seconds=0.05,
        )
        watch.start()
        made.append(watch)
        return watch

    yield start
    for watch in made:
        watch.close(SOON)


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    path = tmp_path / "known_hosts"
    path.write_text("one\n")
    return path


def test_written_in_place(known_hosts: Path, begin: Begin, changes: Changes) -> None:
    begin(known_hosts)
    known_hosts.write_text("two\n")
    assert changes.get(timeout=SOON) == {known_hosts}


def test_replaced_by_rename(
    known_hosts: Path, tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    begin(known_hosts)
    new = tmp_path / "new"
    new.write_text("two\n")
    os.replace(new, known_hosts)
    assert changes.get(timeout=SOON) == {known_hosts}


def test_one_that_appears_and_one_that_vanishes(
    known_hosts: Path, tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    late = tmp_path / "id_late"
    begin(known_hosts, late)
    late.write_text("key\n")
    assert changes.get(timeout=SOON) == {late}
    known_hosts.unlink()
    assert changes.get(timeout=SOON) == {known_hosts}


def test_neither_the_same_content_nor_another_file_nor_reading_is_a_change(
    known_hosts: Path, tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    begin(known_hosts)
    known_hosts.write_text("one\n")
    (tmp_path / "other").write_text("x")
    known_hosts.read_text()
    known_hosts.write_text("two\n")
    assert changes.get(timeout=SOON) == {known_hosts}
    assert changes.empty()


@pytest.mark.parametrize("polls", [False, True])
def test_a_key_that_others_may_no_longer_read(
    known_hosts: Path, begin: Begin, changes: Changes, monkeypatch: pytest.MonkeyPatch, polls: bool
) -> None:
    known_hosts.chmod(0o644)
    if polls:
        monkeypatch.setattr(config_watch._Events, "follow", lambda *_: None)
    begin(known_hosts, poll_seconds=0.05 if polls else 60.0)
    known_hosts.chmod(0o600)
    assert changes.get(timeout=SOON) == {known_hosts}


def test_a_file_behind_a_link_into_another_folder(
    tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    real = tmp_path / "elsewhere" / "known_hosts"
    real.parent.mkdir()
    real.write_text("one\n")
    link = tmp_path / "known_hosts"
    link.symlink_to(real)
    begin(link)
    real.write_text("two\n")
    assert changes.get(timeout=SOON) == {link}


@pytest.mark.parametrize(
    "exhausted_at",
    [
        "watchdog.observers.inotify_c.InotifyFD._create_inotify_fd",
        "watchdog.observers.api.BaseObserver.schedule",
        "watchdog.observers.inotify.InotifyEmitter.on_thread_start",
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_without_events_it_looks_by_itself(
    exhausted_at: str,
    known_hosts: Path,
    begin: Begin,
    changes: Changes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(exhausted_at, exhausted)
    begin(known_hosts, poll_seconds=0.05)
    assert "inotify instance limit reached" in caplog.text
    known_hosts.write_text("two two\n")
    assert changes.get(timeout=SOON) == {known_hosts}


def test_a_folder_that_is_not_there_yet_is_no_error(
    tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    late = tmp_path / "later" / "known_hosts"
    begin(late, poll_seconds=0.05)
    late.parent.mkdir()
    late.write_text("one\n")
    assert changes.get(timeout=SOON) == {late}


def test_links_in_a_circle_are_watched_until_they_lead_somewhere(
    tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    circle = tmp_path / "known_hosts"
    circle.symlink_to("known_hosts")
    begin(circle)
    circle.unlink()
    circle.write_text("one\n")
    assert changes.get(timeout=SOON) == {circle}


def test_a_pipe_in_a_files_place_holds_nobody_up(tmp_path: Path, begin: Begin) -> None:
    pipe = tmp_path / "known_hosts"
    os.mkfifo(pipe)
    begin(pipe)


def test_a_device_is_not_watched_for_everybody_writes_beside_it(begin: Begin) -> None:
    observer = begin(Path(os.devnull))._events._observer
    assert observer is not None
    assert not observer.emitters


def test_files_that_appear_in_a_folder_and_leave_it(
    tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    begin(folder=folder)
    part = folder / "one.toml"
    part.write_text("a = 1\n")
    assert changes.get(timeout=SOON) == {part}
    part.unlink()
    assert changes.get(timeout=SOON) == {part}
    part.write_text("a = 1\n")
    assert changes.get(timeout=SOON) == {part}


def test_a_folder_that_is_deleted_and_comes_back(
    tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    folder = tmp_path / "above" / "conf.d"
    folder.mkdir(parents=True)
    part = folder / "one.toml"
    part.write_text("a = 1\n")
    begin(folder=folder)
    for text in ("a = 2\n", "a = 3\n"):
        shutil.rmtree(folder.parent)
        assert changes.get(timeout=SOON) == {part}
        folder.mkdir(parents=True)
        part.write_text(text)
        assert changes.get(timeout=SOON) == {part}
    part.write_text("a = 4\n")
    assert changes.get(timeout=SOON) == {part}


def test_a_folder_behind_a_link_that_is_turned(
    tmp_path: Path, begin: Begin, changes: Changes
) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.toml").write_text(f"name = '{name}'\n")
    folder = tmp_path / "conf.d"
    folder.symlink_to("old")
    begin(folder=folder)
    turned = tmp_path / "turned"
    turned.symlink_to("new")
    os.replace(turned, folder)
    assert changes.get(timeout=SOON) == {folder / "one.toml"}


def test_events_that_come_back_are_used_again_and_both_are_said_once(
    known_hosts: Path,
    begin: Begin,
    changes: Changes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="watchdogd")

    def exhausted(*_: object, **__: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    with monkeypatch.context() as patched:
        patched.setattr("watchdog.observers.api.BaseObserver.schedule", exhausted)
        watch = begin(known_hosts, poll_seconds=0.05)
        for text in ("two two\n", "three\n"):
            known_hosts.write_text(text)
            assert changes.get(timeout=SOON) == {known_hosts}
    watch.look()
    known_hosts.write_text("four\n")
    assert changes.get(timeout=SOON) == {known_hosts}
    told = [record.getMessage() for record in caplog.records]
    assert len([text for text in told if "no file events" in text]) == 1
    assert told.count("file events are back") == 1
