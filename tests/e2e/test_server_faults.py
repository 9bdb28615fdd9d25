"""The server goes away, comes back, or is another one: nothing on it is touched."""

from __future__ import annotations

import pytest

from tests.e2e.lab import Bench, container_untouched
from tests.lab.sshd import keygen

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]


def test_sshd_restarted(own: Bench) -> None:
    own.settle()
    with container_untouched(own) as begin:
        own.server.sshd.stop()
        own.server.sshd.start()
        own.agent.until(lambda: own.logins(begin) == 1, "a new login", 10)
    assert own.actions(begin) == []
    assert own.incidents(begin) == []

    with container_untouched(own) as begin:
        own.server.sshd.stop()
        own.wait_cause("sshd_down")
        own.agent.until(
            lambda: (own.agent.target()["incident"] or {}).get("cause") == "sshd_down",
            "the incident is that of the server",
            20,
        )
        own.agent.until(lambda: own.actions(begin) != [], "dials go on", 20)
        own.server.sshd.start()
        own.wait_state("up", 40)
    assert set(own.actions(begin)) == {"reconnect"}
    assert own.incidents(begin) in (["sshd_down"], ["link_lost", "sshd_down"])
    assert own.logins(begin) == 1


def test_host_key_changed(own: Bench) -> None:
    """Somebody else answers in the server's place: not one login attempt, nothing touched."""
    own.settle()
    real = own.server.sshd.host_key
    known = own.known_hosts.read_bytes()
    with container_untouched(own) as begin:
        own.server.sshd.stop()
        own.server.sshd.host_key = keygen(own.folder / "rogue")
        own.server.sshd.start()
        try:
            own.wait_cause("host_key")
            rogue = own.mark()
            target = own.agent.target()
            assert target["link"]["stopped_by"] == "host_key"
            assert "ssh-keygen -R" in target["mend"]
            assert own.agent.metric("target_needs_hand") == 1
            assert own.agent.cli("check").returncode == 77
            attempts = own.server.sshd.log_text()[begin.sshd :]
            assert "publickey" not in attempts
            assert "userauth" not in attempts
            # The agent's own dial and that of `check`; then none for as long as many back-offs.
            own.pass_time(5)
            assert own.dials(begin) == 2
            assert own.dials(rogue) == 1
            assert own.actions(begin) == []
            assert own.known_hosts.read_bytes() == known
        finally:
            own.server.sshd.stop()
            own.server.sshd.host_key = real
            own.server.sshd.start()
        own.known_hosts.write_bytes(known + b"# looked at\n")  # by the person
        own.wait_state("up", 20)
    assert set(own.incidents(begin)) <= {"link_lost", "sshd_down", "host_key"}
    assert own.actions(begin) == []
