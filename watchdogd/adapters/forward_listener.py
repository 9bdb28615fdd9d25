"""The listening socket of a forward: sshtunnel, and this is the only import of it, binds, accepts and runs a thread
for each client.

It is handed a slot where it expects its SSH connection, so it never dials, never closes its port to reconnect
and never sees a connection whose server was not verified.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from contextlib import suppress
from typing import Any, Protocol

import sshtunnel

from watchdogd.adapters.crew import CREW
from watchdogd.adapters.waiting_server import WaitingServer
from watchdogd.settings import Address

_BACKLOG = 128


class _Transport:
    """What sshtunnel takes for its SSH connection: active from bind to shutdown, and nothing else."""

    def __init__(self) -> None:
        self._active = True

    def is_active(self) -> bool:
        return self._active

    def close(self) -> None:
        self._active = False

    def stop_thread(self) -> None:
        """Asked for by sshtunnel at its end; there is no thread."""


class Owner(Protocol):
    """Whose listener it is."""

    name: str
    family: socket.AddressFamily

    def admit(self) -> None:
        """Before a client is accepted; raises ``BlockingIOError`` to leave it in the backlog."""
        ...

    def rest(self) -> None:
        """A moment without accepting."""
        ...

    def serve(self, client: socket.socket) -> None:
        """One accepted client to its end, in a thread of its own."""
        ...


class Listener(sshtunnel.SSHTunnelForwarder):  # type: ignore[misc]  # sshtunnel has no types
    """sshtunnel with everything replaced that is not listening."""

    def __init__(self, local: Address, remote: Address, owner: Owner) -> None:
        self._owner = owner
        self.bind_error: OSError | None = None
        super().__init__(
            ("unused.invalid", 22),
            ssh_username="-",
            ssh_config_file=None,
            local_bind_address=(local.host, local.port),
            remote_bind_address=(remote.host, remote.port),
            allow_agent=False,
            host_pkey_directories=[],
            set_keepalive=0.0,
            compression=False,
            logger=_quiet_logger(),
        )

    def listen(self) -> bool:
        """Bind and accept; if not, ``bind_error`` may tell why."""
        with suppress(sshtunnel.BaseSSHTunnelForwarderError):
            self.start()
        if not self.servers():
            self.stop(force=True)
        return bool(self.servers())

    @staticmethod
    def _consolidate_auth(**_: object) -> tuple[None, list[object]]:
        return None, []  # touches no agent and no key file

    def _connect_to_gateway(self) -> None:
        self._transport = _Transport()

    def _make_ssh_forward_server_class(self, _remote: object) -> type:
        tunnel, owner = self, self._owner

        class Server(WaitingServer, sshtunnel._ThreadingForwardServer):  # type: ignore[misc]
            request_queue_size = _BACKLOG
            address_family = owner.family

            def server_bind(self) -> None:
                try:
                    super().server_bind()
                except OSError as error:
                    tunnel.bind_error = error  # sshtunnel loses it
                    raise

            def get_request(self) -> Any:
                owner.admit()
                try:
                    return super().get_request()
                except (BlockingIOError, ConnectionAbortedError):
                    raise
                except OSError:
                    owner.rest()  # out of descriptors: the client stays there, and so does the cause
                    raise

            def process_request(self, request: Any, client_address: Any) -> None:
                CREW.start(f"{owner.name}-client-{client_address[1]}", lambda: owner.serve(request))

        return Server

    def _make_ssh_forward_handler_class(self, remote: tuple[str, int]) -> type:
        class Handler(socketserver.BaseRequestHandler):
            remote_address = (
                remote  # all that is asked of it: ``process_request`` serves the client
            )

        return Handler

    def _serve_forever_wrapper(self, server: Any, poll_interval: float = 0.0) -> None:
        threading.current_thread().name = f"{self._owner.name}-listen"
        super()._serve_forever_wrapper(server, poll_interval)

    def servers(self) -> list[Any]:
        """The listening servers: one after a good start."""
        return list(self._server_list)


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("watchdogd.sshtunnel")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else sshtunnel adds one that writes to stderr
    logger.setLevel(logging.CRITICAL)
    return logger
