"""A real engine with the adapter on it, through a link without SSH."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import needs
from tests.lab.docker import Dockerd
from tests.lab.image import busybox_image
from tests.lab.local_link import LocalLink, until
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.container_engine import DockerEngine, open_container_engine
from watchdogd.core.sight import ContainerSight
from watchdogd.core.words import ContainerStatus
from watchdogd.ports import Deadline
from watchdogd.settings import Address, ContainerSettings, Publish

SERVE = ("httpd", "-f", "-p", "8080", "-h", "/content")
TERM = 'trap "exit 0" TERM; while :; do sleep 0.1; done'
"""A process 1 that ends when it is asked to."""


@dataclass
class Lab:
    """One engine with the adapter on it."""

    dockerd: Dockerd
    link: LocalLink
    engine: DockerEngine
    wanted: ContainerSettings
    clock: SystemClock = field(default_factory=SystemClock)

    def within(self, seconds: float = 20.0) -> Deadline:
        """A deadline."""
        return Deadline.after(self.clock, seconds)

    def look(self, seconds: float = 20.0) -> ContainerSight:
        """What the adapter sees."""
        return self.engine.look("a100", self.wanted, self.within(seconds))

    def run(self, *options: str, command: tuple[str, ...] = SERVE) -> str:
        """As a person would: ``docker run -d -p 127.0.0.1:PORT:8080``; returns the id."""
        publish = str(self.wanted.publish)
        return self.dockerd.out("run", "-d", "-p", publish, *options, self.wanted.image, *command)

    def until_status(self, status: ContainerStatus) -> ContainerSight:
        """What the adapter sees once the container is in that state."""
        until(lambda: self.look().status is status)
        return self.look()

    def process(self, ident: str) -> int:
        """The process id, on this machine, of the container's process 1."""
        return int(self.dockerd.out("inspect", "-f", "{{.State.Pid}}", ident))

    def inspect(self, ident: str) -> Any:
        """All that the engine knows of it."""
        return json.loads(self.dockerd.out("inspect", ident))[0]


@contextmanager
def laboratory(dockerd: Dockerd, folder: Path, **env: str) -> Iterator[Lab]:
    """The adapter on that engine, closed afterwards."""
    clock, link = SystemClock(), LocalLink({**dockerd.env, **env})
    engine = open_container_engine(lambda: link, str(folder / "e"), clock)
    publish = Publish(address=Address("127.0.0.1", needs.free_port()), container_port=8080)
    wanted = ContainerSettings(image=busybox_image(dockerd), publish=publish, gpus="none")
    try:
        yield Lab(dockerd, link, engine, wanted)
    finally:
        engine.close()
        link.close(Deadline.after(clock, 5))
