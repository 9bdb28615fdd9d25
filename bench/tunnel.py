"""The tunnel beside ``ssh -L`` and autossh: ``python -m bench.tunnel [--only ROW ...] [--quick]``.

Exit code 1 if a limit is missed. Everything runs on this machine, on a real sshd, over loopback.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench import tunnel_recovery, tunnel_speed
from bench.report import Figure, print_table, say
from tests.lab.guards import mark_this_run

Row = Callable[[bool], Iterator[Figure]]


def main(words: Sequence[str]) -> int:
    """Measure the rows that were asked for, or all."""
    rows = _rows()
    asking = argparse.ArgumentParser(prog="bench.tunnel", description=__doc__)
    asking.add_argument("--only", nargs="+", choices=rows, default=tuple(rows), metavar="ROW")
    asking.add_argument("--quick", action="store_true", help="fewer repetitions")
    asked = asking.parse_args(words)
    mark_this_run()
    if shutil.which("autossh") is None:
        raise SystemExit("bench: there is no autossh: apt-get install autossh")
    broken: list[str] = []
    kept = print_table(_found({name: rows[name] for name in asked.only}, asked.quick, broken))
    for told in broken:
        print(told)
    return 0 if kept and not broken else 1


def _found(rows: Mapping[str, Row], quick: bool, broken: list[str]) -> Iterator[Figure]:
    """Each figure once it is there. What breaks is appended to ``broken``: the other rows are worth their minutes."""
    for name, row in rows.items():
        say(name)
        try:
            yield from row(quick)
        except (AssertionError, OSError) as error:
            broken.append(f"{name} broke: {error}")


def _rows() -> Mapping[str, Row]:
    """In the order of the table. ``bench.scale`` measures many targets at once."""
    rows: dict[str, Row] = {
        "throughput": tunnel_speed.throughput,
        "first_byte": tunnel_speed.first_byte,
        "round_trip": tunnel_speed.round_trip,
        "killed": tunnel_recovery.killed,
        "frozen": tunnel_recovery.frozen,
        "keepalives": tunnel_recovery.keepalives,
        "wake": tunnel_recovery.wake,
        "stall": tunnel_recovery.stall,
    }
    if importlib.util.find_spec("bench.scale") is not None:
        rows["scale"] = lambda quick: importlib.import_module("bench.scale").figures()
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
