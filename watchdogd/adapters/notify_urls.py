"""Whom to tell: addresses from a private file, or from a command. No text here shows one."""

from __future__ import annotations

import re
from pathlib import Path

from watchdogd.adapters.file_signature import Signature, signature
from watchdogd.adapters.private_file import NotPrivate, read_private
from watchdogd.loading.urls import LONGEST
from watchdogd.ports import Clock, Deadline, RunHere
from watchdogd.settings import NotifySettings, Secret

COMMAND_SECONDS = 10.0
FILE_LIMIT, COMMAND_LIMIT, MOST = 65_536, 4095, 16
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9]{1,31}://\S+")


class NoUrls(Exception):
    """They cannot be had now; the text says why."""


class UrlSource:
    """Of one configuration."""

    def __init__(self, settings: NotifySettings, run: RunHere, clock: Clock) -> None:
        self._settings = settings
        self._run = run
        self._clock = clock
        self._seen: Signature = None

    def changed(self) -> bool:
        """Is the file another one than when it was read? (What a command would say is not asked for.)"""
        path = self._settings.urls_file
        return path is not None and signature(path) != self._seen

    def read(self) -> tuple[Secret, ...]:
        """The addresses, each once. Raises ``NoUrls``; the command has 10 s."""
        if self._settings.urls_file is not None:
            lines = self._file(self._settings.urls_file)
        elif self._settings.urls_command:
            lines = self._command()
        else:
            return ()
        return _addresses(lines)

    def _file(self, path: str) -> list[str]:
        self._seen = signature(path)
        try:
            data = read_private(path, FILE_LIMIT)
        except NotPrivate as error:
            raise NoUrls(f"{error.detail}; {error.mend}" if error.mend else error.detail) from error
        if data is None:
            raise NoUrls(f"notify.urls_file {Path(path)} does not exist")
        return _lines(data, FILE_LIMIT)

    def _command(self) -> list[str]:
        argv = self._settings.urls_command
        deadline = Deadline.after(self._clock, COMMAND_SECONDS)
        try:
            ran = self._run(argv, stdin=b"", deadline=deadline)
        except OSError as error:
            raise NoUrls(f"notify.urls_command cannot be run: {error.strerror or error}") from error
        if ran.status is None:
            raise NoUrls(f"notify.urls_command did not end in {COMMAND_SECONDS:g} s")
        if ran.status != 0:
            raise NoUrls(f"notify.urls_command ended with status {ran.status}")
        return _lines(ran.said, COMMAND_LIMIT)


def _lines(data: bytes, limit: int) -> list[str]:
    if len(data) > limit:
        raise NoUrls(f"more than {limit} bytes of addresses")
    return data.decode("utf-8", "replace").splitlines()


def _addresses(lines: list[str]) -> tuple[Secret, ...]:
    found = []
    for number, line in enumerate(lines, 1):
        url = line.strip()
        if not url or url.startswith("#"):
            continue
        if len(url) > LONGEST or not _ADDRESS.fullmatch(url):
            raise NoUrls(f"line {number} of the addresses is none (SCHEME://...)")
        found.append(Secret(url))
    urls = tuple(dict.fromkeys(found))
    if not urls or len(urls) > MOST:
        raise NoUrls(f"{len(urls)} addresses; there must be 1 to {MOST}")
    return urls


def channel(url: Secret) -> str:
    """What kind of address it is: its scheme, never more."""
    return url.reveal().partition("://")[0].lower()
