"""The metrics port, asked over real loopback sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.ports import Deadline
from watchdogd.settings import Address
from watchdogd.web import Routes, WebServer
from watchdogd.web.routes import host_allowed
from watchdogd.web.server import MOST_THREADS

CLOCK = SystemClock()


@dataclass
class World:
    """What the answers are made from."""

    age: float = 1.0
    missing: list[str] = field(default_factory=list)
    gate: threading.Event | None = None

    def metrics(self, accept: str) -> tuple[bytes, str]:
        if self.gate:
            self.gate.wait()
        return b"metric 1\n", f"text/x-for; accept={accept}"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def server(world: World) -> Iterator[WebServer]:
    routes = Routes(
        metrics=world.metrics, round_age=lambda: world.age, unready=lambda: world.missing
    )
    made = WebServer(Address("127.0.0.1", 0), routes, CLOCK, ["Watch.Example"])
    made.start()
    yield made
    made.close(Deadline.after(CLOCK, 5.0))


def talk(server: WebServer, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """One connection: what was sent, and status, headers and body of the answer (0: none)."""
    with socket.create_connection((server.address.host, server.address.port), 10) as client:
        client.sendall(request)
        data = b""
        while piece := client.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]) if first else 0, headers, body


def await_requests(count: int) -> None:
    """Until so many connections have their thread."""
    limit = CLOCK.run() + 5
    while sum(thread.name.startswith("http-") for thread in threading.enumerate()) < count:
        assert CLOCK.run() < limit
        threading.Event().wait(0.01)


def request(path: str, method: str = "GET", host: str = "127.0.0.1:9788", extra: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode()


def test_metrics_carry_their_type_and_the_security_headers(server: WebServer) -> None:
    status, headers, body = talk(server, request("/metrics", extra="Accept: x\r\n"))
    assert (status, body) == (200, b"metric 1\n")
    assert headers["content-type"] == "text/x-for; accept=x"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert "python" not in headers.get("server", "").lower()


def test_head_has_the_length_and_no_body(server: WebServer) -> None:
    status, headers, body = talk(server, request("/metrics", "HEAD"))
    assert (status, headers["content-length"], body) == (200, "9", b"")


def test_livez_follows_the_age_of_the_last_round(server: WebServer, world: World) -> None:
    world.age = 60.0
    assert talk(server, request("/livez"))[0] == 200
    world.age = 60.1
    status, _, body = talk(server, request("/livez"))
    assert status == 503
    assert b"60 s ago" in body


def test_readyz_lists_what_is_missing(server: WebServer, world: World) -> None:
    assert talk(server, request("/readyz"))[0] == 200
    world.missing.append("target a100: no verdict yet")
    status, _, body = talk(server, request("/readyz"))
    assert (status, body) == (503, b"target a100: no verdict yet\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/livez2", "/../metrics", "/api/v1/status"])
def test_anything_else_is_not_there(server: WebServer, path: str) -> None:
    assert talk(server, request(path))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_only_get_and_head(server: WebServer, method: str) -> None:
    status, headers, _ = talk(server, request("/metrics", method))
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_host_is_turned_away_whatever_it_asks(server: WebServer, method: str) -> None:
    status, _, body = talk(server, request("/metrics", method, host="evil.example"))
    assert status == 421
    assert b"metric" not in body


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST:9788", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9", True),
        ("[::1]:9788", True),
        ("watch.example:9788", True),
        ("10.0.0.5:9788", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.1.2", False),
        ("[::2]", False),
    ],
)
def test_which_hosts_are_ours(host: str, allowed: bool) -> None:
    assert host_allowed(host, frozenset({"watch.example", "10.0.0.5"})) is allowed


def test_a_request_without_a_host_is_turned_away(server: WebServer) -> None:
    assert talk(server, b"GET /metrics HTTP/1.0\r\n\r\n")[0] == 421


def test_a_further_host_is_answered(server: WebServer) -> None:
    assert talk(server, request("/livez", host="watch.example"))[0] == 200


def test_a_head_beyond_8_kb_is_refused(server: WebServer) -> None:
    status, headers, _ = talk(server, request("/livez", extra="X: " + "y" * 8300 + "\r\n")[:8192])
    assert status == 431
    assert headers["x-content-type-options"] == "nosniff"


def test_garbage_gets_a_short_answer_that_echoes_nothing(server: WebServer) -> None:
    status, _, body = talk(server, b"token=secret is no request line at all\r\n\r\n")
    assert (status, body) == (400, b"")


def test_a_client_that_sends_nothing_is_let_go(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchdogd.web.server.SOCKET_SECONDS", 0.2)
    assert talk(server, b"GET /livez HTTP/1.1\r\n")[0] == 0


def test_a_client_that_drips_is_let_go_in_the_same_time(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchdogd.web.server.SOCKET_SECONDS", 0.3)
    begun = CLOCK.run()
    with socket.create_connection((server.address.host, server.address.port), 10) as client:
        client.settimeout(0.05)
        while CLOCK.run() - begun < 5:
            try:
                client.sendall(b"x")
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert CLOCK.run() - begun < 2


def test_at_most_16_at_once_and_the_next_is_closed(server: WebServer, world: World) -> None:
    world.gate = threading.Event()
    address = (server.address.host, server.address.port)
    clients: list[socket.socket] = []
    try:
        while len(clients) < MOST_THREADS:  # one by one: a full queue costs a client a second
            clients.append(socket.create_connection(address, 10))
            clients[-1].sendall(request("/metrics"))
            await_requests(len(clients))
        with socket.create_connection(address, 10) as one_more:
            assert one_more.recv(1) == b""
        world.gate.set()
        for client in clients:
            assert client.recv(15).startswith(b"HTTP/1.0 200")
    finally:
        world.gate.set()
        for client in clients:
            client.close()


def test_close_ends_a_request_that_is_under_way(world: World) -> None:
    world.gate = threading.Event()
    routes = Routes(metrics=world.metrics, round_age=lambda: 0.0, unready=list)
    server = WebServer(Address("127.0.0.1", 0), routes, CLOCK)
    server.start()
    with socket.create_connection((server.address.host, server.address.port), 10) as client:
        client.sendall(b"GET /metr")
        await_requests(1)
        server.close(Deadline.after(CLOCK, 5.0))
        assert client.recv(1) == b""


def test_a_taken_address_is_an_oserror(server: WebServer, world: World) -> None:
    routes = Routes(metrics=world.metrics, round_age=lambda: 0.0, unready=list)
    with pytest.raises(OSError, match="in use"):
        WebServer(server.address, routes, CLOCK)


@pytest.mark.parametrize("listed", ["Watch.Example:9788", "[fd00::7]:9788", "[fd00::7]"])
def test_a_listed_host_may_stand_there_with_its_port(world: World, listed: str) -> None:
    routes = Routes(metrics=world.metrics, round_age=lambda: 0.0, unready=tuple)
    made = WebServer(Address("127.0.0.1", 0), routes, CLOCK, [listed])
    made.start()
    try:
        assert talk(made, request("/metrics", host=listed.lower()))[0] == 200
    finally:
        made.close(Deadline.after(CLOCK, 5.0))
