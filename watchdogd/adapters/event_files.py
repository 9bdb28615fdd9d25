"""The files of the recorded event log: one that grows, and older ones, compressed; bounded in all.

``events.jsonl`` is written line by line, so a crash costs half a line at most; full, it becomes
``events-NNNNNN.jsonl.gz``, and the oldest of these go. Mode 0600 in a folder of mode 0700.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from watchdogd.adapters.instance import private_folder

FILE_BYTES = 8 << 20
TOTAL_BYTES = 64 << 20
"""Of all files together, as they are on the disk."""
LINE_BYTES = 4 << 20
"""No line is longer; what is, is no log."""
NOW = "events.jsonl"
_OLD = "events-*.jsonl*"
_HALF = ".half"


class EventFiles:
    """Appends to the log of one folder. One thread at a time, and one agent (its lock sees to it)."""

    def __init__(
        self, folder: Path, *, file_bytes: int = FILE_BYTES, total_bytes: int = TOTAL_BYTES
    ) -> None:
        """Nothing is made or opened yet."""
        self._folder = folder
        self._now = folder / NOW
        self._file_bytes = file_bytes
        self._total_bytes = total_bytes
        self._file = -1
        self._size = 0
        self._begun = False

    def begin(self) -> bool:
        """Have a file with room. True if nothing of this agent is in it yet: its next text has to stand
        by itself. Raises ``OSError``."""
        if self._file < 0:
            self._open()
        if self._size >= self._file_bytes:
            self.close()
            self._put_away()
            self._open()
        return not self._begun

    def append(self, text: bytes) -> None:
        """Add whole lines: all of them, or nothing. Raises ``OSError``. Only after ``begin``."""
        try:
            wrote = 0
            while wrote < len(text):
                wrote += os.write(self._file, text[wrote:])
        except OSError:
            self._undo()
            raise
        self._size += len(text)
        self._begun = True

    def close(self) -> None:
        """Idempotent; never raises. ``begin`` opens again."""
        file, self._file = self._file, -1
        if file >= 0:
            with suppress(OSError):
                os.close(file)

    def _open(self) -> None:
        private_folder(self._folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self._now, flags, 0o600)
        try:
            os.fchmod(file, 0o600)
            self._size = _cut_half_line(file)
        except OSError:
            os.close(file)
            raise
        self._file, self._begun = file, False

    def _undo(self) -> None:
        """Part of a text may be there: take it away, or go on in a file of which that is known."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self.close()

    def _put_away(self) -> None:
        """Compress the full file, or only rename it where there is no room for that."""
        kept = [path for path in self._folder.glob(_OLD) if not path.name.endswith(_HALF)]
        serial = max((_serial(path) for path in kept), default=0) + 1
        target = self._folder / f"events-{serial:06}.jsonl.gz"
        try:
            _compress(self._now, target)
            self._now.unlink()
        except OSError:
            self._now.rename(target.with_suffix(""))
        self._prune()

    def _prune(self) -> None:
        for path in self._folder.glob(f"{_OLD}{_HALF}"):
            path.unlink(missing_ok=True)
        room = self._total_bytes - self._file_bytes
        for path in sorted(self._folder.glob(_OLD), key=_serial, reverse=True):
            room -= path.stat().st_size
            if room < 0:
                path.unlink(missing_ok=True)


def _serial(path: Path) -> int:
    digits = path.name.removeprefix("events-").partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


def _cut_half_line(file: int) -> int:
    """Take away what a crash left of a last line; returns the size. Raises ``OSError``."""
    size = end = os.fstat(file).st_size
    while end > 0:
        begin = max(0, end - (1 << 16))
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        os.ftruncate(file, end)
    return end


def _compress(source: Path, target: Path) -> None:
    """Whole or not at all, mode 0600. Raises ``OSError``."""
    half = target.with_name(target.name + _HALF)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with (
            source.open("rb") as plain,
            open(os.open(half, flags, 0o600), "wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6) as packed,
        ):
            shutil.copyfileobj(plain, packed, 1 << 16)
        half.replace(target)
    except OSError:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        raise


def raw_lines(path: str) -> Iterator[bytes]:
    """The lines of a log, compressed or not; ``-`` is standard input. Each ends with its line feed, but
    perhaps the last. Raises ``OSError`` if it cannot be read to its end."""
    with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b" if hasattr(file, "peek") else False
        if not packed:
            yield from _lines(file)
            return
        try:
            with gzip.GzipFile(fileobj=file) as inner:
                yield from _lines(inner)
        except (EOFError, zlib.error) as error:
            raise OSError(f"the compressed file is damaged: {error}") from error


def _lines(file: io.BufferedIOBase | IO[bytes]) -> Iterator[bytes]:
    while text := file.readline(LINE_BYTES):
        yield text
