"""A listener that waits for clients and looks up for nothing else."""

from __future__ import annotations

import os
import resource
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from watchdogd.adapters.waiting_server import WaitingServer

SOON = 20.0


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(self.request.recv(64))


class _Server(WaitingServer, socketserver.TCPServer):
    pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Echo) as made:
        yield made


def serve(server: _Server) -> threading.Thread:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    return thread


def echo(server: _Server) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), SOON) as client:
        client.sendall(b"hello")
        return client.recv(64)


def test_it_serves_one_after_another_and_ends_at_once(server: _Server) -> None:
    thread = serve(server)
    assert [echo(server), echo(server)] == [b"hello", b"hello"]
    server.shutdown()
    thread.join(SOON)
    assert not thread.is_alive()


def test_an_end_that_was_wished_before_it_began_is_not_waited_for(server: _Server) -> None:
    server.shutdown()
    thread = serve(server)
    thread.join(SOON)
    assert not thread.is_alive()


def test_a_descriptor_beyond_what_select_takes_is_served() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("the system allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        null = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, null)
        while (another := os.dup(null)) < 1030:
            stack.callback(os.close, another)
        stack.callback(os.close, another)
        server = stack.enter_context(_Server(("127.0.0.1", 0), _Echo))
        assert server.fileno() > 1024
        thread = serve(server)
        stack.callback(thread.join, SOON)
        stack.callback(server.shutdown)
        assert echo(server) == b"hello"
