"""Looking: which container is meant and how it ended, on a real engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.container_lab import SERVE, TERM, Lab, laboratory
from tests.lab.docker import Dockerd
from tests.lab.local_link import until
from watchdogd.adapters.container_engine import DockerEngine
from watchdogd.core.words import ContainerStatus
from watchdogd.ports import ContainerAmbiguous

pytestmark = pytest.mark.real


@pytest.fixture
def lab(dockerd: Dockerd, tmp_path: Path) -> Iterator[Lab]:
    """The adapter on the session's engine, with no container in it."""
    with laboratory(dockerd, tmp_path) as it:
        yield it
    dockerd.clear()


# ---------------------------------------------------------------- which container is meant


def test_a_container_that_was_started_by_hand_is_adopted(lab: Lab) -> None:
    ident = lab.run()
    seen = lab.look()
    assert seen.id == ident
    assert seen.status is ContainerStatus.RUNNING
    assert seen.adopted
    assert seen.publish_as_configured
    assert seen.started == lab.inspect(ident)["State"]["StartedAt"]
    assert seen.restart_policy == "no"
    assert (seen.exit_code, seen.stopped_by_person, seen.oom) == (None, None, False)


def test_it_is_found_by_its_port_after_it_ended_too(lab: Lab) -> None:
    ident = lab.run(command=("sh", "-c", "exit 3"))
    seen = lab.until_status(ContainerStatus.EXITED)
    assert (seen.id, seen.exit_code) == (ident, 3)


def test_the_label_goes_before_the_name_and_the_name_before_the_port(lab: Lab) -> None:
    by_port = lab.run()
    assert lab.look().id == by_port
    other = ("--name", "watchdogd-a100", lab.wanted.image, "sleep", "100")
    by_name = lab.dockerd.out("run", "-d", *other)
    assert lab.look().id == by_name
    label = ("--label", "watchdogd.target=a100", lab.wanted.image, "sleep", "100")
    by_label = lab.dockerd.out("run", "-d", *label)
    seen = lab.look()
    assert (seen.id, seen.adopted, seen.publish_as_configured) == (by_label, False, False)


def test_another_targets_container_is_never_meant(lab: Lab) -> None:
    lab.run("--label", "watchdogd.target=b200")
    assert lab.look().id is None


def test_another_service_on_that_port_is_not_adopted(lab: Lab) -> None:
    port = lab.wanted.publish.address.port
    image = (lab.wanted.image, "sleep", "100")
    lab.dockerd.out("run", "-d", "-p", f"127.0.0.1:{port}:9000", *image)
    assert lab.look().id is None


def test_published_to_everybody_is_seen_as_not_as_configured(lab: Lab) -> None:
    port = lab.wanted.publish.address.port
    ident = lab.dockerd.out("run", "-d", "-p", f"{port}:8080", lab.wanted.image, "sleep", "100")
    seen = lab.look()
    assert (seen.id, seen.publish_as_configured) == (ident, False)


def test_a_leftover_of_a_second_run_is_no_candidate(lab: Lab) -> None:
    first = lab.run()
    publish = str(lab.wanted.publish)
    second = ("run", "-d", "-p", publish, lab.wanted.image, *SERVE)
    assert lab.dockerd.cli(*second, check=False).returncode == 125
    assert len(lab.dockerd.out("ps", "-aq").split()) == 2
    assert lab.look().id == first
    lab.dockerd.cli("stop", "-t", "0", first)
    assert lab.look().id == first


def test_two_that_ended_are_ambiguous_unless_one_was_seen_running(lab: Lab) -> None:
    older = lab.run(command=("true",))
    lab.until_status(ContainerStatus.EXITED)
    newer = lab.run(command=("sh", "-c", TERM))
    assert lab.look().id == newer
    lab.dockerd.cli("stop", newer)
    assert lab.look().id == newer, "it was the one that was meant before"
    fresh = DockerEngine(lab.engine._url, lambda deadline: None, lab.clock)
    with pytest.raises(ContainerAmbiguous) as several:
        fresh.look("a100", lab.wanted, lab.within())
    names = {lab.inspect(ident)["Name"].strip("/") for ident in (older, newer)}
    assert set(several.value.names) == names


# ---------------------------------------------------------------- how it ended


def test_ended_by_itself_is_no_persons_doing(lab: Lab) -> None:
    lab.run(command=("true",))
    seen = lab.until_status(ContainerStatus.EXITED)
    assert (seen.exit_code, seen.stopped_by_person, seen.oom) == (0, False, False)
    assert not seen.own_policy_at_work


def test_killed_from_outside_the_engine_is_no_persons_doing(lab: Lab) -> None:
    os.kill(lab.process(lab.run()), signal.SIGKILL)
    seen = lab.until_status(ContainerStatus.EXITED)
    assert (seen.exit_code, seen.stopped_by_person, seen.oom) == (137, False, False)


@pytest.mark.parametrize(
    "words", [("stop", "-t", "1"), ("kill",), ("kill", "-s", "TERM"), ("kill", "-s", "INT")]
)
def test_ended_through_the_engine_is_a_persons_doing(lab: Lab, words: tuple[str, ...]) -> None:
    ident = lab.run(command=("sh", "-c", TERM.replace("TERM", "TERM INT")))
    lab.dockerd.cli(*words, ident)
    assert lab.until_status(ContainerStatus.EXITED).stopped_by_person is True


def test_a_person_who_started_it_again_is_forgotten(lab: Lab) -> None:
    ident = lab.run(command=("sh", "-c", TERM))
    lab.dockerd.cli("stop", ident)
    lab.dockerd.cli("start", ident)
    os.kill(lab.process(ident), signal.SIGKILL)
    assert lab.until_status(ContainerStatus.EXITED).stopped_by_person is False


def test_killed_for_memory(lab: Lab) -> None:
    lab.run("-m", "16m", "--memory-swap", "16m", command=("sh", "-c", "tail /dev/zero"))
    seen = lab.until_status(ContainerStatus.EXITED)
    assert (seen.oom, seen.stopped_by_person) == (True, False)


def test_paused(lab: Lab) -> None:
    ident = lab.run()
    lab.dockerd.cli("pause", ident)
    seen = lab.look()
    assert (seen.status, seen.stopped_by_person) == (ContainerStatus.PAUSED, None)


def test_the_engines_own_policy_at_work(lab: Lab) -> None:
    lab.run("--restart", "always", command=("sh", "-c", "sleep 0.2; exit 1"))
    until(lambda: lab.look().restart_count >= 2)
    until(lambda: lab.look().status is ContainerStatus.RESTARTING)
    seen = lab.look()
    assert seen.restart_policy == "always"
    assert seen.own_policy_at_work or seen.status is ContainerStatus.RUNNING


def test_the_policy_is_off_after_a_person_stopped_it(lab: Lab) -> None:
    ident = lab.run("--restart", "unless-stopped", command=("sh", "-c", TERM))
    lab.dockerd.cli("stop", ident)
    seen = lab.until_status(ContainerStatus.EXITED)
    assert (seen.stopped_by_person, seen.own_policy_at_work) == (True, False)


def test_none_in_any_state(lab: Lab) -> None:
    seen = lab.look()
    assert (seen.id, seen.status, seen.stopped_by_person) == (None, None, None)
    assert (seen.image_present, seen.volumes_present) == (True, True)
    lab.wanted = replace(lab.wanted, image="nobody/has-it:1")
    assert lab.look().image_present is False


def test_one_that_was_seen_and_is_removed_with_its_volume(lab: Lab) -> None:
    lab.wanted = replace(lab.wanted, volumes=("wd-data:/content",))
    ident = lab.run("-v", "wd-data:/content", command=("sleep", "100"))
    assert lab.look().id == ident
    lab.dockerd.cli("rm", "-f", ident)
    seen = lab.look()
    assert (seen.id, seen.stopped_by_person, seen.volumes_present) == (None, True, True)
    lab.dockerd.cli("volume", "rm", "wd-data")
    assert lab.look().volumes_present is False


def test_one_that_removes_itself_is_no_persons_doing(lab: Lab) -> None:
    ident = lab.run("--rm", command=("sh", "-c", "sleep 100"))
    assert lab.look().id == ident
    os.kill(lab.process(ident), signal.SIGKILL)
    until(lambda: lab.look().id is None)
    assert lab.look().stopped_by_person is False


# ---------------------------------------------------------------- the engine's own word


def test_an_end_is_told_as_it_happens_and_again_from_a_time_on(lab: Lab) -> None:
    ident = lab.run()
    notices = lab.engine.deaths(0.0, 20.0)
    listening = next(notices)
    assert listening.container == ""
    assert abs(listening.at - time.time()) < 5.0
    os.kill(int(lab.inspect(ident)["State"]["Pid"]), signal.SIGKILL)
    told = next(notices)
    assert told.container == ident
    notices.close()  # type: ignore[attr-defined] # a generator
    again = lab.engine.deaths(told.at, 20.0)
    assert [next(again).container, next(again)] == ["", told]
    again.close()  # type: ignore[attr-defined]


def test_a_quiet_stream_ends_by_itself(lab: Lab) -> None:
    assert [one.container for one in lab.engine.deaths(0.0, 0.2)] == [""]
