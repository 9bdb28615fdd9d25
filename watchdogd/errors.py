"""The errors that cross module borders. Adapters translate once, here; nobody else re-classifies.

Anybody may import this module; it imports only the closed lists.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.core.words import Cause


class WatchdogdError(Exception):
    """Root of every error that watchdogd raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in the configuration, as a person should read it."""

    file: str
    """The file it stands in, or the flag or variable that brought it."""
    key: str
    """Dotted key path, such as ``targets.a100.ssh.port``; empty if the whole file is unreadable."""
    found: str
    """What stands there, secrets masked."""
    allowed: str
    """What may stand there."""

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: found {self.found}; allowed: {self.allowed}"


class ConfigError(WatchdogdError):
    """The configuration is refused as a whole, with every problem at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class _Classified(WatchdogdError):
    def __init__(
        self, cause: Cause, detail: str, *, phase: str = "", mend: str = "", reached: bool = False
    ) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail
        self.phase = phase
        """Where it happened: ``resolve``, ``connect``, ``banner``, ``host_key``, ``auth``, ``open``, ``exec``."""
        self.mend = mend
        """The command, or the sentence, that mends it; empty if time alone may."""
        self.reached = reached
        """True if the far sshd was reached (such a dial counts against its penalties)."""


class Transient(_Classified):
    """It may pass by itself; trying again later is right."""


class Permanent(_Classified):
    """Only a person can mend it; trying again does harm or is useless."""


def one_line(text: str, limit: int) -> str:
    """Somebody else's text, safe to show: printable, one line, cut."""
    return "".join(char if char.isprintable() else " " for char in text)[:limit].strip()
