"""Our token on the server: written before a runtime of ours starts, so that its address stays good.

Used by every remedy that makes a runtime. It is no remedy by itself.
"""

from __future__ import annotations

import re
import secrets

from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Deadline, HttpEnd, Reach

_PATH = re.compile(r"/[^\x00-\x1f\x7f]{1,1000}")

# $1 = mark, $2 = target, $3 = length of the token that stands on stdin. A length that differs means a
# cut stream; an empty file would switch the runtime's authentication off.
_WRITE = """
umask 077
folder=${HOME:?}/.watchdogd/$2
mkdir -p "$folder" || exit 1
cat >"$folder/token.new" || exit 1
[ "$(wc -c <"$folder/token.new")" -eq "$3" ] || { rm -f "$folder/token.new"; exit 1; }
[ -d "$folder/token" ] && { echo "$folder/token is a directory" >&2; exit 1; }
mv "$folder/token.new" "$folder/token" || exit 1
printf '\\n%s %s\\n' "$1" "$folder/token"
"""


def pin_token(reach: Reach, deadline: Deadline) -> str:
    """Write the pinned token to ``~/.watchdogd/TARGET/token`` on the server (mode 0600, renamed into
    place) and use it from now on.

    Returns the file's absolute path there. The token goes over stdin, without a newline, because a
    runtime would take that for a part of it. Raises as ``Link.run`` and ``Tokens``, and
    ``Transient(RUNTIME_AUTH)`` if the file could not be written.
    """
    token, mark = reach.tokens.pinned(), f"watchdogd-{secrets.token_hex(8)}"
    data = token.reveal().encode("ascii")
    name = reach.target.name
    done = reach.links.current().run(
        ["sh", "-c", _WRITE, "sh", mark, name, str(len(data))],
        deadline=deadline,
        stdin=data,
        limit=16_384,
    )
    path = _path(done.stdout.decode("utf-8", "replace"), mark, name)
    if done.status != 0 or path is None:
        words = done.stderr[:200].decode("utf-8", "replace").strip()
        raise Transient(
            Cause.RUNTIME_AUTH,
            f"the token file could not be written on the server: {words or 'no reason given'}",
        )
    reach.tokens.learn(token)
    return path


def authentication_is_off(reach: Reach, deadline: Deadline) -> bool:
    """True if the runtime, asked on the server, answers without a token what needs one."""
    address = reach.target.forward.remote
    answer = reach.ask_on_server(address, "/api/status", token=None, deadline=deadline)
    return answer.end is HttpEnd.ANSWERED and answer.status == 200 and bool(answer.body)


def _path(printed: str, mark: str, target: str) -> str | None:
    """The path that the script printed after its mark, if it is the one that was meant."""
    for line in printed.splitlines():
        words = line.partition(" ")
        if words[0] == mark and _PATH.fullmatch(words[2]):
            return words[2] if words[2].endswith(f"/.watchdogd/{target}/token") else None
    return None
