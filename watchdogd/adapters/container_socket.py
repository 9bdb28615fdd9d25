"""The container engine's API, carried over the SSH link: a unix socket of the agent's own.

Each connection to the socket gets one ``docker system dial-stdio`` on the server, as a channel of the
present link, so the API needs no login of its own and ends with the link. Whoever may open the socket
is root on the server: mode 0600 in a 0700 folder. Why a connection failed is not told here (HTTP has
no place for it): the engine asks the server.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from watchdogd.errors import WatchdogdError
from watchdogd.ports import Clock, Deadline, Link, Stream

CHANNELS = 4
"""Connections at once: sshd allows 10 sessions on one link, and others need some."""
OPEN_SECONDS = 10.0
"""To open the channel and see the mark."""
LIFE_SECONDS = 240.0
"""The longest call is a restart that waits 30 s for the container to stop; no connection outlives this."""
ANSWER_LIMIT = 16 * 1024**2
"""Bytes from the server in one connection: it is not trusted to end."""
NOISE_LIMIT = 64 * 1024
"""Bytes that a login shell may print before the mark."""
END_SECONDS = 5.0
PATH_LIMIT = 100
"""Bytes of a unix socket's path: 108 on Linux, 104 on macOS, with the final zero."""
CHUNK = 32_768
REST_SECONDS = 0.2


class ContainerSocket:
    """Listens from construction until ``close``.

    ``folder``: is made 0700. ``current``: the present link; raises ``Transient`` if there is none.
    ``opening``, ``life``: seconds that a connection may take to reach the engine, and in all.
    Raises ``OSError`` if it cannot listen.
    """

    def __init__(
        self,
        folder: str,
        current: Callable[[], Link],
        clock: Clock,
        *,
        opening: float = OPEN_SECONDS,
        life: float = LIFE_SECONDS,
    ) -> None:
        self.current, self.clock = current, clock
        self.opening, self.life = opening, life
        self._bridges: set[_Bridge] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._own_folder = ""
        self.path = str(self._place(Path(folder)) / f"{secrets.token_hex(4)}.sock")
        """Where it listens."""
        self._listener = _listen(self.path)
        self._awake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="container-socket", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """For docker-py."""
        return f"unix://{self.path}"

    def open_channels(self) -> int:
        """Connections that are being served now."""
        with self._lock:
            return len(self._bridges)

    def close(self, deadline: Deadline | None = None) -> None:
        """Stop listening, end all connections and their threads. May be called twice."""
        end = deadline or Deadline.after(self.clock, END_SECONDS)
        self._closing = True
        self._wake()
        self._thread.join(end.remaining())
        for bridge in self._served():
            bridge.close()
        for bridge in self._served():
            bridge.join(end)
        for sock in (self._listener, self._awake, self._waker):
            sock.close()
        Path(self.path).unlink(missing_ok=True)
        if self._own_folder:
            shutil.rmtree(self._own_folder, ignore_errors=True)

    def _place(self, folder: Path) -> Path:
        """The folder, or a short one of our own if a socket's path would be too long in it."""
        if len(os.fsencode(folder)) + len("/01234567.sock") > PATH_LIMIT:
            self._own_folder = tempfile.mkdtemp(prefix="watchdogd-")
            return Path(self._own_folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        _sweep(folder)
        return folder

    def _serve(self) -> None:
        while not self._closing:
            ready = self._wait()
            if self._awake in ready:
                self._awake.recv(CHUNK)
            if self._listener in ready and not self._closing:
                self._accept()
            for bridge in self._served():
                if bridge.overdue(self.clock.run()):
                    bridge.close()

    def _wait(self) -> set[object]:
        """What can be read now; a client waits in the backlog while all channels are taken."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._awake, selectors.EVENT_READ)
            if self.open_channels() < CHANNELS:
                selector.register(self._listener, selectors.EVENT_READ)
            return {key.fileobj for key, _ in selector.select(self._patience())}

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # out of descriptors: the client stays there, so do not come back at once
            self.clock.wait(REST_SECONDS)
            return
        client.setblocking(True)
        bridge = _Bridge(client, self)
        with self._lock:
            self._bridges.add(bridge)
        bridge.start()

    def ended(self, bridge: _Bridge) -> None:
        """A connection is over; another may come."""
        with self._lock:
            self._bridges.discard(bridge)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # closed meanwhile
            self._waker.send(b".")

    def _served(self) -> tuple[_Bridge, ...]:
        with self._lock:
            return tuple(self._bridges)

    def _patience(self) -> float | None:
        """Seconds until the first connection is overdue; forever if there is none."""
        now = self.clock.run()
        return min((max(0.0, b.expires - now) + 0.01 for b in self._served()), default=None)


def _sweep(folder: Path) -> None:
    """Remove the sockets that a killed agent left behind: those on which nobody listens."""
    for path in folder.glob("*.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.setblocking(False)
            try:
                knock.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # busy, or not to be judged: it stays


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        Path(path).chmod(0o600)
        listener.listen(16)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class _Bridge:
    """One connection: two threads, ended together, because an HTTP client that closes is done.

    The engine closes after each answer; docker-py would keep its half open, so ours ends at once.
    """

    def __init__(self, client: socket.socket, owner: ContainerSocket) -> None:
        self._client, self._owner = client, owner
        self.expires = owner.clock.run() + owner.opening
        """``run`` clock: overdue after it."""
        self._marked = threading.Event()
        self._stream: Stream | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._down = threading.Thread(target=self._answer, name="container-answer", daemon=True)
        self._up = threading.Thread(target=self._ask, name="container-ask", daemon=True)

    def start(self) -> None:
        """Both threads run from now on."""
        self._up.start()
        self._down.start()

    def overdue(self, now: float) -> bool:
        """True if it must be closed from outside."""
        return now >= self.expires

    def join(self, deadline: Deadline) -> None:
        """Wait for both threads."""
        self._down.join(deadline.remaining())
        self._up.join(deadline.remaining())

    def close(self) -> None:
        """End both directions; from any thread, any number of times."""
        with self._lock:
            self._closed = True
            stream = self._stream
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
        if stream is not None:
            stream.close()
        self._marked.set()

    def _ask(self) -> None:
        """Client to server, once the server's side is known to be the bridge and nothing else."""
        self._marked.wait()
        try:
            while (data := self._client.recv(CHUNK)) and self._stream is not None:
                self._stream.sendall(data)
        except (OSError, EOFError):
            pass  # either side is gone; closing tells the other
        finally:
            self.close()

    def _answer(self) -> None:
        """Server to client; owns the channel and the end of the bridge."""
        try:
            if (opened := self._open()) is not None:
                self._carry(*opened)
        except (OSError, EOFError, WatchdogdError):
            pass  # the client sees its connection end; the engine asks the server why
        finally:
            self.close()
            self._up.join(END_SECONDS)
            self._client.close()
            self._owner.ended(self)

    def _open(self) -> tuple[Stream, bytes] | None:
        """The channel, opened and kept, with what came of the answer already."""
        mark = secrets.token_hex(16)
        link = self._owner.current()
        deadline = Deadline(self._owner.clock, self.expires)
        stream = link.stdio(dial_argv(mark), deadline)
        with self._lock:
            self._stream = stream
            closed = self._closed
        if closed:
            stream.close()
            return None
        begun = self._skip_to(mark, stream)
        return None if begun is None else (stream, begun)

    def _skip_to(self, mark: str, stream: Stream) -> bytes | None:
        """Drop what the login shell printed, the mark's line included; what follows it, if it came."""
        line, seen = f"{mark}\n".encode(), b""
        while line not in seen:
            data = stream.recv(CHUNK)
            seen += data
            if not data or len(seen) > NOISE_LIMIT:
                return None
        self.expires = self._owner.clock.run() + self._owner.life
        self._marked.set()
        return seen.partition(line)[2]

    def _carry(self, stream: Stream, begun: bytes) -> None:
        left = ANSWER_LIMIT - len(begun)
        self._client.sendall(begun)
        while left > 0 and (data := stream.recv(min(CHUNK, left))):
            left -= len(data)
            self._client.sendall(data)


def dial_argv(mark: str) -> tuple[str, ...]:
    """What runs on the server: print ``mark`` on a line of its own, then be the engine's API."""
    return ("sh", "-c", f"echo {mark}; exec docker system dial-stdio")
