"""Reading: which files, their TOML, and their keys flattened to leaves that remember where they stand."""

from __future__ import annotations

import os
import shlex
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchdogd.errors import Problem
from watchdogd.loading.paths import config_candidates, expand

CONF_D = "conf.d"
"""The folder beside the configuration whose files are merged into it."""
_LARGEST = 1_048_576


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value as it stands in a file."""

    file: str
    path: tuple[str, ...]
    value: object
    """An empty table stands as ``{}``; a full one is its leaves."""


def config_path(path: str | None, environ: Mapping[str, str]) -> Path:
    """The configuration file to read: ``path``, ``$WATCHDOGD_CONFIG``, then the first of the usual
    places that is there (the first of them if none is)."""
    named = path or environ.get("WATCHDOGD_CONFIG")
    if named:
        return Path(expand(named, environ)).absolute()
    places = config_candidates(environ)
    # os.path.exists: a folder that may not be entered is no error here, but one for who reads.
    return next((place for place in places if os.path.exists(place)), places[0])


def config_files(main: Path) -> tuple[Path, ...]:
    """``main`` and what ``conf.d`` beside it adds, in the order in which they are merged.

    A ``conf.d`` that cannot be listed stands there itself: reading it says why, and targets are not
    lost in silence.
    """
    folder = main.parent / CONF_D
    try:
        extra = [path for path in folder.iterdir() if _is_part(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        extra = []
    except OSError:
        extra = [folder] if os.access(main, os.R_OK) else []
    return (main, *sorted(extra, key=lambda path: path.name))


def _is_part(name: str) -> bool:
    return name.endswith(".toml") and not name.startswith(".")


def read(file: Path) -> tuple[tuple[Leaf, ...], tuple[Problem, ...]]:
    """The leaves of one file; or none, and what is wrong with it as a whole."""
    try:
        document = tomllib.loads(_bytes(file).decode("utf-8"))
        return tuple(_leaves(str(file), (), document)), ()
    except RecursionError:
        return (), (_broken(file, "tables nested too deep"),)
    except UnicodeDecodeError:
        return (), (_broken(file, "bytes that are no UTF-8"),)
    except ValueError as error:
        return (), (_broken(file, f"no valid TOML: {error}"),)
    except OSError as error:
        return (), (_broken(file, f"something that cannot be read: {error.strerror or error}"),)


def _bytes(file: Path) -> bytes:
    # A pipe or device would block for ever, so the kind is asked before the opening.
    kind = os.stat(file).st_mode
    if stat.S_ISDIR(kind):
        os.listdir(file)  # says why it could not be listed, if that is what brought it here
    if not stat.S_ISREG(kind):
        raise OSError(0, "no regular file")
    if kind & stat.S_IWOTH:
        # It names programs that are run as this user.
        raise PermissionError(0, f"everybody may change it: chmod o-w {shlex.quote(str(file))}")
    with file.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(0, "more than 1 MiB")
    return data


def _broken(file: Path, found: str) -> Problem:
    return Problem(str(file), "", found, "a readable file in TOML")


def _leaves(file: str, path: tuple[str, ...], value: object) -> Iterator[Leaf]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(file, (*path, name), inner)
    else:
        yield Leaf(file, path, value)
