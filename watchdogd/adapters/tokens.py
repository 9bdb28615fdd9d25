"""The target's token in files of mode 0600 on this machine. Implements ``ports.Tokens``.

Two files: the *pinned* token, which watchdogd writes into every runtime that it makes, and beside it
the *learned* one of a runtime that somebody else started. Learning never touches the pinned token, so
the address that was handed out for our own runtime stays good.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Callable
from contextlib import suppress

from watchdogd.adapters.file_signature import Signature, signature
from watchdogd.adapters.private_file import NotPrivate, read_private
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent
from watchdogd.settings import Secret

_MADE_BYTES = 24
_READ_LIMIT = 4096
_TOKEN = re.compile(r"[!-~]{1,1024}")


class TokenFile:
    """The files of one target. Raises ``Permanent(RUNTIME_AUTH)`` with ``mend`` if one cannot be used.

    ``state_path``: where the made token is kept; the learned one lies beside it. ``configured``: the
    user's ``token_file``; it wins over both and is never written. ``noted`` is called whenever another
    token is known here, before anybody is given it.
    """

    def __init__(
        self,
        state_path: str,
        configured: str | None,
        noted: Callable[[], None] = lambda: None,
    ) -> None:
        self._pinned = state_path
        self._learned = f"{state_path}.learned"
        self._configured = configured
        self._noted = noted
        self._kept: dict[str, tuple[Signature, Secret]] = {}
        self._given: Secret | None = None

    def current(self) -> Secret | None:
        """The configured token, else the learned one, else the pinned one, else ``None``."""
        token = self._current()
        if token != self._given:
            self._given = token
            self._noted()
        return token

    def _current(self) -> Secret | None:
        if self._configured is not None:
            return self._configured_token(self._configured)
        for path in (self._learned, self._pinned):
            token = self._look(path)
            if token is not None:
                return token
        return None

    def pinned(self) -> Secret:
        """The configured token, else our own; made and durable on disk when this returns."""
        if self._configured is not None:
            return self._configured_token(self._configured)
        token = _read(self._pinned)
        if token is None:
            token = Secret(secrets.token_hex(_MADE_BYTES))
            _write(self._pinned, token)
        self._noted()
        return token

    def learn(self, token: Secret) -> None:
        """Use this token from now on. Learning the pinned one forgets the other runtime's.

        With a configured ``token_file`` nothing is learned: the user's word wins.
        """
        if self._configured is not None:
            return
        if token == _read(self._pinned):
            with suppress(FileNotFoundError):
                os.unlink(self._learned)
        else:
            _write(self._learned, token)
        self._noted()

    def _look(self, path: str) -> Secret | None:
        """As ``_read``, but a file that did not change is not read again: whoever writes a line asks
        every target for its token, so that none gets into it."""
        now = signature(path)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == now:
            return kept[1]
        token = _read(path)
        if token is not None and now is not None:
            self._kept[path] = now, token
        return token

    def _configured_token(self, path: str) -> Secret:
        token = self._look(path)
        if token is None:
            raise Permanent(
                Cause.RUNTIME_AUTH,
                f"token_file {path} does not exist",
                mend=f"umask 077; printf %s YOUR_TOKEN > {shlex.quote(path)}",
            )
        return token


def _read(path: str) -> Secret | None:
    """The token in one file; ``None`` if there is no file. The error texts never show what is in it."""
    try:
        data = read_private(path, _READ_LIMIT)
    except NotPrivate as error:
        raise _unusable(error.detail, error.mend) from error
    if data is None:
        return None
    text = data.decode("ascii", "replace").strip()
    if len(data) > _READ_LIMIT or _TOKEN.fullmatch(text) is None:
        raise _unusable(f"{path} must hold one token: 1 to 1024 printable characters, no spaces")
    return Secret(text)


def _write(path: str, token: Secret) -> None:
    """Replace the file in one step: a crash leaves the old token or the new one, never half of one."""
    folder = os.path.dirname(path)
    fresh = f"{path}.{secrets.token_hex(4)}.new"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, token.reveal().encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(fresh, path)
        _sync_folder(folder)
    except (OSError, UnicodeEncodeError) as error:
        with suppress(OSError):
            os.unlink(fresh)
        raise _unusable(f"{path} cannot be written: {getattr(error, 'strerror', error)}") from error


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(detail: str, mend: str = "") -> Permanent:
    return Permanent(Cause.RUNTIME_AUTH, detail, mend=mend)
