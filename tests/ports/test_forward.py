"""What a forward promises: the real listener on a fake link and on a real sshd.

The first class also runs on the fake forward, as far as that one goes.
"""

from __future__ import annotations

import http.client
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes_ssh import FakeEngine, FakeForward, FakeLink, SocketStream
from tests.lab.engines import KEEPALIVE, MAKERS
from tests.lab.sshd import Sshd
from tests.lab.tcp_server import TcpServer, answer_http, echo, echo_after_end
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.forward import ListeningForward
from watchdogd.core.events import Event, LinkLost, LinkSilent, LinkUp
from watchdogd.errors import ConfigError, Transient
from watchdogd.links import TargetLinks
from watchdogd.ports import OWN_ANSWER_HEADER, Deadline, Forward, Link, SshEngine
from watchdogd.settings import Address, SshSettings

CLOCK = SystemClock()
ANY_PORT = Address("127.0.0.1", 0)


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


class Quiet:
    """News that nobody listens to."""

    def silent(self) -> None: ...

    def speaking(self) -> None: ...

    def lost(self, detail: str) -> None: ...


def new_link() -> FakeLink:
    return FakeEngine(CLOCK).dial(soon(), Quiet())


def await_true(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "did not come true"
        threading.Event().wait(0.005)


def get(address: Address, seconds: float = 15.0) -> http.client.HTTPResponse:
    """One request through the forward; the answer's body is in ``body``."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=seconds)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        return answer
    finally:
        connection.close()


class TestAnyForward:
    """Bookkeeping that needs no client."""

    @pytest.fixture(params=["listening", "fake"])
    def forward(self, request: pytest.FixtureRequest) -> Iterator[Forward]:
        made: Forward = FakeForward()
        if request.param == "listening":
            made = ListeningForward(ANY_PORT, Address("127.0.0.1", 9), 1.0, CLOCK)
        yield made
        made.close(soon())

    def test_bind_may_be_repeated(self, forward: Forward) -> None:
        assert not forward.facts().bound
        forward.bind()
        forward.bind()
        assert forward.facts().bound

    def test_use_returns_the_link_it_replaces(self, forward: Forward) -> None:
        first, second = new_link(), new_link()
        assert forward.use(first) is None
        assert forward.use(second) is first
        forward.drop(first)
        assert forward.use(None) is second

    def test_drop_takes_only_that_link(self, forward: Forward) -> None:
        first = new_link()
        forward.use(first)
        forward.drop(first)
        assert forward.use(None) is None

    def test_close_unbinds(self, forward: Forward) -> None:
        forward.bind()
        forward.close(soon())
        assert not forward.facts().bound


class Bench:
    """A bound forward before a far server."""

    def __init__(self, handler: Callable[[socket.socket], None], hold: float = 5.0) -> None:
        self.far = TcpServer(handler)
        self.forward = ListeningForward(ANY_PORT, self.far.address, hold, CLOCK, name="test")
        self.forward.bind()

    def connect(self) -> socket.socket:
        address = self.forward.address
        client = socket.create_connection((address.host, address.port), 5)
        client.settimeout(15)
        return client

    def close(self) -> None:
        self.forward.close(soon())
        self.far.close()


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(*getattr(request, "param", (answer_http,)))
    yield made
    made.close()


def with_far(*arguments: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", [arguments], indirect=True)


class TestPort:
    def test_only_loopback(self) -> None:
        for host in ("0.0.0.0", "192.0.2.1", "::", "localhost", ""):
            with pytest.raises(ConfigError):
                ListeningForward(Address(host, 0), Address("127.0.0.1", 9), 1.0, CLOCK)

    def test_ipv6_loopback(self) -> None:
        with TcpServer(answer_http) as far:
            forward = ListeningForward(Address("::1", 0), far.address, 1.0, CLOCK)
            try:
                forward.bind()
                forward.use(new_link())
                assert get(forward.address).status == 200
            finally:
                forward.close(soon())

    def test_a_foreign_holder_is_named_and_left_alone(self) -> None:
        script = (
            "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
            "print(s.getsockname()[1], flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            port = int(holder.stdout.readline())
            forward = ListeningForward(
                Address("127.0.0.1", port), Address("127.0.0.1", 9), 1.0, CLOCK
            )
            with pytest.raises(Transient, match=f"pid {holder.pid}"):
                forward.bind()
            assert f"pid {holder.pid}" in forward.facts().holder
            assert not forward.facts().bound
            assert holder.poll() is None
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait(5)
        forward.bind()
        assert forward.facts().bound
        assert forward.facts().holder == ""
        forward.close(soon())

    def test_the_port_is_free_after_the_close(self, bench: Bench) -> None:
        address = bench.forward.address
        begun = time.monotonic()
        bench.forward.close(soon(5))
        assert time.monotonic() - begun < 5
        socket.create_server((address.host, address.port)).close()

    def test_close_ends_clients(self, bench: Bench) -> None:
        link = new_link()
        bench.forward.use(link)
        with bench.connect() as client:
            await_true(lambda: bench.forward.clients_of(link, opening=False) == 1)
            bench.forward.close(soon(5))
            with pytest.raises(ConnectionResetError):
                client.recv(1)

    def test_close_ends_waiting_clients(self, bench: Bench) -> None:
        with bench.connect() as client:
            bench.forward.close(soon(5))
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""


class TestClients:
    def test_bytes_and_clients_are_counted_by_link(self, bench: Bench) -> None:
        link, other = new_link(), new_link()
        bench.forward.use(link)
        with bench.connect() as client:
            await_true(lambda: bench.forward.clients_of(link, opening=False) == 1)
            assert bench.forward.clients_of(other, opening=True) == 0
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        await_true(lambda: bench.forward.facts().open_connections == 0)
        assert bench.forward.clients_of(link, opening=False) == 0
        facts = bench.forward.facts()
        assert facts.sent_bytes == 18
        assert facts.received_bytes > 18

    def test_who_is_about_to_ride_is_counted_apart(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link, may_open = new_link(), threading.Event()
        opens = link.open

        def slow(to: Address, deadline: Deadline, first: bytes = b"") -> SocketStream:
            assert may_open.wait(20)
            return opens(to, deadline, first)

        monkeypatch.setattr(link, "open", slow)
        bench.forward.use(link)
        with bench.connect():
            await_true(lambda: bench.forward.clients_of(link, opening=True) == 1)
            assert bench.forward.clients_of(link, opening=False) == 0
            may_open.set()
            await_true(lambda: bench.forward.clients_of(link, opening=False) == 1)
            assert bench.forward.clients_of(link, opening=True) == 1

    def test_who_is_counted_too_late_goes_over_the_next_link(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The link is replaced, and its clients are counted, just before this one is."""
        former, following = new_link(), new_link()
        bench.forward.use(former)
        present = bench.forward._slot.present

        def late() -> Link | None:
            if "-client-" not in threading.current_thread().name:
                return present()  # the listener asks as well
            monkeypatch.setattr(bench.forward._slot, "present", present)
            bench.forward.use(following)
            return former

        monkeypatch.setattr(bench.forward._slot, "present", late)
        with bench.connect():
            await_true(lambda: bench.forward.clients_of(following, opening=False) == 1)
        assert former.opened == 0

    def test_who_was_not_let_in_is_counted_no_more(self, bench: Bench) -> None:
        link = new_link()
        bench.forward.use(link)
        bench.far.close()
        assert get(bench.forward.address).status == 503
        assert bench.forward.clients_of(link, opening=True) == 0

    @with_far(echo_after_end)
    def test_half_close(self, bench: Bench) -> None:
        bench.forward.use(new_link())
        with bench.connect() as client:
            client.sendall(b"all of it")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"all of it"
            assert client.recv(100) == b""

    def test_clients_wait_for_a_link(self, bench: Bench) -> None:
        answers: queue.Queue[int] = queue.Queue()
        threads = [
            threading.Thread(
                target=lambda: answers.put(get(bench.forward.address).status), name="test-get"
            )
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        with pytest.raises(queue.Empty):
            answers.get(timeout=0.4)
        bench.forward.use(new_link())
        for thread in threads:
            thread.join(5)
        assert [answers.get(timeout=1) for _ in threads] == [200] * 5

    @with_far(answer_http, 0.3)
    def test_after_the_hold_a_client_is_told_why(self, bench: Bench) -> None:
        bench.forward.answer("watchdogd: no SSH link to a100 (sshd_down)", 7.0)
        begun = time.monotonic()
        answer = get(bench.forward.address)
        assert time.monotonic() - begun < 2
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "7"
        assert answer.headers[OWN_ANSWER_HEADER]
        assert b"a100 (sshd_down)" in answer.body  # type: ignore[attr-defined]

    @with_far(answer_http, 0.2)
    def test_after_the_hold_others_are_reset(self, bench: Bench) -> None:
        with bench.connect() as client:
            client.sendall(b"\x16\x03\x01\n")
            with pytest.raises(ConnectionResetError):
                client.recv(1)

    @with_far(answer_http, 0.2)
    def test_while_a_dial_runs_they_wait_for_its_end(self, bench: Bench) -> None:
        bench.forward.dialing(True)
        with bench.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            client.settimeout(0.8)
            with pytest.raises(TimeoutError):
                client.recv(1)
            bench.forward.dialing(False)
            client.settimeout(5)
            assert client.recv(20).startswith(b"HTTP/1.1 503")

    def test_the_hold_counts_from_the_loss(self, bench: Bench) -> None:
        link = new_link()
        bench.forward.use(link)
        bench.forward.drop(link)
        with bench.connect() as client:
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(1)

    def test_a_refusing_runtime_is_told_at_once(self, bench: Bench) -> None:
        bench.forward.use(new_link())
        bench.far.close()
        answer = get(bench.forward.address)
        assert answer.status == 503
        assert answer.headers[OWN_ANSWER_HEADER] == "runtime_refused"

    def test_a_request_over_a_dead_link_goes_over_the_next(self, bench: Bench) -> None:
        dead = new_link()
        bench.forward.use(dead)
        dead.closed = True
        threading.Timer(0.3, lambda: bench.forward.use(new_link())).start()
        assert get(bench.forward.address).status == 200

    @with_far(echo)
    def test_a_client_that_left_while_it_waited_opens_nothing(self, bench: Bench) -> None:
        gone = bench.connect()
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        bench.connect().close()
        link = new_link()
        bench.forward.use(link)
        with bench.connect() as client:
            client.sendall(b"here")
            assert client.recv(10) == b"here"
        assert link.opened == 1


class Redialer:
    """Plays the core: a lost or silent link is dialed again at once."""

    def __init__(self, links: TargetLinks, events: queue.Queue[Event]) -> None:
        self._links = links
        self._events = events
        self._stopped = threading.Event()
        self.seen: list[Event] = []
        self._thread = threading.Thread(target=self._run, name="test-redial")
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Empty):
                event = self._events.get(timeout=0.05)
                self.seen.append(event)
                if isinstance(event, LinkLost | LinkSilent):
                    self._links.dial(event.number + 1, soon(30))

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(35)


class Polling:
    """A client that asks 50 times a second, each time on a new connection, and books the answers."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stopped = threading.Event()
        self.good = 0
        self.cut = 0
        self.refused: list[str] = []
        self.longest_gap = 0.0
        self._thread = threading.Thread(target=self._run, name="test-poll")
        self._thread.start()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(0.02):
            try:
                status = get(self._address).status
            except ConnectionRefusedError as error:
                self.refused.append(repr(error))
            except (OSError, http.client.HTTPException):
                self.cut += 1
            else:
                if status != 200:
                    self.refused.append(f"status {status}")
                self.good += 1
                self.longest_gap = max(self.longest_gap, time.monotonic() - last)
                last = time.monotonic()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(20)


@pytest.mark.real
class TestOverSshd:
    make: Callable[[SshSettings, Path], SshEngine]
    folder: Path

    @pytest.fixture(autouse=True, params=list(MAKERS))
    def over(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        """Each test with each engine."""
        self.make, self.folder = MAKERS[request.param], tmp_path

    @pytest.fixture
    def server(self) -> Iterator[Sshd]:
        with Sshd() as made:
            yield made

    @pytest.fixture
    def far(self) -> Iterator[TcpServer]:
        with TcpServer(answer_http) as made:
            yield made

    def links(
        self, server: Sshd, far: TcpServer
    ) -> tuple[TargetLinks, ListeningForward, queue.Queue[Event]]:
        events: queue.Queue[Event] = queue.Queue()
        engine = self.make(server.settings(), self.folder)
        forward = ListeningForward(ANY_PORT, far.address, 10.0, CLOCK)
        links = TargetLinks(engine, forward, CLOCK, events.put)
        links.bind()
        return links, forward, events

    def test_a_killed_link_twelve_times_refuses_nobody(
        self, server: Sshd, far: TcpServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        links, forward, events = self.links(server, far)
        redialer = Redialer(links, events)
        links.dial(1, soon(30))
        address = forward.address
        client = Polling(address)
        try:
            for count in range(12):
                await_true(
                    lambda n=count: client.good > 10 * n and _ups(redialer) > n,  # type: ignore[misc]
                    20,
                )
                assert server.kill_sessions()
            await_true(lambda: _ups(redialer) == 13, 10)
            goal = client.good + 10
            await_true(lambda: client.good > goal, 10)
        finally:
            client.stop()
            redialer.stop()
            links.close(soon())
        assert client.refused == []
        assert client.cut <= 12  # at most the one in flight, each time
        assert forward.address.port in (0, address.port)
        with capsys.disabled():
            print(f" [{client.good} answers, {client.cut} cut, gap {client.longest_gap:.2f} s]")  # noqa: T201

    def test_a_frozen_link_is_replaced_beside_and_its_stream_survives(self, server: Sshd) -> None:
        with TcpServer(echo) as far:
            links, forward, events = self.links(server, far)
            redialer = Redialer(links, events)
            links.dial(1, soon(30))
            try:
                old = socket.create_connection((forward.address.host, forward.address.port), 5)
                old.settimeout(10)
                old.sendall(b"before")
                assert old.recv(10) == b"before"
                frozen = server.session_pids()
                server.kill_sessions(signal.SIGSTOP)
                begun = time.monotonic()
                await_true(lambda: _ups(redialer) == 2, 10)
                assert time.monotonic() - begun < 2 * KEEPALIVE + 0.25 + 2
                new = socket.create_connection((forward.address.host, forward.address.port), 5)
                new.settimeout(10)
                new.sendall(b"over the new one")
                assert new.recv(100) == b"over the new one"
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
                old.sendall(b"after")
                assert old.recv(10) == b"after"
                old.close()
                new.close()
                links.close_link(1, 5)
                await_true(lambda: not set(frozen) & set(server.session_pids()))
            finally:
                redialer.stop()
                links.close(soon())

    def test_a_forbidden_forward_is_named(self, far: TcpServer) -> None:
        with Sshd({"AllowTcpForwarding": "no"}) as server:
            links, forward, _ = self.links(server, far)
            links.dial(1, soon(30))
            answer = get(forward.address)
            links.close(soon())
        assert answer.status == 503
        assert answer.headers[OWN_ANSWER_HEADER] == "forward_denied"

    def test_reconnect_and_reopen_prove_themselves(self, server: Sshd, far: TcpServer) -> None:
        links, forward, _ = self.links(server, far)
        links.dial(1, soon(30))
        links.reconnect(soon(30))
        assert links.status().number == 2
        links.reopen(soon())
        assert get(forward.address).status == 200
        links.close(soon())


def _ups(redialer: Redialer) -> int:
    return sum(isinstance(event, LinkUp) for event in redialer.seen)
