"""``ports.HttpGet``: the same tests on the local client and on the one that asks on the server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.local_link import LocalLink
from tests.lab.loopback_server import (
    LoopbackServer,
    answers,
    dribbles,
    ends,
    floods,
    hangs,
    http_answer,
    resets,
)
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.http import BODY_LIMIT, get
from watchdogd.adapters.server_http import ServerHttp
from watchdogd.ports import OWN_ANSWER_HEADER, Deadline, EngineRefused, HttpEnd, HttpGet
from watchdogd.settings import Address, Secret

pytestmark = pytest.mark.real

CLOCK = SystemClock()
TOKEN = Secret("0123456789abcdef" * 3)


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


def path_with(folder: Path, *names: str) -> str:
    """A folder with only these programs, to be the whole ``PATH``."""
    folder.mkdir()
    for name in names:
        found = sys.executable if name == "python3" else shutil.which(name)
        assert found is not None
        (folder / name).write_text(f'#!/bin/sh\nexec {found} "$@"\n')
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.fixture(params=["local", "server-curl", "server-python"])
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> HttpGet:
    if request.param == "local":
        return get
    program = "curl" if request.param == "server-curl" else "python3"
    if program == "curl" and shutil.which("curl") is None:
        pytest.skip("not installed: curl")
    hostile = {
        "PATH": path_with(tmp_path / "bin", "sh", "head", program),
        "HOME": str(tmp_path),
        "http_proxy": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
    }
    (tmp_path / ".curlrc").write_text("location\nurl = http://127.0.0.1:1/\n")
    (tmp_path / ".netrc").write_text("default login somebody password secret\n")
    link = LocalLink(hostile)
    return ServerHttp(lambda: link, CLOCK)


class TestHttpGet:
    def test_a_json_answer_is_kept(self, ask: HttpGet) -> None:
        with LoopbackServer(answers(http_answer("200 OK", b'{"version": "2"}'))) as server:
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert (found.end, found.status, found.ours) == (HttpEnd.ANSWERED, 200, False)
        assert json.loads(found.body) == {"version": "2"}
        assert found.headers["content-type"] == "application/json"

    def test_the_request_carries_the_token_in_its_header_and_nothing_of_the_environment(
        self, ask: HttpGet
    ) -> None:
        with LoopbackServer(answers(http_answer("200 OK", b"{}"))) as server:
            ask(server.address, "/api/status", token=TOKEN, deadline=soon())
        (head,) = server.heads
        lines = head.decode().split("\r\n")
        assert lines[0] == "GET /api/status HTTP/1.1"
        assert f"Authorization: token {TOKEN.reveal()}" in lines
        assert f"Host: 127.0.0.1:{server.address.port}" in lines
        assert head.lower().count(b"authorization") == 1
        assert b"cookie" not in head.lower()

    def test_no_token_means_no_header(self, ask: HttpGet) -> None:
        with LoopbackServer(answers(http_answer("200 OK", b"{}"))) as server:
            ask(server.address, "/api", token=None, deadline=soon())
        assert b"authorization" not in server.heads[0].lower()

    def test_nobody_there_is_refused(self, ask: HttpGet, free_port: int) -> None:
        found = ask(Address("127.0.0.1", free_port), "/api", token=None, deadline=soon())
        assert found.end is HttpEnd.REFUSED

    @pytest.mark.parametrize("behaviour", [resets, ends])
    def test_an_end_without_an_answer_is_closed(self, ask: HttpGet, behaviour: object) -> None:
        with LoopbackServer(behaviour) as server:  # type: ignore[arg-type]
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert found.end is HttpEnd.CLOSED

    def test_half_an_answer_is_closed(self, ask: HttpGet) -> None:
        wire = http_answer("200 OK", b'{"version": "2"}')[:-4]
        with LoopbackServer(answers(wire)) as server:
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert found.end is HttpEnd.CLOSED

    def test_silence_ends_with_the_deadline(self, ask: HttpGet) -> None:
        begun = time.monotonic()
        with LoopbackServer(hangs) as server:
            found = ask(server.address, "/api", token=None, deadline=soon(1.0))
            took = time.monotonic() - begun
        assert found.end is HttpEnd.SILENT
        assert took < 3

    @pytest.mark.parametrize("body", [True, False])
    def test_dribbling_does_not_extend_the_deadline(self, ask: HttpGet, body: bool) -> None:
        end = b"\r\n\r\n" if body else b"\r\nX-Long: "
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json" + end
        wire = head + b'{"version": "' + b"2" * 1000
        begun = time.monotonic()
        with LoopbackServer(dribbles(wire, 0.02)) as server:
            found = ask(server.address, "/api", token=None, deadline=soon(1.0))
            took = time.monotonic() - begun
        assert found.end is HttpEnd.SILENT
        assert took < 3

    def test_a_server_that_never_ends_its_side_is_still_answered(self, ask: HttpGet) -> None:
        wire = http_answer("200 OK", b'{"version": "2"}')

        def keeps_open(peer: socket.socket, server: LoopbackServer) -> None:
            answers(wire)(peer, server)
            server.over.wait(30)

        with LoopbackServer(keeps_open) as server:
            found = ask(server.address, "/api", token=None, deadline=soon(2))
        assert (found.end, found.status) == (HttpEnd.ANSWERED, 200)
        assert found.body == b'{"version": "2"}'

    def test_a_redirect_is_not_followed(self, ask: HttpGet) -> None:
        with LoopbackServer(answers(http_answer("200 OK", b"{}"))) as other:
            where = f"Location: http://{other.address}/stolen\r\n"
            with LoopbackServer(answers(http_answer("302 Found", extra=where))) as server:
                found = ask(server.address, "/api/status", token=TOKEN, deadline=soon())
        assert found.status == 302
        assert other.heads == []

    def test_a_body_that_is_not_json_is_dropped(self, ask: HttpGet) -> None:
        page = f'data-jupyter-api-token="{TOKEN.reveal()}"'.encode()
        wire = http_answer("404 Not Found", page, media="text/html; charset=UTF-8")
        with LoopbackServer(answers(wire)) as server:
            found = ask(server.address, "/nope", token=TOKEN, deadline=soon())
        assert (found.status, found.body) == (404, b"")
        assert TOKEN.reveal() not in repr(found)

    @pytest.mark.parametrize("sized", ["", "Content-Length: 99999999999\r\n"])
    def test_a_huge_body_is_cut(self, ask: HttpGet, sized: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{sized}\r\n".encode()
        with LoopbackServer(floods(head, b"[" * 65536)) as server:
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert (found.end, found.status) == (HttpEnd.ANSWERED, 200)
        assert len(found.body) == BODY_LIMIT

    def test_a_cut_or_endless_head_is_no_answer(self, ask: HttpGet) -> None:
        with LoopbackServer(
            floods(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 60000 + b"\r\n")
        ) as server:
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert (found.end, found.status) == (HttpEnd.CLOSED, 0)
        with LoopbackServer(answers(b"HTTP/1.1 200 OK\r\nContent-Type: appl")) as server:
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert (found.end, found.status) == (HttpEnd.CLOSED, 0)

    def test_an_empty_chunked_answer_is_an_answer(self, ask: HttpGet) -> None:
        wire = b"HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        with LoopbackServer(answers(wire)) as server:
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert (found.end, found.status, found.body) == (HttpEnd.ANSWERED, 500, b"")

    def test_something_else_than_http_is_answered_with_status_0(self, ask: HttpGet) -> None:
        with LoopbackServer(answers(b"SSH-2.0-OpenSSH_9.2p1\r\nmore\r\n\r\n")) as server:
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert (found.end, found.status) == (HttpEnd.ANSWERED, 0)

    def test_our_own_forwards_answer_is_recognised(self, ask: HttpGet) -> None:
        wire = http_answer("503 Service Unavailable", extra=f"{OWN_ANSWER_HEADER}: 12 x\r\n")
        with LoopbackServer(answers(wire)) as server:
            found = ask(server.address, "/api", token=None, deadline=soon())
        assert found.ours
        assert found.headers[OWN_ANSWER_HEADER] == "12 x"

    def test_a_token_that_would_break_the_header_is_refused_without_showing_it(
        self, ask: HttpGet
    ) -> None:
        bad = Secret("abc\r\nX-Evil: 1")
        with LoopbackServer(answers(http_answer("200 OK", b"{}"))) as server:
            with pytest.raises(ValueError, match="cannot stand in a header") as raised:
                ask(server.address, "/api", token=bad, deadline=soon())
            assert "Evil" not in str(raised.value)
        assert server.heads == []

    def test_a_real_jupyter_server_answers(self, ask: HttpGet, jupyter: Address) -> None:
        assert ask(jupyter, "/api", token=None, deadline=soon()).status == 200
        status = ask(jupyter, "/api/status", token=TOKEN, deadline=soon())
        assert status.status == 200
        assert "started" in json.loads(status.body)
        assert ask(jupyter, "/api/status", token=None, deadline=soon()).status == 403


class TestServerHttp:
    def test_the_token_is_in_no_argv(self) -> None:
        link = LocalLink({})
        with LoopbackServer(answers(http_answer("200 OK", b"{}"))) as server:
            ServerHttp(lambda: link, CLOCK)(server.address, "/", token=TOKEN, deadline=soon())
        assert TOKEN.reveal() in server.heads[0].decode()
        assert TOKEN.reveal() not in repr(link.ran)

    def test_the_token_is_in_no_process_on_the_server(self) -> None:
        seen: list[bytes] = []

        def look(peer: socket.socket, server: LoopbackServer) -> None:
            for entry in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        seen.append((entry / name).read_bytes())
                    except OSError:
                        continue
            answers(http_answer("200 OK", b"{}"))(peer, server)

        link = LocalLink({})
        with LoopbackServer(look) as server:
            ServerHttp(lambda: link, CLOCK)(server.address, "/", token=TOKEN, deadline=soon())
        assert any(str(server.address.port).encode() in text for text in seen)
        assert not any(TOKEN.reveal().encode() in text for text in seen)

    def test_a_server_without_both_programs_is_named(self, tmp_path: Path) -> None:
        link = LocalLink({"PATH": path_with(tmp_path / "bin", "sh", "head")})
        ask = ServerHttp(lambda: link, CLOCK)
        with pytest.raises(EngineRefused, match="neither curl nor python3") as raised:
            ask(Address("127.0.0.1", 1), "/api", token=None, deadline=soon())
        assert "install" in raised.value.mend


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with jupyter_server(tmp_path_factory.mktemp("jupyter")) as address:
        yield address


@contextmanager
def jupyter_server(folder: Path) -> Iterator[Address]:
    """A real Jupyter server with ``TOKEN``, ended by its pid."""
    pytest.importorskip("jupyter_server", reason="not installed: jupyter-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    token_file = folder / "token"
    token_file.write_text(TOKEN.reveal())
    env = {**os.environ, "HOME": str(folder), "JUPYTER_TOKEN_FILE": str(token_file)}
    argv = [
        sys.executable,
        "-m",
        "jupyter_server",
        "--allow-root",
        "--no-browser",
        "--ip=127.0.0.1",
    ]
    child = subprocess.Popen(
        [*argv, f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"],
        env=env,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = Address("127.0.0.1", port)
    try:
        until = Deadline.after(CLOCK, 60)
        while get(address, "/api", token=None, deadline=soon(2)).status != 200:
            assert not until.passed(), "Jupyter did not answer in 60 s"
            assert child.poll() is None, "Jupyter ended at once"
            CLOCK.wait(0.1)
        yield address
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)
