"""A small file that holds secrets: read only if nobody else can. Its texts never show what is in it."""

from __future__ import annotations

import os
import shlex
import stat


class NotPrivate(Exception):
    """The file cannot be used. ``mend``: the command that mends it, where one is known."""

    def __init__(self, detail: str, mend: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.mend = mend


def read_private(path: str, limit: int) -> bytes | None:
    """At most ``limit`` bytes of the file and one more, if it is longer; ``None`` if there is none.
    Raises ``NotPrivate``."""
    try:
        # O_NONBLOCK: a FIFO in its place must not hang us
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotPrivate(f"{path} cannot be read: {error.strerror}") from error
    try:
        _check(path, os.fstat(descriptor))
        return os.read(descriptor, limit + 1)
    except OSError as error:
        raise NotPrivate(f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _check(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotPrivate(f"{path} is not a regular file")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        why = f"{path} has mode {mode:04o}, others can read it"
        raise NotPrivate(why, f"chmod 600 {shlex.quote(path)}")
    if found.st_uid != os.geteuid():
        raise NotPrivate(f"{path} belongs to another user", f"chown $(id -u) {shlex.quote(path)}")
