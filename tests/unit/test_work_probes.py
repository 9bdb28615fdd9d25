"""Probes ``gpu``, ``kernel`` and ``training``: what they make of what a server says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import RUNNING, FakeLink, FakeLinks, reach_with
from watchdogd.core.model import Observation
from watchdogd.core.sight import GpuDevice, GpuProcess, GpuTool, TrainingSight
from watchdogd.core.words import Cause, Kind, Layer, Outcome, ProbeName, Vantage
from watchdogd.errors import Transient
from watchdogd.ports import Completed, Deadline, HttpAnswer, HttpEnd, Reach, Reading
from watchdogd.probes.gpu import gpu
from watchdogd.probes.gpu import parse as parse_gpu
from watchdogd.probes.kernel import KERNELS, kernel
from watchdogd.probes.kernel import parse as parse_kernels
from watchdogd.probes.training import parse as parse_training
from watchdogd.probes.training import training
from watchdogd.settings import Address, Secret, TrainingSettings

UUID = "GPU-5f4b1c9e-0000-1111-2222-333344445555"


def answering(clock: FakeClock, lines: Sequence[str]) -> FakeLinks:
    def answer(argv: Sequence[str], stdin: bytes) -> Completed:
        return Completed(0, "\n".join(["motd", argv[3], *lines, argv[3], ""]).encode(), b"")

    return FakeLinks(link=FakeLink(clock, answer))


def only(reading: Reading) -> Observation:
    (observation,) = reading.observations
    return observation


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


# ---------------------------------------------------------------- gpu


class TestGpu:
    def look(self, clock: FakeClock, lines: Sequence[str]) -> Reading:
        reach = with_gpus(reach_with(clock, links=answering(clock, lines)))
        return gpu(reach, Deadline.after(clock, 20), ())

    def test_all_of_it(self, clock: FakeClock) -> None:
        reading = self.look(
            clock, [f"gpu=0, {UUID}, 97, 70123, 81559", f"process={UUID}, 4242", "tool=ok"]
        )
        assert only(reading).outcome is Outcome.OK
        assert reading.gpu is not None
        assert reading.gpu.devices == (
            GpuDevice(
                index=0,
                uuid=UUID,
                utilization=0.97,
                memory_used=70123 * 1024**2,
                memory_total=81559 * 1024**2,
            ),
        )
        assert reading.gpu.processes == (GpuProcess(gpu=UUID, pid=4242),)

    @pytest.mark.parametrize(
        "lines",
        [
            [],
            ["tool=ok", "tool=ok"],
            ["tool=perhaps"],
            ["tool=failed"],
            [f"gpu=0, {UUID}, 97", "tool=ok"],
            ["gpu=x, y z, 1, 2, 3", "tool=ok"],
            [f"process={UUID}, $(reboot)", "tool=ok"],
            ["gpu=Failed to initialize NVML: Unknown Error", "tool=ok"],
        ],
    )
    def test_what_is_not_understood_is_not_told(self, clock: FakeClock, lines: list[str]) -> None:
        reading = self.look(clock, lines)
        assert only(reading).outcome is Outcome.UNKNOWN
        assert reading.gpu is not None
        assert reading.gpu.tool is GpuTool.FAILED

    def test_a_field_that_the_device_does_not_tell(self) -> None:
        (device,) = parse_gpu([f"gpu=1, {UUID}, [N/A], 5, [N/A]", "tool=ok"], 0.0).devices
        assert (device.utilization, device.memory_total) == (None, None)

    def test_a_link_that_breaks_and_a_shell_that_says_something_else(
        self, clock: FakeClock
    ) -> None:
        def hang(argv: Sequence[str], stdin: bytes) -> Completed:
            raise Transient(Cause.REMOTE_WEDGED, "late")

        for answer in (hang, lambda argv, stdin: Completed(0, b"go away", b"")):
            links = FakeLinks(link=FakeLink(clock, answer))
            reading = gpu(with_gpus(reach_with(clock, links=links)), Deadline.after(clock, 9), ())
            assert only(reading).outcome is Outcome.UNKNOWN
            assert reading.gpu is None
        reading = gpu(with_gpus(reach_with(clock, links=FakeLinks())), Deadline.after(clock, 9), ())
        assert only(reading).outcome is Outcome.UNKNOWN

    def test_one_that_has_not_come_back_is_no_news(self, clock: FakeClock) -> None:
        """It may be another laptop's, in time: what was read before stands until it is old."""
        reading = self.look(clock, ["tool=busy"])
        assert only(reading).outcome is Outcome.UNKNOWN
        assert "has not come back" in only(reading).detail
        assert reading.gpu is None

    def test_nobody_asks_where_no_gpu_was_given(self, clock: FakeClock) -> None:
        reach = reach_with(clock, kind=Kind.EXTERNAL)
        assert gpu(reach, Deadline.after(clock, 9), ()).observations == ()


def with_gpus(reach: Reach) -> Reach:
    container = reach.target.runtime.container
    assert container is not None
    runtime = replace(reach.target.runtime, container=replace(container, gpus="all"))
    return replace(reach, target=replace(reach.target, runtime=runtime))


# ---------------------------------------------------------------- kernel

ID = "6a9c0a1e-9f1b-4b3a-8a53-2f1f0f5ad0f1"


def answers(status: int, body: object) -> Callable[..., HttpAnswer]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def get(address: Address, path: str, *, token: Secret | None, deadline: Deadline) -> HttpAnswer:
        assert path == KERNELS
        assert token is not None
        return HttpAnswer(end=HttpEnd.ANSWERED, status=status, body=data)

    return get


def usable(clock: FakeClock, outcome: Outcome = Outcome.OK) -> Reading:
    seen = Observation(
        probe=ProbeName.RUNTIME_TUNNEL,
        layer=Layer.RUNTIME,
        vantage=Vantage.TUNNEL,
        outcome=outcome,
        started=clock.run(),
        ended=clock.run(),
    )
    return Reading(observations=(seen,))


class TestKernel:
    def test_busy_and_idle(self, clock: FakeClock) -> None:
        listed = [
            {"id": ID, "execution_state": "busy", "connections": 1},
            {"id": ID.replace("6a", "7b"), "execution_state": "idle", "connections": 0},
            {"id": ID.replace("6a", "8c"), "execution_state": "starting"},
        ]
        reach = reach_with(clock, http=answers(200, listed))
        reading = kernel(reach, Deadline.after(clock, 9), (usable(clock),))
        assert only(reading).outcome is Outcome.OK
        assert reading.kernels is not None
        assert reading.kernels.busy == {ID}
        assert len(reading.kernels.kernels) == 3
        assert reading.kernels.connections == 1

    def test_of_a_silent_runtime_nothing_more_is_asked(self, clock: FakeClock) -> None:
        def never(*_: object, **__: object) -> HttpAnswer:
            raise AssertionError

        reach = reach_with(clock, http=never)
        for so_far in ((), (usable(clock, Outcome.FAIL),), (usable(clock, Outcome.UNKNOWN),)):
            reading = kernel(reach, Deadline.after(clock, 9), so_far)
            assert only(reading).outcome is Outcome.UNKNOWN
            assert reading.kernels is None

    def test_a_handler_that_fails_is_told(self, clock: FakeClock) -> None:
        reach = reach_with(clock, http=answers(500, []))
        seen = only(kernel(reach, Deadline.after(clock, 9), (usable(clock),)))
        assert (seen.outcome, seen.cause) == (Outcome.FAIL, Cause.RUNTIME_ERROR)
        assert "list of kernels is 500" in seen.detail

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (403, []),
            (200, b"<html>"),
            (200, {}),
            (200, [{}] * 1001),
            (200, b"[" * 100000),
        ],
    )
    def test_an_odd_answer_is_unknown(self, clock: FakeClock, status: int, body: object) -> None:
        reach = reach_with(clock, http=answers(status, body))
        reading = kernel(reach, Deadline.after(clock, 9), (usable(clock),))
        assert only(reading).outcome is Outcome.UNKNOWN
        assert reading.kernels is None

    def test_a_state_that_is_not_known_is_busy_and_a_hostile_id_is_nobody(self) -> None:
        listed = [
            {"id": ID, "execution_state": "thinking", "connections": -5},
            {"id": "$(reboot)", "execution_state": "busy"},
            {"id": 7, "execution_state": "busy"},
            "text",
        ]
        found = parse_kernels(json.dumps(listed).encode(), 0.0)
        assert found is not None
        assert (set(found.busy), set(found.kernels), found.connections) == ({ID}, {ID}, 0)


# ---------------------------------------------------------------- training

WATCHED = TrainingSettings(progress_file="/p", checkpoints="/c/*", log_file="/l")


def trained(clock: FakeClock, lines: Sequence[str]) -> Reading:
    reach = reach_with(clock, links=answering(clock, lines))
    reach = replace(reach, target=replace(reach.target, training=WATCHED))
    return training(reach, Deadline.after(clock, 9), ())


class TestTraining:
    def test_all_of_it(self, clock: FakeClock) -> None:
        reading = trained(
            clock,
            [
                "now=1700000100",
                "progress_time=1700000090",
                "progress_bytes=80",
                'progress={"step": 1200, "total": 9e4, "loss": 0.1, "phase": "train", "ts": 1}',
                "checkpoint_time=1700000000",
                "checkpoint_name=12345 17",
                "log_bytes=4711",
            ],
        )
        assert only(reading).outcome is Outcome.OK
        assert only(reading).detail == "step 1200 of 90000"
        assert reading.training == TrainingSight(
            read_at=clock.run(),
            progress_mark="1200:train",
            progress_age=10.0,
            step=1200.0,
            total=90000.0,
            phase="train",
            checkpoint_mark="1700000000:12345 17",
            checkpoint_age=100.0,
            log_bytes=4711,
        )

    @pytest.mark.parametrize(
        "text",
        [
            '{"step": 12',
            "",
            "[]",
            "null",
            '{"step": "x"}',
            '{"step": true}',
            '{"step": 1e300}',
            "[" * 4000,
        ],
        ids=["half", "empty", "list", "null", "text", "flag", "huge", "deep"],
    )
    def test_a_progress_file_that_makes_no_sense_is_told_by_its_date(self, text: str) -> None:
        lines = ["now=100", "progress_time=90", "progress_bytes=7", f"progress={text}"]
        found = parse_training(lines, 5.0)
        assert (found.progress_mark, found.progress_age) == ("90:7", 10.0)
        assert found.step is None

    def test_one_from_the_future_has_a_negative_age(self) -> None:
        found = parse_training(["now=100", "progress_time=4000", "progress={}"], 5.0)
        assert found.progress_age == -3900.0

    def test_a_hostile_phase_is_none(self) -> None:
        text = json.dumps({"step": 1, "phase": "$(reboot)\x1b[2J"})
        assert parse_training(["now=1", "progress_time=1", f"progress={text}"], 5.0).phase == ""

    def test_nothing_there_yet_is_no_fault_and_no_sight_is_unknown(self, clock: FakeClock) -> None:
        assert only(trained(clock, ["now=100"])).outcome is Outcome.OK
        reading = trained(clock, ["now=100", "unread=yes"])
        assert only(reading).outcome is Outcome.UNKNOWN
        assert reading.training is None

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("unread=yes", "container"),
            ("unread=late", "in time"),
            ("unread=held", "the last look at the signs of training has not come back"),
        ],
    )
    def test_why_it_is_unread_is_told(self, clock: FakeClock, line: str, says: str) -> None:
        seen = only(trained(clock, [line]))
        assert seen.outcome is Outcome.UNKNOWN
        assert says in seen.detail
        assert bool(seen.mend) is (line != "unread=yes")

    def test_nobody_looks_where_nothing_is_configured(self, clock: FakeClock) -> None:
        assert training(reach_with(clock), Deadline.after(clock, 9), ()).observations == ()

    def test_it_asks_in_the_container_that_runs(self, clock: FakeClock) -> None:
        asked: list[Sequence[str]] = []

        def answer(argv: Sequence[str], stdin: bytes) -> Completed:
            asked.append(argv)
            return Completed(0, b"", b"")

        reach = reach_with(clock, links=FakeLinks(link=FakeLink(clock, answer)))
        reach = replace(reach, target=replace(reach.target, training=WATCHED))
        training(reach, Deadline.after(clock, 9), [Reading(observations=(), container=RUNNING)])
        training(reach, Deadline.after(clock, 9), [])
        assert [tuple(argv[4:]) for argv in asked] == [
            ("a100", "c" * 64, "/p", "/c/*", "/l"),
            ("a100", "-", "/p", "/c/*", "/l"),
        ]
