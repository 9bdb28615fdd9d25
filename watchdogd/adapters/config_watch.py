"""Tells when files that matter (known_hosts, keys) really have other content. The only import of ``watchdog``.

An event is a hint, never a fact: the library's handler only says "look"; a thread of our own waits
half a second for the rest of the burst, then hashes. It also looks every 30 s by size, time and
inode, so a watch that died, a symlinked file, or a system out of inotify instances costs time only.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)

DEBOUNCE_SECONDS = 0.5
POLL_SECONDS = 30.0
HASHED_BYTES = 4 * 1024**2
"""Of a larger file only the beginning counts: keys and known_hosts are small."""
READS = ("opened", "closed_no_write")
"""Our own hashing causes these; heeding them would be a loop."""

Signature = tuple[int, int, int] | None


class FolderWatch:
    """Watches the folders of some files and calls back with those whose content changed.

    A file that appears, vanishes or is replaced counts as changed. The callback runs on the watch's
    own thread and must neither block nor raise.
    """

    def __init__(
        self,
        files: Iterable[Path],
        changed: Callable[[frozenset[Path]], None],
        *,
        poll_seconds: float = POLL_SECONDS,
        debounce_seconds: float = DEBOUNCE_SECONDS,
    ) -> None:
        self._changed = changed
        self._poll = poll_seconds
        self._debounce = debounce_seconds
        self._stopping = threading.Event()
        self._hint = threading.Event()
        self._signatures = {path: _signature(path) for path in files}
        self._hashes = {path: _hash(path) for path in self._signatures}
        self._thread = threading.Thread(target=self._run, name="config-watch", daemon=True)
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Begin. Falls back to looking every ``poll_seconds`` alone if the system gives no events."""
        try:
            self._observe()
        except OSError as error:
            log.warning("no file events (%s); files are looked at every %.0f s", error, self._poll)
            self._end_observing(self._poll)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """End the watch and its threads, waiting at most about ``seconds``."""
        self._stopping.set()
        self._hint.set()
        self._end_observing(seconds)
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _observe(self) -> None:
        handler = _Hints(self._hint)
        # Not /dev because of /dev/null: everybody writes there all the time.
        files = [path for path in self._signatures if path.is_file() or not path.exists()]
        folders = {path.parent for path in files}
        # os.path.realpath: unlike resolve() it gives up on a loop of links without raising.
        folders |= {Path(os.path.realpath(path)).parent for path in files}
        self._observer = Observer()  # this alone takes an inotify instance and starts a thread
        for folder in sorted(folders):
            if folder.is_dir():
                self._observer.schedule(handler, str(folder), recursive=False)
        self._observer.start()

    def _end_observing(self, seconds: float) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()  # also what a failed start has left
            if observer.is_alive():
                observer.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            hinted = self._hint.wait(self._poll)
            if hinted:
                self._stopping.wait(self._debounce)
                self._hint.clear()
            if not self._stopping.is_set():
                self._look(closely=hinted)

    def _look(self, *, closely: bool) -> None:
        """Hash what may have changed; ``closely``: do not trust size and time."""
        found = set()
        for path in self._signatures:
            signature = _signature(path)
            if not closely and signature == self._signatures[path]:
                continue
            self._signatures[path] = signature
            now = _hash(path)
            if now != self._hashes[path]:
                self._hashes[path] = now
                found.add(path)
        if found:
            self._changed(frozenset(found))


class _Hints(FileSystemEventHandler):
    """Runs on the library's thread, which an exception would end: so it only sets a flag."""

    def __init__(self, hint: threading.Event) -> None:
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in READS:
            self._hint.set()


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _hash(path: Path) -> str:
    """Of the content; empty if it cannot be read, or is a pipe or device, which may have no end."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return hashlib.sha256(file.read(HASHED_BYTES)).hexdigest()
    except OSError:
        return ""
