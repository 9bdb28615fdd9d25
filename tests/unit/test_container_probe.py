"""The ``container`` probe: what each sight is called, and what cannot be seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.core.sight import ContainerSight
from watchdogd.core.words import Cause, ContainerStatus, Layer, Outcome
from watchdogd.errors import Transient
from watchdogd.ports import ContainerAmbiguous, Deadline, EngineRefused, LinkStatus, Reach, Reading
from watchdogd.probes.container import container
from watchdogd.settings import ContainerSettings, RuntimeSettings, SshSettings, TargetSettings

IS = ContainerSight(read_at=1.0, id="c" * 64, name="colab", status=ContainerStatus.RUNNING)
EXITED = replace(IS, status=ContainerStatus.EXITED, exit_code=1, stopped_by_person=False)
NONE = ContainerSight(read_at=1.0, image_present=True, volumes_present=True)


@dataclass
class Engine:
    """Sees this, or raises it."""

    seen: ContainerSight | Exception

    def look(self, target: str, wanted: ContainerSettings, deadline: Deadline) -> ContainerSight:
        assert (target, wanted.image) == ("a100", "colab; x")
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen


@dataclass
class Links:
    """Up."""

    def status(self) -> LinkStatus:
        return LinkStatus(
            link=cast(Any, object()),
            number=1,
            silent=False,
            dialing=False,
            failure=None,
            failure_detail="",
            failure_mend="",
        )


def probe(seen: ContainerSight | Exception | None) -> Reading:
    clock = SystemClock()
    settings = ContainerSettings(image="colab; x")
    reach = Reach(
        target=TargetSettings(
            name="a100",
            ssh=SshSettings(host="h"),
            runtime=RuntimeSettings(container=settings),
        ),
        clock=clock,
        links=cast(Any, Links()),
        http=cast(Any, None),
        ask_on_server=cast(Any, None),
        route=cast(Any, None),
        canaries=cast(Any, None),
        tokens=cast(Any, None),
        engine=cast(Any, None if seen is None else Engine(seen)),
        sessions=None,
        guard=cast(Any, None),
        agent_health=lambda: "",
    )
    return container(reach, Deadline.after(clock, 5), ())


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (IS, None),
        (NONE, Cause.CONTAINER_MISSING),
        (EXITED, Cause.CONTAINER_EXITED),
        (replace(EXITED, status=ContainerStatus.DEAD), Cause.CONTAINER_EXITED),
        (replace(EXITED, status=ContainerStatus.CREATED), Cause.CONTAINER_EXITED),
        (replace(EXITED, stopped_by_person=True), Cause.CONTAINER_EXITED),
        (replace(EXITED, oom=True), Cause.CONTAINER_OOM),
        (replace(EXITED, own_policy_at_work=True), Cause.CONTAINER_RESTARTING),
        (replace(IS, status=ContainerStatus.RESTARTING), Cause.CONTAINER_RESTARTING),
        (replace(IS, status=ContainerStatus.PAUSED), Cause.CONTAINER_PAUSED),
    ],
)
def test_each_sight_has_its_cause(seen: ContainerSight, cause: Cause | None) -> None:
    reading = probe(seen)
    (observation,) = reading.observations
    assert observation.cause is cause
    assert observation.outcome is (Outcome.OK if cause is None else Outcome.FAIL)
    assert observation.layer is Layer.CONTAINER
    assert reading.container == seen


@pytest.mark.parametrize("status", [None, ContainerStatus.REMOVING])
def test_neither_running_nor_ended_says_nothing(status: ContainerStatus | None) -> None:
    (observation,) = probe(replace(IS, status=status)).observations
    assert observation.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("raised", "outcome", "layer", "cause"),
    [
        (EngineRefused("no", "mend"), Outcome.UNKNOWN, Layer.CONTAINER, None),
        (Transient(Cause.LINK_LOST, "no", mend="mend"), Outcome.UNKNOWN, Layer.CONTAINER, None),
        (Transient(Cause.REMOTE_WEDGED, "no", mend="mend"), Outcome.UNKNOWN, Layer.CONTAINER, None),
        (
            Transient(Cause.CONTAINER_ENGINE_DOWN, "no", mend="mend"),
            Outcome.FAIL,
            Layer.HOST,
            Cause.CONTAINER_ENGINE_DOWN,
        ),
    ],
)
def test_not_being_able_to_ask(
    raised: Exception, outcome: Outcome, layer: Layer, cause: Cause | None
) -> None:
    reading = probe(raised)
    (observation,) = reading.observations
    assert (observation.outcome, observation.layer, observation.cause) == (outcome, layer, cause)
    assert (observation.detail, observation.mend) == ("no", "mend")
    assert reading.container is None


def test_several_are_named() -> None:
    (observation,) = probe(ContainerAmbiguous(("one", "two"))).observations
    assert observation.cause is Cause.CONTAINER_AMBIGUOUS
    assert "one, two" in observation.detail
    assert "runtime.container.name" in observation.mend


@pytest.mark.parametrize(
    ("changes", "words", "mend"),
    [
        (
            {"image_present": False},
            "nor its image colab; x",
            "on the server: docker pull 'colab; x'",
        ),
        ({"stopped_by_person": True}, "removed by a person", ""),
        ({"volumes_present": False}, "data volume", ""),
    ],
)
def test_why_it_is_missing(changes: dict[str, bool], words: str, mend: str) -> None:
    (observation,) = probe(replace(NONE, **cast(Any, changes))).observations
    assert observation.cause is Cause.CONTAINER_MISSING
    assert words in observation.detail
    assert observation.mend == mend


def test_why_the_last_start_failed_is_said() -> None:
    (observation,) = probe(replace(EXITED, error="no driver")).observations
    assert "no driver" in observation.detail


def test_another_kind_of_runtime_has_none() -> None:
    assert probe(None) == Reading(observations=())


def test_one_that_is_dead_is_told_with_what_a_person_can_do() -> None:
    (seen,) = probe(replace(EXITED, status=ContainerStatus.DEAD)).observations
    assert (seen.outcome, seen.cause) == (Outcome.FAIL, Cause.CONTAINER_EXITED)
    assert "is dead" in seen.detail
    assert seen.mend == "on the server: docker rm colab"


def test_one_that_is_being_removed_is_unknown_and_told() -> None:
    (seen,) = probe(replace(EXITED, status=ContainerStatus.REMOVING)).observations
    assert (seen.outcome, seen.cause) == (Outcome.UNKNOWN, None)
    assert "is being removed" in seen.detail
    assert seen.mend


@pytest.mark.parametrize(("flag", "shown"), [("", False), ("healthy", False), ("unhealthy", True)])
def test_its_own_health_flag_is_shown_and_is_no_failure(flag: str, shown: bool) -> None:
    (seen,) = probe(replace(IS, health=flag)).observations
    assert seen.outcome is Outcome.OK
    assert ("says unhealthy" in seen.detail) is shown
