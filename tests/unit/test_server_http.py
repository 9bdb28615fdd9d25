"""What ``ServerHttp`` reads out of a server's output."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from watchdogd.adapters.server_http import read_framed, server_argv, server_stdin
from watchdogd.ports import EngineRefused, HttpEnd
from watchdogd.settings import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def framed(wire: bytes, code: str, mark: str = "M") -> bytes:
    return b"motd\n\n" + f"{mark}\n".encode() + wire + f"\n{mark} {code}\n".encode()


@pytest.mark.parametrize("code", ["0", "23", "28", "56", "99"])
def test_a_whole_answer_counts_whatever_the_status(code: str) -> None:
    found = read_framed(framed(OK, code), "M")
    assert (found.end, found.status, found.body) == (HttpEnd.ANSWERED, 200, b"{}")


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("7", HttpEnd.REFUSED),
        ("28", HttpEnd.SILENT),
        ("52", HttpEnd.CLOSED),
        ("56", HttpEnd.CLOSED),
        ("1", HttpEnd.ANSWERED),
    ],
)
def test_no_answer_is_told_by_the_status(code: str, end: HttpEnd) -> None:
    found = read_framed(framed(b"", code), "M")
    assert (found.end, found.status) == (end, 0)


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        b"This account is not available.\n",
        framed(OK, "0", mark="OTHER"),
        b"\nM\n" + OK,
        OK + b"\nM 0\n",
        framed(b"", "127"),
        framed(b"", "abc"),
        framed(b"", "none"),
    ],
)
def test_a_server_that_cannot_be_asked_is_no_answer(printed: bytes) -> None:
    with pytest.raises(EngineRefused):
        read_framed(printed, "M")


def test_an_answer_that_imitates_the_end_is_still_one_answer() -> None:
    body = b'{"a": "\nX 7\n"}'
    wire = OK.replace(b"Content-Length: 2", b"Content-Length: %d" % len(body))[:-2] + body
    found = read_framed(framed(wire, "0"), "M")
    assert (found.end, found.body) == (HttpEnd.ANSWERED, body)


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert server_argv("M", Address("::1", 9000), "/api", 5.0)[-1] == "http://[::1]:9000/api"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_a_token_with_quotes_and_backslashes_arrives_whole() -> None:
    token = 'a"b\\n\\r"c'
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argv = server_argv("m", Address(*listener.getsockname()), "/api", 5.0)
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as shell:
            assert shell.stdin is not None
            shell.stdin.write(server_stdin(token))
            shell.stdin.close()
            listener.settimeout(10)
            client, _ = listener.accept()
            with client:
                client.settimeout(10)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += client.recv(4096)
    assert f"Authorization: token {token}".encode() in head.split(b"\r\n")
