"""The container engine's API over a real SSH link: channels, their number, and a server that freezes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import needs
from tests.lab.docker import Dockerd
from tests.lab.engines import MAKERS
from tests.lab.image import busybox_image
from tests.lab.local_link import until
from tests.lab.sshd import Sshd
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.container_engine import DockerEngine, open_container_engine
from watchdogd.core.sight import ContainerSight
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Deadline, Link
from watchdogd.settings import Address, ContainerSettings, Publish

pytestmark = pytest.mark.real
CLOCK = SystemClock()


class NoNews:
    """Nobody listens."""

    def silent(self) -> None: ...

    def speaking(self) -> None: ...

    def lost(self, detail: str) -> None: ...


@dataclass
class Far:
    """An engine behind an SSH server."""

    server: Sshd
    link: Link
    engine: DockerEngine
    wanted: ContainerSettings

    def look(self, seconds: float = 15.0) -> ContainerSight:
        return self.engine.look("a100", self.wanted, Deadline.after(CLOCK, seconds))


@pytest.fixture(params=list(MAKERS))
def far(request: pytest.FixtureRequest, dockerd: Dockerd, tmp_path: Path) -> Iterator[Far]:
    needs.programs("sshd", "ssh-keygen")
    publish = Publish(address=Address("127.0.0.1", needs.free_port()), container_port=8080)
    wanted = ContainerSettings(image=busybox_image(dockerd), publish=publish, gpus="none")
    with Sshd({"SetEnv": f"DOCKER_HOST=unix://{dockerd.socket}", "MaxSessions": "6"}) as server:
        ssh = MAKERS[request.param](server.settings(), tmp_path)
        link = ssh.dial(Deadline.after(CLOCK, 15), NoNews())
        engine = open_container_engine(lambda: link, str(tmp_path / "e"), CLOCK)
        try:
            yield Far(server, link, engine, wanted)
        finally:
            engine.close()
            link.close(Deadline.after(CLOCK, 5))
            dockerd.clear()


def test_many_calls_leave_no_session_open(far: Far, dockerd: Dockerd) -> None:
    command = (far.wanted.image, "sleep", "100")
    ident = dockerd.out("run", "-d", "-p", str(far.wanted.publish), *command)
    for _ in range(8):
        assert far.look().id == ident
    done = far.link.run(["true"], deadline=Deadline.after(CLOCK, 10))
    assert done.status == 0


def test_a_server_that_freezes_ends_the_call_by_its_deadline(far: Far) -> None:
    assert far.look().id is None
    frozen = far.server.kill_sessions(signal.SIGSTOP)
    assert frozen
    began = CLOCK.run()
    try:
        with pytest.raises(Transient) as stalled:
            far.look(seconds=3.0)
        assert CLOCK.run() - began < 4.0
        assert stalled.value.cause in (Cause.REMOTE_WEDGED, Cause.LINK_LOST)
    finally:
        far.server.kill_sessions(signal.SIGCONT)
    assert far.look().id is None


def test_a_link_that_is_lost_is_told_from_a_missing_container(far: Far) -> None:
    assert far.look().id is None
    far.server.kill_sessions()
    until(lambda: not far.link.alive())
    with pytest.raises(Transient) as lost:
        far.look()
    assert lost.value.cause is Cause.LINK_LOST
