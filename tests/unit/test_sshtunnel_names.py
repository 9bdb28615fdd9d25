"""Pins each private name of sshtunnel and paramiko that is relied upon: a new release must be read first."""

from __future__ import annotations

import hmac
import inspect
import socketserver

import paramiko
import pytest
import sshtunnel
from paramiko import util
from paramiko.agent import AgentSSH
from paramiko.packet import Packetizer

from watchdogd.adapters.forward_listener import Listener
from watchdogd.adapters.ssh_packets import StampedPacketizer
from watchdogd.adapters.ssh_transport import LinkTransport


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_connect_to_gateway", ["self"]),
        ("_make_ssh_forward_server_class", ["self", "remote_address_"]),
        ("_make_ssh_forward_handler_class", ["self", "remote_address_"]),
        ("_serve_forever_wrapper", ["self", "_srv", "poll_interval"]),
        ("_stop_transport", ["self", "force"]),
    ],
)
def test_the_tunnel_s_own_methods(name: str, parameters: list[str]) -> None:
    method = getattr(sshtunnel.SSHTunnelForwarder, name)
    assert list(inspect.signature(method).parameters) == parameters


def test_what_is_replaced_is_called_by_the_stock_code() -> None:
    source = inspect.getsource(sshtunnel.SSHTunnelForwarder)
    for call in (
        "self._consolidate_auth(",
        "self._connect_to_gateway()",
        "self._make_ssh_forward_server_class",
        "self._make_ssh_forward_handler_class(",
        "target=self._serve_forever_wrapper",
        "self._transport.is_active()",
        "self._transport.close()",
        "self._transport.stop_thread()",
        "self._server_list.append(",
    ):
        assert call in source, call
    for name in vars(Listener):
        if name.startswith("_") and not name.startswith("__"):
            assert hasattr(sshtunnel.SSHTunnelForwarder, name), name


def test_the_server_is_a_threading_tcp_server_that_binds_as_socketserver_does() -> None:
    server = sshtunnel._ThreadingForwardServer
    assert issubclass(server, socketserver.ThreadingMixIn)
    assert issubclass(server, socketserver.TCPServer)
    assert server.server_bind is socketserver.TCPServer.server_bind
    assert server.get_request is socketserver.TCPServer.get_request
    assert server.process_request is socketserver.ThreadingMixIn.process_request
    assert server.process_request_thread is socketserver.ThreadingMixIn.process_request_thread
    assert sshtunnel.SSHTunnelForwarder.skip_tunnel_checkup is True


def test_paramiko_s() -> None:
    assert list(inspect.signature(AgentSSH._connect).parameters) == ["self", "conn"]  # type: ignore[attr-defined]
    assert callable(AgentSSH._close)  # type: ignore[attr-defined]
    for name in ("read_message", "start_handshake"):
        ours, theirs = getattr(StampedPacketizer, name), getattr(Packetizer, name)
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )
    source = inspect.getsource(paramiko.Transport)
    assert "(packetizer_class or Packetizer)(sock)" in source
    assert "self.packetizer.start_handshake(" in source
    for name in ("open_channel", "_next_channel", "_parse_channel_open_failure"):
        assert name in vars(paramiko.Transport), name
        assert name in vars(LinkTransport), name
    for call in (
        "chanid = self._next_channel()",
        "MSG_CHANNEL_OPEN_FAILURE: self._parse_channel_open_failure",
        "chanid = m.get_int()\n        reason = m.get_int()\n        reason_str",
    ):
        assert call in source, call
    assert "self.sock.settimeout(self._active_check_timeout)" in source
    assert "if time.time() > start + self.clear_to_send_timeout:" in source
    assert "and not self.sock._closed" in source
    assert "util.constant_time_bytes_eq(my_mac, mac)" in inspect.getsource(Packetizer)
    assert util.constant_time_bytes_eq is hmac.compare_digest
