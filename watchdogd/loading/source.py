"""Where a configuration came from, so that it can be read again when it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchdogd.loading.files import CONF_D, config_files, config_path
from watchdogd.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One configuration, as named at the start of the program. Each call looks anew."""

    path: str | None
    """What ``--config`` said."""
    environ: Mapping[str, str]
    read: Callable[[str | None, Mapping[str, str]], Settings]

    def load(self) -> Settings:
        """The whole configuration as it is now. Raises ``ConfigError`` with every problem."""
        return self.read(self.path, self.environ)

    def files(self) -> tuple[Path, ...]:
        """The files that it consists of now; the first need not be there."""
        return config_files(config_path(self.path, self.environ))

    def folders(self) -> tuple[Path, ...]:
        """Where its files are, or may appear."""
        folder = config_path(self.path, self.environ).parent
        return folder, folder / CONF_D
