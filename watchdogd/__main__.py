"""``python -m watchdogd`` and the installed command."""

from __future__ import annotations

import sys

from watchdogd.cli import run


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
