"""The unix socket between the command line and the agent: one line of JSON in, one out.

Only the user who runs the agent can reach it (mode 0600 in a folder of mode 0700). It is also the
only way that a token leaves the agent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import selectors
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from watchdogd.adapters.clock import SystemClock
from watchdogd.errors import WatchdogdError
from watchdogd.ports import Clock, Deadline

Answer = Callable[[Mapping[str, object]], Mapping[str, object]]

_LARGEST_REQUEST = 16_384
_LARGEST_ANSWER = 8_388_608
_CLIENTS = 8
_CLIENT_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_log = logging.getLogger(__name__)


class NoAgent(WatchdogdError):
    """Nobody listens on the control socket."""


class NoAnswer(WatchdogdError):
    """An agent is there, but its answer did not come in time or makes no sense."""


class Occupied(WatchdogdError):
    """The socket cannot be made: another agent has it, or the place is not safe."""


def control_path(state_dir: str, environ: Mapping[str, str]) -> Path:
    """Where the agent of this state folder listens: below ``$XDG_RUNTIME_DIR`` if that is a folder,
    else in the state folder itself."""
    base = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base) and os.path.isdir(base):
        digest = hashlib.sha256(os.path.abspath(state_dir).encode("utf-8", "surrogateescape"))
        return Path(base) / "watchdogd" / digest.hexdigest()[:8] / "control.sock"
    return Path(state_dir) / "run" / "control.sock"


def control_paths(state_dir: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where to look for the agent: the caller's own place first, then those that an agent started
    from another environment (a service, a bare login) would have chosen."""
    runtime = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}
    places = [control_path(state_dir, each) for each in (environ, runtime, {})]
    return tuple(dict.fromkeys(places))


class ControlServer:
    """Answers on ``path`` from the moment it is made until ``close``.

    ``answer`` is called in the client's own thread (at most 8 at once) and must not block. Raises
    ``Occupied`` if another process answers there or the folder cannot be made private.
    """

    def __init__(
        self,
        path: Path | str,
        answer: Answer,
        clock: Clock | None = None,
        *,
        client_seconds: float = _CLIENT_SECONDS,
    ) -> None:
        self.path = Path(path)
        self._answer = answer
        self._clock = clock or SystemClock()
        self._client_seconds = client_seconds
        self._slots = threading.BoundedSemaphore(_CLIENTS)
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._closing = threading.Event()
        self._listener = _listen(self.path)
        self._wake, self._woken = socket.socketpair()
        self._inode = os.stat(self.path).st_ino
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def close(self, deadline: Deadline | None = None) -> None:
        """Stop listening, cut off clients, remove the socket. Ends by the deadline (2 s); twice is fine."""
        until = deadline or Deadline.after(self._clock, _CLOSE_SECONDS)
        self._closing.set()
        self._wake.close()
        self._thread.join(until.remaining())
        self._listener.close()
        with self._lock:
            clients = dict(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in clients.values():
            thread.join(until.remaining())
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == self._inode:
                self.path.unlink()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector, self._woken:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closing.is_set():
                selector.select()
                try:
                    client, _ = self._listener.accept()
                except BlockingIOError:
                    continue
                except OSError as error:
                    _log.warning("the control socket cannot accept: %s", error.strerror)
                    self._closing.wait(1.0)
                    continue
                client.setblocking(True)
                self._welcome(client)

    def _welcome(self, client: socket.socket) -> None:
        if self._closing.is_set() or not self._slots.acquire(blocking=False):
            client.close()
            return
        thread = threading.Thread(
            target=self._serve, args=(client,), name="control-client", daemon=True
        )
        with self._lock:
            self._clients[client] = thread
        try:
            thread.start()
        except RuntimeError:
            self._gone(client)

    def _serve(self, client: socket.socket) -> None:
        deadline = Deadline.after(self._clock, self._client_seconds)
        try:
            with contextlib.suppress(OSError):
                _send(client, self._reply(client, deadline), deadline)
        finally:
            self._gone(client)

    def _gone(self, client: socket.socket) -> None:
        client.close()
        with self._lock:
            self._clients.pop(client, None)
        self._slots.release()

    def _reply(self, client: socket.socket, deadline: Deadline) -> bytes:
        try:
            request = json.loads(_line(client, _LARGEST_REQUEST, deadline))
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            answer: Mapping[str, object] = {
                "error": {
                    "code": "bad_request",
                    "message": "one JSON object on one line is expected",
                }
            }
        else:
            answer = self._answer(request)
        return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def ask(path: Path | str, request: Mapping[str, object], timeout: float) -> dict[str, object]:
    """Ask the agent that listens on ``path``, within ``timeout`` seconds altogether.

    Raises ``NoAgent`` if none does, ``NoAnswer`` if what comes is late, too large or no JSON object.
    """
    deadline = Deadline.after(SystemClock(), timeout)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        try:
            client.connect(os.fspath(path))
        except (PermissionError, TimeoutError, BlockingIOError) as error:
            why = error.strerror or f"it took no question within {timeout:g} s"
            raise NoAnswer(f"the agent on {path} cannot be asked: {why}") from error
        except OSError as error:
            raise NoAgent(f"no agent listens on {path}") from error
        try:
            _send(client, json.dumps(request).encode() + b"\n", deadline)
            said = _line(client, _LARGEST_ANSWER, deadline)
            if not said:
                raise NoAnswer("the agent is busy with other questions; ask again")
            answer = json.loads(said)
        except TimeoutError as error:
            raise NoAnswer(f"the agent did not answer within {timeout:g} s") from error
        except (ValueError, RecursionError) as error:
            raise NoAnswer("the agent's answer makes no sense") from error
        except OSError as error:
            raise NoAnswer(f"the agent ended the connection ({error.strerror})") from error
    if not isinstance(answer, dict):
        raise NoAnswer("the agent's answer makes no sense")
    return answer


def _line(client: socket.socket, most: int, deadline: Deadline) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        left = deadline.remaining()
        if left <= 0:
            raise TimeoutError
        if len(data) > most:
            raise ValueError("the line is too long")
        client.settimeout(left)
        chunk = client.recv(65_536)
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _send(client: socket.socket, data: bytes, deadline: Deadline) -> None:
    client.settimeout(max(0.001, deadline.remaining()))
    client.sendall(data)


def _listen(path: Path) -> socket.socket:
    try:
        _private_folder(path.parent)
        _clear(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise Occupied(f"{path} cannot be used: {error.strerror or error}") from error
    try:
        # The folder is private already, so nobody gets in between bind and chmod.
        listener.bind(os.fspath(path))
        os.chmod(path, 0o600)
        listener.listen(_CLIENTS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        why = error.strerror or f"{error} (a shorter state_dir or $XDG_RUNTIME_DIR helps)"
        raise Occupied(f"{path} cannot be used: {why}") from error
    return listener


def _private_folder(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Occupied(f"{folder} is not a folder of your own")
    if found.st_mode & 0o077:
        os.chmod(folder, 0o700)


def _clear(path: Path) -> None:
    """Removes the socket that a killed agent left behind, and nothing else."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise Occupied(f"{path} is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(1.0)
        try:
            knock.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise Occupied(f"another agent answers on {path}")
