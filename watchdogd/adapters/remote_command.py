"""A command line for the server's login shell, from an argv. Pure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

_BOUNDED_COMMAND = (
    "seconds=$1; shift; if command -v timeout >/dev/null 2>&1; "
    'then exec timeout -k 5 "$seconds" "$@"; fi; exec "$@"'
)


def remote_command(argv: Sequence[str], seconds: float) -> str:
    """The command line for the server's login shell: ``argv``, ended there after ``seconds`` too.

    Closing a channel ends no command, so the far side keeps the time itself where it can.
    """
    whole = str(max(1, math.ceil(seconds)))
    return shlex.join(["exec", "sh", "-c", _BOUNDED_COMMAND, "sh", whole, *argv])
