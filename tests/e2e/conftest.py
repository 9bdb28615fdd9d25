"""What the end-to-end tests share: one container engine and one image for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.lab import needs

if TYPE_CHECKING:
    from tests.e2e.lab import Bench
    from tests.lab.docker import Dockerd


@pytest.fixture(scope="session")
def jupyter(dockerd: Dockerd) -> str:
    """The name of an image whose container serves Jupyter on port 8080."""
    from tests.lab.image import jupyter_image

    return jupyter_image(dockerd)


@pytest.fixture
def bench(dockerd: Dockerd, jupyter: str) -> Iterator[Bench]:
    """A scene with the default settings of ``tests/e2e/lab.py``; nothing runs but the server."""
    needs.programs("sshd", "ssh-keygen", "tmux")
    from tests.e2e.lab import Bench

    with Bench(dockerd, jupyter) as scene:
        yield scene


@pytest.fixture
def own(dockerd: Dockerd, jupyter: str) -> Iterator[Bench]:
    """The same for ``Bench.settle``: the runtime's token is known to the agent from the start."""
    needs.programs("sshd", "ssh-keygen", "tmux")
    from tests.e2e.lab import OWN_TOKEN, Bench

    with Bench(dockerd, jupyter, settings=OWN_TOKEN) as scene:
        yield scene
