"""``make soak``: the core for a million rounds, then the tunnel for half an hour with each engine.

``--rounds N`` or ``--minutes M`` alone runs only that half. Exit code 1 if either half failed.
"""

from __future__ import annotations

import argparse
import sys

from bench import soak_rounds, soak_tunnel


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, help="of the core (default: 1000000)")
    parser.add_argument("--minutes", type=float, help="of each engine's tunnel (default: 30)")
    wanted = parser.parse_args()
    both = wanted.rounds is None and wanted.minutes is None
    failed = 0
    if both or wanted.rounds is not None:
        failed |= soak_rounds.play(wanted.rounds or soak_rounds.ROUNDS)
    if both or wanted.minutes is not None:
        failed |= soak_tunnel.run(wanted.minutes or soak_tunnel.MINUTES)
    return failed


if __name__ == "__main__":
    sys.exit(main())
