"""Measures, beside an opponent in the same run, and prints a table: ``python -m bench [NAME ...]``.

Exit code 1 if a limit is missed. Everything runs on this machine, on real servers, over loopback.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from bench.report import Figure, print_table, say
from tests.lab.guards import mark_this_run

NAMES = ("version", "core", "first_byte", "cycle", "idle", "scale", "container", "link")


def main(names: Sequence[str]) -> int:
    """Run the named benchmarks, or all."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        say(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return 64
    mark_this_run()
    found: list[Figure] = []
    for name in names or NAMES:
        say(name)
        found.extend(importlib.import_module(f"bench.{name}").figures())
    return 0 if print_table(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
