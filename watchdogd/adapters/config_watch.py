"""Tells when files that matter (the configuration, known_hosts, keys) really have other content, or may be read
by others than before. The only import of ``watchdog``.

An event is a hint, never a fact: the library's handler only says "look"; a thread of our own waits
half a second for the rest of the burst, then hashes. It also looks every 30 s by size, time and
inode, so a watch that died, a symlinked file, or a system out of inotify instances costs time only.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)

DEBOUNCE_SECONDS = 0.5
POLL_SECONDS = 30.0
CLOSE_SECONDS = 5.0
HASHED_BYTES = 4 * 1024**2
"""Of a larger file only the beginning counts: keys and known_hosts are small."""
READS = ("opened", "closed_no_write")
"""Our own hashing causes these; heeding them would be a loop."""

Signature = tuple[int, int, int, int] | None
Paths = Callable[[], Iterable[Path]]
Names = frozenset[str] | None
"""Which entries of a folder matter; ``None``: all."""


class FolderWatch:
    """Watches the folders of some files and calls back with those whose content changed.

    A file that appears, vanishes or is replaced counts as changed. The callback runs on the watch's
    own thread and must neither block nor raise.
    """

    def __init__(
        self,
        files: Paths,
        changed: Callable[[frozenset[Path]], None],
        *,
        folders: Paths = tuple,
        poll_seconds: float = POLL_SECONDS,
        debounce_seconds: float = DEBOUNCE_SECONDS,
    ) -> None:
        """``files`` and ``folders`` are asked at each look, as which ones matter may change.
        ``folders``: where files may appear; such a one may itself vanish and come back."""
        self._files = files
        self._folders = folders
        self._changed = changed
        self._poll = poll_seconds
        self._debounce = debounce_seconds
        self._stopping = threading.Event()
        self._hint = threading.Event()
        self._signatures = {path: _signature(path) for path in files()}
        self._hashes = {path: _hash(path) for path in self._signatures}
        self._thread = threading.Thread(target=self._run, name="config-watch", daemon=True)
        self._events = _Events(self._hint)

    def start(self) -> None:
        """Begin. Looks every ``poll_seconds`` alone while the system gives no events."""
        self._follow()
        self._thread.start()

    def look(self) -> None:
        """Look now, closely; returns at once."""
        self._hint.set()

    def close(self, seconds: float) -> None:
        """End the watch and its threads, waiting at most about ``seconds``."""
        self._stopping.set()
        self._hint.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._events.close(seconds)

    def _follow(self) -> None:
        try:
            self._events.follow(_wanted(self._files(), self._folders()))
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
            self._events.lost(error, self._poll)

    def _run(self) -> None:
        while not self._stopping.is_set():
            hinted = self._hint.wait(self._poll)
            if hinted:
                self._stopping.wait(self._debounce)
                self._hint.clear()
            if not self._stopping.is_set():
                self._follow()  # first: what changes from here on gives another hint
                self._look(closely=hinted)

    def _look(self, *, closely: bool) -> None:
        """Hash what may have changed; ``closely``: do not trust size and time."""
        found = set()
        now_there = dict.fromkeys(self._files())
        for path in (*now_there, *(self._signatures.keys() - now_there.keys())):
            signature = _signature(path)
            if not closely and path in self._signatures and signature == self._signatures[path]:
                continue
            self._signatures[path] = signature
            now = _hash(path)
            if now != self._hashes.get(path, ""):
                found.add(path)
            self._hashes[path] = now
        for path in self._signatures.keys() - now_there.keys():
            del self._signatures[path], self._hashes[path]
        if found:
            self._changed(frozenset(found))


class _Events:
    """The library's observer, made anew whenever it no longer watches what it should."""

    def __init__(self, hint: threading.Event) -> None:
        self._hint = hint
        self._observer: BaseObserver | None = None
        self._followed: dict[Path, tuple[tuple[int, int], Names]] = {}
        self._told = False

    def follow(self, wanted: Mapping[Path, Names]) -> None:
        """Have hints from these folders. Raises ``OSError`` if the system gives no events."""
        followed = {path: (_identity(path), names) for path, names in wanted.items()}
        if followed == self._followed and self._alive():
            return
        self.close(CLOSE_SECONDS)
        self._observer = Observer()  # this alone takes an inotify instance and starts a thread
        for folder, (_, names) in sorted(followed.items()):
            self._observer.schedule(_Hints(self._hint, names), str(folder), recursive=False)
        try:
            self._observer.start()
        except (FileNotFoundError, NotADirectoryError):  # a folder is gone again: look anew
            self.close(CLOSE_SECONDS)
            self._hint.set()
            return
        self._followed = followed
        if self._told:
            self._told = False
            log.info("file events are back")

    def lost(self, error: Exception, poll_seconds: float) -> None:
        """Do without; said once."""
        self.close(CLOSE_SECONDS)
        if not self._told:
            self._told = True
            why = f"no file events ({error})"
            log.warning("%s; files are looked at every %.0f s", why, poll_seconds)

    def close(self, seconds: float) -> None:
        """End the observer and its threads, waiting at most about ``seconds``."""
        observer, self._observer = self._observer, None
        self._followed = {}
        if observer is not None:
            observer.stop()  # also what a failed start has left
            if observer.is_alive():
                observer.join(seconds)

    def _alive(self) -> bool:
        observer = self._observer
        if observer is None or not observer.is_alive():
            return False
        return all(emitter.is_alive() for emitter in observer.emitters)


class _Hints(FileSystemEventHandler):
    """Runs on the library's thread, which an exception would end: so it only sets a flag."""

    def __init__(self, hint: threading.Event, names: Names) -> None:
        self._hint = hint
        self._names = names

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in READS:
            return
        touched = {
            os.path.basename(os.fsdecode(path)) for path in (event.src_path, event.dest_path)
        }
        if self._names is None or touched & self._names:
            self._hint.set()


def _wanted(files: Iterable[Path], folders: Iterable[Path]) -> dict[Path, Names]:
    """The folders to watch, and which of their entries matter."""
    whole: set[Path] = set()
    # Not /dev because of /dev/null: everybody writes there all the time.
    for path in (path for path in files if path.is_file() or not path.exists()):
        # os.path.realpath: unlike resolve() it gives up on a loop of links without raising.
        whole |= {path.parent, Path(os.path.realpath(path)).parent}
    some: dict[Path, frozenset[str]] = {}
    for folder in folders:
        whole.add(folder)
        above = _above(folder)
        if above is not None:
            some[above[0]] = some.get(above[0], frozenset()) | {above[1]}
    return {**some, **dict.fromkeys((path for path in whole if path.is_dir()), None)}


def _above(folder: Path) -> tuple[Path, str] | None:
    """The nearest folder above that is there, and the entry of it through which ``folder`` is reached:
    what tells that it was taken away or put back."""
    for parent in folder.parents:
        if parent.is_dir():
            return parent, folder.relative_to(parent).parts[0]
    return None


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_mode


def _hash(path: Path) -> str:
    """Of the content, and of who may read it, as ssh uses no key that others may read; empty if it cannot be read,
    or is a pipe or device, which may have no end."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            others = os.fstat(file.fileno()).st_mode & 0o077
            return f"{others:o} {hashlib.sha256(file.read(HASHED_BYTES)).hexdigest()}"
    except OSError:
        return ""
