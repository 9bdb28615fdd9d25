"""The container's remedies and its probe on a real engine, with a real Jupyter in the container."""

from __future__ import annotations

import itertools
import os
import signal
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes_reach import no_canaries
from tests.lab import needs
from tests.lab.docker import Dockerd
from tests.lab.image import busybox_image, jupyter_image
from tests.lab.local_link import LocalLink, until
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.container_engine import open_container_engine
from watchdogd.adapters.guard import ServerGuard
from watchdogd.adapters.http import get
from watchdogd.adapters.server_http import ServerHttp
from watchdogd.adapters.tmux import Tmux
from watchdogd.adapters.tokens import TokenFile
from watchdogd.core.model import Intent
from watchdogd.core.sight import ContainerSight, Generation, HostSight
from watchdogd.core.words import Cause, ContainerStatus, Layer, Outcome, Refusal, Remedy, Result
from watchdogd.ports import (
    Deadline,
    EngineRefused,
    Link,
    LinkStatus,
    Reach,
    Reading,
    RemedyFunction,
    RouteFacts,
)
from watchdogd.ports import Outcome as Ended
from watchdogd.probes.container import container
from watchdogd.probes.host import host
from watchdogd.remedies.container import create_container, restart_container, start_container
from watchdogd.remedies.runtime import last_token
from watchdogd.settings import (
    Address,
    ContainerSettings,
    ForwardSettings,
    Publish,
    RuntimeSettings,
    SshSettings,
    TargetSettings,
)

pytestmark = pytest.mark.real

KEYS = itertools.count()
PROXY = "start-runtime & p=$!; trap 'kill -9 $p; exit 0' TERM; wait $p"
"""As in the official image: process 1 is not Jupyter, and ends at once when it is asked to."""


@dataclass
class OneLink:
    """A ``LinkSource`` that has this link, or none."""

    link: Link | None

    def status(self) -> LinkStatus:
        """Up, or never dialled."""
        return LinkStatus(
            link=self.link,
            number=1 if self.link else None,
            silent=False,
            dialing=False,
            failure=None,
            failure_detail="",
            failure_mend="",
        )

    def current(self) -> Link:
        """The link."""
        assert self.link is not None
        return self.link


@dataclass
class Scene:
    """One target whose server is this machine."""

    dockerd: Dockerd
    reach: Reach
    link: LocalLink
    home: Path
    clock: SystemClock = field(default_factory=SystemClock)
    decided: HostSight | None = None
    """The reading that a restart was decided on; None: one of now."""

    def look(self) -> ContainerSight:
        """Through the adapter."""
        assert self.reach.engine is not None
        assert self.reach.target.runtime.container is not None
        wanted = self.reach.target.runtime.container
        return self.reach.engine.look("a100", wanted, Deadline.after(self.clock, 20))

    def run(self, *words: str) -> str:
        """``docker run -d -p 127.0.0.1:PORT:8080 IMAGE WORDS``, answering, as a person starts it."""
        assert self.reach.target.runtime.container is not None
        wanted = self.reach.target.runtime.container
        ident = self.dockerd.out("run", "-d", "-p", str(wanted.publish), wanted.image, *words)
        until(lambda: self.status("/api") == 200, 30)
        return ident

    def status(self, path: str, token: str = "") -> int:
        """HTTP status of a request made on this machine; 0 without an answer."""
        address = self.reach.target.forward.remote
        headers = {"Authorization": f"token {token}"} if token else {}
        request = urllib.request.Request(f"http://{address}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def apply(self, remedy: RemedyFunction, generation: Generation, seconds: float = 60.0) -> Ended:
        """One remedy for that generation."""
        intent = Intent(
            key=f"k{next(KEYS)}",
            remedy=Remedy.RESTART_CONTAINER,
            incident="i",
            cause=Cause.CONTAINER_EXITED,
            generation=generation,
            decided=self.clock.run(),
            deadline_seconds=seconds,
            charged=True,
            seen=(self.decided or self.processes()) if remedy is restart_container else None,
        )
        return remedy(self.reach, intent, Deadline.after(self.clock, seconds))

    def processes(self) -> HostSight | None:
        """As the probe reads them: what a decision to restart rests on."""
        try:
            found = Reading(observations=(), container=self.look())
        except EngineRefused:
            return None
        return host(self.reach, Deadline.after(self.clock, 20), (found,)).host

    def probe(self) -> Reading:
        """One measurement."""
        return container(self.reach, Deadline.after(self.clock, 10), ())

    def process(self, ident: str) -> int:
        """The process id, on this machine, of the container's process 1."""
        return int(self.dockerd.out("inspect", "-f", "{{.State.Pid}}", ident))

    def want(self, **changes: Any) -> None:
        """Other settings for the container."""
        target = self.reach.target
        assert target.runtime.container is not None
        wanted = replace(target.runtime.container, **changes)
        runtime = replace(target.runtime, container=wanted)
        self.reach = replace(self.reach, target=replace(target, runtime=runtime))


@pytest.fixture
def scene(dockerd: Dockerd, tmp_path: Path) -> Iterator[Scene]:
    """A server without a container, and an empty home on it."""
    home = tmp_path / "home"
    home.mkdir()
    clock, link = SystemClock(), LocalLink({**dockerd.env, "HOME": str(home)})
    engine = open_container_engine(lambda: link, str(tmp_path / "e"), clock)
    address = Address("127.0.0.1", needs.free_port())
    wanted = ContainerSettings(
        image=jupyter_image(dockerd),
        publish=Publish(address=address, container_port=8080),
        gpus="none",
        shm_size=2**20,
    )
    target = TargetSettings(
        name="a100",
        ssh=SshSettings(host="lab"),
        forward=ForwardSettings(remote=address),
        runtime=RuntimeSettings(container=wanted),
    )
    reach = Reach(
        target=target,
        clock=clock,
        links=OneLink(link),  # type: ignore[arg-type]
        http=get,
        ask_on_server=ServerHttp(lambda: link, clock),
        route=lambda deadline: RouteFacts(routed=True, resolved=None),
        canaries=no_canaries,
        tokens=TokenFile(str(tmp_path / "token"), None),
        engine=engine,
        sessions=None,
        guard=ServerGuard(lambda: link, clock, Tmux(lambda: link, clock)),
        agent_health=lambda: "",
    )
    try:
        yield Scene(dockerd, reach, link, home)
    finally:
        engine.close()
        link.close(Deadline.after(clock, 5))
        dockerd.clear()


def generation(sight: ContainerSight) -> Generation:
    """The identity that a decision rests on."""
    return Generation(container=sight.id, started=sight.started)


# ---------------------------------------------------------------- start_container


def test_start_brings_an_adopted_one_back_and_learns_its_new_token(scene: Scene) -> None:
    ident = scene.run()
    before = last_token(scene.dockerd.cli("logs", ident).stderr)
    os.kill(scene.process(ident), signal.SIGKILL)
    until(lambda: scene.look().status is ContainerStatus.EXITED)
    seen = scene.look()
    ended = scene.apply(start_container, generation(seen))
    assert ended.result is Result.DONE, ended
    token = scene.reach.tokens.current()
    assert token is not None
    assert before is not None
    assert token != before
    assert scene.status("/api/status", token.reveal()) == 200
    assert scene.look().started != seen.started


def test_start_does_nothing_to_what_a_person_stopped(scene: Scene) -> None:
    ident = scene.run()
    scene.dockerd.cli("stop", ident)
    seen = scene.look()
    ended = scene.apply(start_container, generation(seen))
    assert (ended.result, ended.reason) == (Result.NOTHING, Refusal.OPERATOR)
    assert scene.look().status is ContainerStatus.EXITED


def test_start_does_nothing_to_what_somebody_started_meanwhile(scene: Scene) -> None:
    ident = scene.run()
    judged = scene.look()
    os.kill(scene.process(ident), signal.SIGKILL)
    until(lambda: scene.look().status is ContainerStatus.EXITED)
    scene.dockerd.cli("start", ident)
    running = scene.look().started
    assert scene.apply(start_container, generation(judged)).result is Result.NOTHING
    assert scene.apply(start_container, generation(scene.look())).result is Result.NOTHING
    assert scene.look().started == running


def test_one_that_ends_again_at_once_has_failed(scene: Scene) -> None:
    scene.want(image=busybox_image(scene.dockerd))
    assert scene.reach.target.runtime.container is not None
    wanted = scene.reach.target.runtime.container
    scene.dockerd.out("run", "-d", "-p", str(wanted.publish), wanted.image, "sh", "-c", "exit 7")
    until(lambda: scene.look().exit_code == 7)
    ended = scene.apply(start_container, generation(scene.look()))
    assert ended.result is Result.FAILED
    assert "status 7" in ended.detail
    assert ended.mend.startswith("on the server: docker logs")


def test_without_memory_on_its_gpu_it_says_so_and_nobody_else_is_touched(scene: Scene) -> None:
    """Another tenant holds it: the start has failed, with its last words."""
    scene.want(image=busybox_image(scene.dockerd))
    assert scene.reach.target.runtime.container is not None
    wanted = scene.reach.target.runtime.container
    stranger = scene.dockerd.out("run", "-d", wanted.image, "sleep", "100").strip()
    words = "RuntimeError: CUDA error: out of memory"
    script = (
        f"echo http://127.0.0.1:8080/?token={'a' * 48} >&2; sleep 0.1; echo {words!r} >&2; exit 1"
    )
    scene.dockerd.out("run", "-d", "-p", str(wanted.publish), wanted.image, "sh", "-c", script)
    until(lambda: scene.look().exit_code == 1)
    ended = scene.apply(start_container, generation(scene.look()))
    assert ended.result is Result.FAILED
    assert ended.detail.endswith(f"its last words: {words}")
    assert "aaaa" not in ended.detail
    assert scene.dockerd.out("inspect", "-f", "{{.State.Running}}", stranger).strip() == "true"


def test_what_does_not_answer_by_the_deadline_is_unknown(scene: Scene) -> None:
    scene.want(image=busybox_image(scene.dockerd))
    assert scene.reach.target.runtime.container is not None
    wanted = scene.reach.target.runtime.container
    command = ("sh", "-c", "test -e /tmp/x && sleep 100; : > /tmp/x")
    scene.dockerd.out("run", "-d", "-p", str(wanted.publish), wanted.image, *command)
    until(lambda: scene.look().exit_code is not None)
    began = scene.clock.run()
    ended = scene.apply(start_container, generation(scene.look()), seconds=8)
    assert ended.result is Result.UNKNOWN
    assert scene.clock.run() - began < 8


# ---------------------------------------------------------------- create_container


def test_create_makes_one_that_takes_our_token_and_no_other(scene: Scene) -> None:
    ended = scene.apply(create_container, Generation())
    assert ended.result is Result.DONE, ended
    token = scene.reach.tokens.pinned().reveal()
    assert scene.reach.tokens.current() == scene.reach.tokens.pinned()
    assert scene.status("/api/status", token) == 200
    assert scene.status("/api/status") == 403
    seen = scene.look()
    assert (seen.name, seen.adopted, seen.restart_policy) == (
        "watchdogd-a100",
        False,
        "unless-stopped",
    )
    written = scene.home / ".watchdogd/a100/token"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert written.read_text() == token
    told = (scene.dockerd.out("inspect", seen.name), scene.dockerd.cli("logs", seen.name).stderr)
    assert token not in str(told)
    assert token not in str(scene.link.ran)


def test_its_address_stays_good_over_a_restart(scene: Scene) -> None:
    scene.apply(create_container, Generation())
    token = scene.reach.tokens.pinned().reveal()
    scene.dockerd.cli("restart", "watchdogd-a100")
    until(lambda: scene.status("/api/status", token) == 200, 30)


def test_create_does_nothing_beside_any_candidate(scene: Scene) -> None:
    ident = scene.run()
    ended = scene.apply(create_container, Generation())
    assert ended.result is Result.NOTHING
    os.kill(scene.process(ident), signal.SIGKILL)
    until(lambda: scene.look().status is ContainerStatus.EXITED)
    assert scene.apply(create_container, Generation()).result is Result.NOTHING
    assert len(scene.dockerd.out("ps", "-aq").split()) == 1


def test_create_does_nothing_after_a_person_removed_it(scene: Scene) -> None:
    ident = scene.run()
    assert scene.look().id == ident
    scene.dockerd.cli("rm", "-f", ident)
    ended = scene.apply(create_container, Generation())
    assert (ended.result, ended.reason) == (Result.NOTHING, Refusal.OPERATOR)


def test_create_without_the_image_says_how_to_get_it(scene: Scene) -> None:
    scene.want(image="nobody/has-it:1")
    ended = scene.apply(create_container, Generation())
    assert (ended.result, ended.mend) == (
        Result.FAILED,
        "on the server: docker pull nobody/has-it:1",
    )
    assert not (scene.home / ".watchdogd").exists()


def test_create_without_a_driver_for_the_gpu_says_what_to_install(scene: Scene) -> None:
    scene.want(gpus="all")
    ended = scene.apply(create_container, Generation())
    assert ended.result is Result.FAILED
    assert "could not select device driver" in ended.detail
    assert "NVIDIA Container Toolkit" in ended.mend
    seen = scene.probe()
    assert seen.observations[0].cause is Cause.CONTAINER_EXITED
    assert "could not select device driver" in seen.observations[0].detail


def test_create_that_anybody_may_use_says_so(scene: Scene) -> None:
    scene.want(command=("start-runtime", "--IdentityProvider.token="))
    ended = scene.apply(create_container, Generation())
    assert ended.result is Result.DONE
    assert "authentication is off" in ended.detail
    assert ended.mend


# ---------------------------------------------------------------- restart_container


def test_restart_ends_a_frozen_runtime(scene: Scene) -> None:
    scene.run("sh", "-c", PROXY)
    seen = scene.look()
    _freeze_jupyter(scene)
    ended = scene.apply(restart_container, generation(seen))
    assert ended.result is Result.DONE, ended
    assert scene.look().started != seen.started
    token = scene.reach.tokens.current()
    assert token is not None
    assert scene.status("/api/status", token.reveal()) == 200


def test_restart_does_nothing_while_the_runtime_answers(scene: Scene) -> None:
    scene.run()
    seen = scene.look()
    assert scene.apply(restart_container, generation(seen)).result is Result.NOTHING
    assert scene.look().started == seen.started


def test_restart_does_nothing_to_what_was_not_judged(scene: Scene) -> None:
    ident = scene.run("sh", "-c", PROXY)
    seen = scene.look()
    _freeze_jupyter(scene)
    for judged, reason in (
        (Generation(), Refusal.NO_SIGHT),
        (Generation(container=ident), Refusal.NO_SIGHT),
        (Generation(container=ident, started="2026-01-01T00:00:00.5Z"), None),
        (Generation(container="f" * 64, started=seen.started), None),
    ):
        ended = scene.apply(restart_container, judged)
        assert (ended.result, ended.reason) == (Result.NOTHING, reason)
    assert scene.look().started == seen.started


def test_two_agents_restart_a_hung_runtime_once(scene: Scene) -> None:
    """F08. Both decided on the same sight; each gives its order over a connection of its own."""
    scene.run("sh", "-c", PROXY)
    seen = scene.look()
    _freeze_jupyter(scene)
    with ThreadPoolExecutor(2) as pool:
        ended = list(
            pool.map(lambda _: scene.apply(restart_container, generation(seen), 120.0), range(2))
        )
    assert sorted(one.result for one in ended) == [Result.DONE, Result.NOTHING], ended
    assert [one.reason for one in ended if one.result is Result.NOTHING] == [None]
    ledger = (scene.home / ".watchdogd" / "ledger.jsonl").read_text().splitlines()
    assert len(ledger) == 2
    restarts = scene.dockerd.out(
        "events",
        "--since",
        "5m",
        "--until",
        "0s",
        "--filter",
        "event=restart",
        "--format",
        "{{.ID}}",
    )
    assert restarts.split().count(seen.id or "") == 1


def test_work_that_began_after_the_decision_is_not_ended(scene: Scene) -> None:
    ident = scene.run("sh", "-c", PROXY)
    seen = scene.look()
    _freeze_jupyter(scene)
    decided = scene.processes()
    scene.dockerd.out("exec", "-d", ident, "sh", "-c", "while :; do :; done")
    scene.decided = decided
    ended = scene.apply(restart_container, generation(seen))
    assert (ended.result, ended.reason) == (Result.NOTHING, Refusal.VETO), ended
    assert scene.look().started == seen.started


def test_a_pause_on_the_server_is_respected(scene: Scene) -> None:
    scene.run("sh", "-c", PROXY)
    seen = scene.look()
    _freeze_jupyter(scene)
    (scene.home / ".watchdogd").mkdir(exist_ok=True)
    (scene.home / ".watchdogd" / "PAUSE").touch()
    ended = scene.apply(restart_container, generation(seen))
    assert (ended.result, ended.reason) == (Result.NOTHING, Refusal.PAUSED)
    assert scene.look().started == seen.started


# ---------------------------------------------------------------- not being able to ask


def test_without_permission_nothing_is_done_and_the_probe_is_unknown(scene: Scene) -> None:
    folder = scene.home / "bin"
    folder.mkdir()
    (folder / "docker").write_text("#!/bin/sh\necho permission denied >&2; exit 1\n")
    (folder / "docker").chmod(0o755)
    scene.link.env["PATH"] = f"{folder}:{scene.link.env['PATH']}"
    for remedy in (start_container, create_container, restart_container):
        ended = scene.apply(remedy, Generation())
        assert (ended.result, ended.reason) == (Result.NOTHING, Refusal.NO_SIGHT)
        assert "usermod" in ended.mend
    (seen,) = scene.probe().observations
    assert (seen.outcome, seen.layer) == (Outcome.UNKNOWN, Layer.CONTAINER)
    assert "usermod" in seen.mend


def test_without_a_link_the_probe_is_unknown(scene: Scene) -> None:
    scene.reach = replace(scene.reach, links=OneLink(None))  # type: ignore[arg-type]
    (seen,) = scene.probe().observations
    assert seen.outcome is Outcome.UNKNOWN


def _freeze_jupyter(scene: Scene) -> None:
    """SIGSTOP to the process that listens, not to process 1."""
    for line in scene.dockerd.out("top", scene.look().id or "", "-eo", "pid,args").splitlines():
        if "jupyter_server" in line and "sh -c" not in line:
            os.kill(int(line.split()[0]), signal.SIGSTOP)
    until(lambda: scene.status("/api") == 0)
