"""From a name to addresses: what the resolver says is kept whole."""

from __future__ import annotations

import socket

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.ssh_connect import addresses, await_banner
from watchdogd.adapters.ssh_resolve import plan_from
from watchdogd.errors import Transient
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings


def test_a_link_local_address_keeps_its_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ("fe80::1", 22, 0, 7)

    def resolver(*_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", told)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    plan = plan_from(SshSettings(host="h", user="u"), {})
    assert addresses(plan, Deadline.after(SystemClock(), 5.0)) == ((socket.AF_INET6, told),)


def test_a_port_that_says_nothing_may_be_no_ssh_server() -> None:
    near, far = socket.socketpair()
    with near, far, pytest.raises(Transient, match="is there an SSH server on that port"):
        await_banner(near, Deadline.after(SystemClock(), 0.05))
