"""What a client is told that cannot be served."""

from __future__ import annotations

import http.client
import io
import threading

import pytest

from tests.lab.sockets import connected
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.forward_answer import Refusal, is_http, refuse, response
from watchdogd.core.words import Cause
from watchdogd.ports import OWN_ANSWER_HEADER

CLOCK = SystemClock()


class _Given:
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def makefile(self, mode: str) -> io.BytesIO:
        return self._file


def parsed(data: bytes) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(_Given(data))  # type: ignore[arg-type]
    answer.begin()
    return answer


def test_the_answer_is_whole_http() -> None:
    answer = parsed(response(Refusal("watchdogd: no link — wait", 2.1)))
    assert answer.status == 503
    assert answer.read().decode() == "watchdogd: no link — wait\n"
    assert answer.headers["Retry-After"] == "3"
    assert answer.headers["Connection"] == "close"
    assert answer.headers[OWN_ANSWER_HEADER]


def test_the_cause_stands_in_the_mark() -> None:
    answer = parsed(response(Refusal("refused", 0.0, Cause.RUNTIME_REFUSED)))
    assert answer.headers[OWN_ANSWER_HEADER] == "runtime_refused"
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"GET / HTTP/1.1\r\n", True),
        (b"GET / HTTP/1.0\n", True),
        (b"GET / HTTP/1.1", False),
        (b"SSH-2.0-x\r\n", False),
        (b"", False),
        (b"\n", False),
    ],
)
def test_what_counts_as_http(head: bytes, answer: bool) -> None:
    assert is_http(head) is answer


def refused(sent: bytes) -> bytes:
    client, accepted = connected()
    with client:
        client.sendall(sent)
        thread = threading.Thread(
            target=refuse, args=(accepted, Refusal("no link", 1.0), CLOCK), name="test-refuse"
        )
        thread.start()
        try:
            got = b""
            while data := client.recv(4096):
                got += data
        finally:
            client.close()
            thread.join(5)
    return got


def test_an_http_client_reads_the_whole_answer_though_it_sent_a_body() -> None:
    sent = b"POST /secret?token=abc HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50_000
    got = refused(sent)
    assert parsed(got).status == 503
    assert b"abc" not in got


def test_anything_else_is_reset() -> None:
    with pytest.raises(ConnectionResetError):
        refused(b"\x16\x03\x01 not http\n")
