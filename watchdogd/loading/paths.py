"""File names in the configuration: expanded, made absolute, and looked at before anything starts."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from platformdirs import user_config_path, user_state_path

from watchdogd.loading.values import Refused, masked


class FileRule(Enum):
    """What must be true of the file that a key names."""

    SECRET = "a file that is there and that only you may read (mode 0600)"  # noqa: S105 - a rule
    READABLE = "a file that is there and that you may read"
    MAYBE = "a file, or a place where one may appear"
    FOLDER = "an absolute folder"
    PROGRAM = (
        'a list: a program of this machine that you may run, and its arguments: ["~/resume.sh"]'
    )


def expand(name: str, environ: Mapping[str, str]) -> str:
    """``~/x`` and ``~`` with the HOME of ``environ``; anything else as it is."""
    if name == "~" or name.startswith("~/"):
        home = environ.get("HOME") or str(Path.home())
        return home.rstrip("/") + name[1:]
    return name


def checked(name: str, rule: FileRule, environ: Mapping[str, str]) -> str:
    """The absolute path, or ``Refused`` if ``rule`` does not hold. The name of a file for a secret
    is never echoed: a token pasted in its place must not reach a message."""
    path = expand(name, environ)
    if not os.path.isabs(path):
        raise Refused("a path that is not absolute", "an absolute path, or one that begins with ~/")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if rule in (FileRule.MAYBE, FileRule.FOLDER):
            return path
        named = "" if rule is FileRule.SECRET else f": {masked(path)}"
        raise Refused(f"the name of a file that is not there{named}") from None
    except (OSError, ValueError) as error:
        raise Refused(f"a file that cannot be looked at ({_reason(error)})") from None
    _obeys(path, found, rule)
    return path


def program(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The argv with the absolute path of its program, which is found on PATH if it is a bare name.
    ``Refused`` if it is not there, or may not be run."""
    name = expand(argv[0], environ)
    if "/" in name and not os.path.isabs(name):
        raise Refused("a program whose path is not absolute", "an absolute path, or a name on PATH")
    found = shutil.which(name, path=environ.get("PATH"))
    if found is None:
        raise Refused(f"a program that is not there, or that you may not run: {masked(name)}")
    return (found, *argv[1:])


def _obeys(path: str, found: os.stat_result, rule: FileRule) -> None:
    if rule is FileRule.FOLDER:
        if not stat.S_ISDIR(found.st_mode):
            raise Refused("something that is no folder")
        return
    if not stat.S_ISREG(found.st_mode):
        raise Refused("something that is no regular file")
    if not os.access(path, os.R_OK):
        raise Refused("a file that you may not read")
    if rule is FileRule.SECRET and found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise Refused(
            f"a file of mode {mode:04o}, which others may read", "mode 0600: chmod 600 FILE"
        )


def _reason(error: Exception) -> str:
    return (error.strerror or "error") if isinstance(error, OSError) else "not a file name"


def state_folder(environ: Mapping[str, str]) -> str:
    """Where the agent keeps its state unless told otherwise."""
    return _xdg(environ, "XDG_STATE_HOME") or str(user_state_path("watchdogd", appauthor=False))


def config_candidates(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files looked for without ``--config`` and ``$WATCHDOGD_CONFIG``, in order."""
    home = Path(expand("~/.config", environ)) / "watchdogd"
    first = Path(_xdg(environ, "XDG_CONFIG_HOME") or home) / "config.toml"
    platform = user_config_path("watchdogd", appauthor=False) / "config.toml"
    return (first,) if platform == first else (first, platform)


def _xdg(environ: Mapping[str, str], name: str) -> str:
    base = environ.get(name, "")
    return str(Path(base) / "watchdogd") if os.path.isabs(base) else ""
