"""What can be done with the service, whoever manages it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from watchdogd.errors import WatchdogdError

COMMAND_SECONDS = 90.0
"""A start returns once the agent is ready (at most ``TimeoutStartSec``, 60 s), a stop once it ended."""


class ServiceTrouble(WatchdogdError):
    """It cannot be done: what the manager said, and what to do."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """What the manager knows."""

    installed: bool
    running: bool
    word: str
    """In the manager's own words, such as ``active (running)``."""
    detail: str = ""
    """What the agent told it last, or why it ended."""
    pid: int | None = None
    restarts: int | None = None
    starts_at_login: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What an installation did."""

    file: Path
    changed: bool
    """The file was written; False: it stood there already."""
    kept: Path | None = None
    """Where the former file went, if there was another one."""
    notes: tuple[str, ...] = ()
    """What the person should know or do."""


class Steering(Protocol):
    """One service manager. Each raises ``ServiceTrouble``, or ``OSError`` for the file system."""

    def install(self, program: str, config: str | None, *, start: bool) -> Installed: ...

    def uninstall(self) -> bool:
        """Stop it and take its file away; False if there was none."""
        ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def state(self) -> ServiceState: ...

    def logs(self, *, lines: int, follow: bool) -> tuple[str, ...]:
        """The command that shows the log."""
        ...


def run(argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """One command of the service manager, to its end. Raises ``ServiceTrouble`` if it is not there or
    does not end; what it said and its exit code are the caller's."""
    try:
        return subprocess.run(
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise ServiceTrouble(f"there is no {argv[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        told = " ".join(argv)
        raise ServiceTrouble(f"`{told}` did not end within {COMMAND_SECONDS:.0f} s") from None


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said went wrong, in one line."""
    text = " ".join((done.stderr or done.stdout).split())
    return text or f"it ended with {done.returncode}"


def put(file: Path, text: str) -> tuple[bool, Path | None]:
    """Have ``text`` in ``file``, whole or not at all; True if it was written. A former file with
    another text is kept beside it, and its place is returned."""
    former = file.read_text(encoding="utf-8", errors="replace") if file.exists() else None
    if former == text:
        return False, None
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(made, 0o644)
        kept = None
        if former is not None:
            kept = file.with_name(f"{file.name}.before")
            shutil.copyfile(file, kept)
        os.replace(made, file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(made)
        raise
    return True, kept
