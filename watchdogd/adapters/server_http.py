"""The same ``GET``, executed on the server: the second of the two vantages.

Implements ``ports.HttpGet`` over ``Link.run`` with whatever the server has, ``curl`` or ``python3``.
The token travels on stdin only: never in an argv, an environment or a URL. What comes back is framed
between two random marks (a login shell may print), cut by size, and read by the same parser as an
answer through the forward.
"""

from __future__ import annotations

import io
import re
import secrets
from collections.abc import Callable, Sequence

from watchdogd.adapters.http import WIRE_LIMIT, header_token, host_header, read_answer
from watchdogd.ports import Clock, Deadline, EngineRefused, HttpAnswer, HttpEnd, Link
from watchdogd.settings import Address, Secret

_PYTHON = """
import socket, sys, time
host, port, path, name, seconds, limit = sys.argv[1:]
token, end, left = sys.stdin.readline().strip(), time.monotonic() + float(seconds), int(limit)
lines = ["GET " + path + " HTTP/1.1", "Host: " + name, "Accept: application/json",
         "User-Agent: watchdogd", "Connection: close"]
if token:
    lines.append("Authorization: token " + token)
got = False
def wait():
    return max(0.001, end - time.monotonic())
try:
    peer = socket.create_connection((host, int(port)), wait())
except socket.timeout:
    sys.exit(28)
except OSError:
    sys.exit(7)
try:
    peer.settimeout(wait())
    peer.sendall(("\\r\\n".join(lines) + "\\r\\n\\r\\n").encode())
    while left > 0 and time.monotonic() < end:
        peer.settimeout(wait())
        data = peer.recv(min(65536, left))
        if not data:
            sys.exit(0 if got else 52)
        got, left = True, left - len(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    sys.exit(28 if left > 0 else 0)
except socket.timeout:
    sys.exit(28)
except OSError:
    sys.exit(56)
"""

_SHELL = """
mark=$1 host=$2 port=$3 path=$4 name=$5 seconds=$6 limit=$7 python=$8 url=$9
IFS= read -r token || :
IFS= read -r quoted || :
with_curl() {
  { if [ -n "$token" ]; then printf 'header = "Authorization: token %s"\\n' "$quoted"; fi; } |
    curl -q -K - -s -g -i --raw --http1.1 --noproxy '*' --proto =http -m "$seconds" \\
      -A watchdogd -H "Host: $name" -H 'Accept: application/json' -H 'Connection: close' "$url"
}
with_python() {
  printf '%s\\n' "$token" | python3 -c "$python" "$host" "$port" "$path" "$name" "$seconds" "$limit"
}
if command -v curl >/dev/null 2>&1; then ask=with_curl
elif command -v python3 >/dev/null 2>&1; then ask=with_python
else printf '\\n%s\\n\\n%s none\\n' "$mark" "$mark"; exit 0
fi
printf '\\n%s\\n' "$mark"
exec 4>&1
code=$( { { "$ask" 2>/dev/null; echo "$?" >&3; } | head -c "$limit" >&4; } 3>&1 )
printf '\\n%s %s\\n' "$mark" "$code"
"""

_REFUSED = frozenset({5, 6, 7})
_CLOSED = frozenset({0, 18, 23, 27, 52, 55, 56, 100})
_SILENT = frozenset({28})
_NOT_HTTP = frozenset({1, 8, 43})
_MARGIN = 1.0
"""Seconds kept back for the way there and the answer's way home."""


class ServerHttp:
    """Callable as ``ports.HttpGet``.

    Raises ``EngineRefused`` if the server has neither program or its shell answers garbage, and
    ``Transient`` as ``Link.run`` does; what the asked service does is an ``HttpAnswer``.
    """

    def __init__(self, current: Callable[[], Link], clock: Clock) -> None:
        self._current = current
        self._clock = clock

    def __call__(
        self, address: Address, path: str, *, token: Secret | None, deadline: Deadline
    ) -> HttpAnswer:
        mark = f"watchdogd-{secrets.token_hex(8)}"
        left = deadline.remaining()
        seconds = max(0.5, left - min(_MARGIN, left / 4))
        text = "" if token is None else header_token(token)
        done = self._current().run(
            server_argv(mark, address, path, seconds),
            deadline=deadline,
            stdin=server_stdin(text),
            limit=WIRE_LIMIT + 8192,
        )
        return read_framed(done.stdout, mark)


def server_stdin(token: str) -> bytes:
    """The token as it is, then as a quoted word of curl's configuration; a line each."""
    quoted = token.replace("\\", "\\\\").replace('"', '\\"')
    return f"{token}\n{quoted}\n".encode("ascii")


def server_argv(mark: str, address: Address, path: str, seconds: float) -> Sequence[str]:
    """The command for the server. Nothing in it is secret or came from the server."""
    name, url = host_header(address), f"http://{address}{path}"
    limit, wait = str(WIRE_LIMIT), f"{seconds:.2f}"
    port = str(address.port)
    return (
        "sh",
        "-c",
        _SHELL,
        "sh",
        mark,
        address.host,
        port,
        path,
        name,
        wait,
        limit,
        _PYTHON,
        url,
    )


def read_framed(printed: bytes, mark: str) -> HttpAnswer:
    """The answer between the two marks. A whole answer counts whatever the program's status says."""
    start = f"\n{mark}\n".encode()
    found = re.search(rb"\n" + re.escape(mark.encode()) + rb" ([a-z0-9]{1,8})\n\s*\Z", printed)
    begin = printed.find(start)
    if begin < 0 or found is None:
        raise EngineRefused("the server's shell answered something else than was asked of it")
    wire, code = printed[begin + len(start) : found.start()], found.group(1).decode()
    if code == "none":
        raise EngineRefused(
            "neither curl nor python3 is installed on the server, so the runtime cannot be asked there",
            mend="sudo apt-get install curl",
        )
    answer = read_answer(io.BytesIO(wire))
    if answer.end is HttpEnd.ANSWERED and wire and not _cut_short(answer, code):
        return answer
    return HttpAnswer(end=_end(code))


def _cut_short(answer: HttpAnswer, code: str) -> bool:
    """A body that only the end of the connection delimits, when it was our time that ended."""
    sized = "content-length" in answer.headers or "transfer-encoding" in answer.headers
    return not sized and code.isdigit() and int(code) in _SILENT


def _end(code: str) -> HttpEnd:
    number = int(code) if code.isdigit() else -1
    if number in _REFUSED:
        return HttpEnd.REFUSED
    if number in _SILENT:
        return HttpEnd.SILENT
    if number in _CLOSED:
        return HttpEnd.CLOSED
    if number in _NOT_HTTP:
        return HttpEnd.ANSWERED
    raise EngineRefused(f"the program that asks on the server ended with status {code}")
