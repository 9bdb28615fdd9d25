"""Commands become jobs, jobs become exactly one event; nothing charged runs before its intent is kept."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from tests.fakes_reach import FakeGuard, no_canaries
from tests.lab.waiting import until
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.http import get
from watchdogd.adapters.tokens import TokenFile
from watchdogd.carrying import Executor
from watchdogd.core.commands import (
    Apply,
    AskLink,
    Bind,
    Dial,
    Probe,
    RunHook,
    SetAnswer,
    StartOver,
)
from watchdogd.core.events import DialFailed, Event, HookFinished, Observed, RemedyFinished
from watchdogd.core.model import (
    Charge,
    Env,
    Intent,
    Memory,
    Observation,
)
from watchdogd.core.resume import Hook
from watchdogd.core.sight import Generation
from watchdogd.core.words import (
    Cause,
    Kind,
    Layer,
    Outcome,
    ProbeName,
    Refusal,
    Remedy,
    Result,
    Vantage,
)
from watchdogd.errors import Permanent, Transient
from watchdogd.loop import env_of
from watchdogd.ports import (
    Deadline,
    ForwardFacts,
    Kept,
    Link,
    LinkFacts,
    LinkStatus,
    ProbeFunction,
    Reach,
    Reading,
    RouteFacts,
)
from watchdogd.ports import Outcome as Said
from watchdogd.settings import ProbeSettings, RuntimeSettings, SshSettings, TargetSettings
from watchdogd.workers import Workers

SOON = 5.0
CLOCK = SystemClock()
ENV = env_of(CLOCK)


@dataclass
class Line:
    """Stands for a link; only its facts are asked for."""

    round_trip: float | None = None

    def facts(self) -> LinkFacts:
        return LinkFacts(connected_at=0.0, last_received_at=0.0, round_trip=self.round_trip)


@dataclass
class Links:
    """Links that are there or not, and remember what was asked of them."""

    up: bool = True
    line: Line = field(default_factory=Line)
    silent: bool = False
    broken: Exception | None = None
    asked: list[object] = field(default_factory=list)
    answers: queue.Queue[tuple[Cause | None, float]] = field(default_factory=queue.Queue)

    def status(self) -> LinkStatus:
        link = cast(Link, self.line) if self.up else None
        return LinkStatus(
            link=link,
            number=1,
            silent=self.silent,
            dialing=False,
            failure=None,
            failure_detail="",
            failure_mend="",
        )

    def current(self) -> Link:
        raise Transient(Cause.LINK_LOST, "none")

    def reconnect(self, deadline: Deadline, *, ordered: bool = False) -> None:
        raise AssertionError

    def reopen(self, deadline: Deadline) -> None:
        raise AssertionError

    def forward(self) -> ForwardFacts:
        return ForwardFacts(
            bound=True, holder="", open_connections=0, sent_bytes=0, received_bytes=0
        )

    def dial(self, number: int, deadline: Deadline) -> None:
        self.asked.append(number)
        if self.broken:
            raise self.broken

    def close_link(self, number: int, drain_seconds: float) -> None:
        self.asked.append(number)

    def ask_link(self, number: int) -> None:
        self.asked.append(("ask", number))

    def start_over(self) -> None:
        self.asked.append("start over")

    def bind(self) -> None:
        self.asked.append("bind")

    def set_answer(self, cause: Cause | None, retry_after: float) -> None:
        self.answers.put((cause, retry_after))


@dataclass
class Notes:
    """A journal that keeps, refuses or hangs, and says in which order things happened."""

    error: OSError | None = None
    order: list[str] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    finished: queue.Queue[tuple[str, Result]] = field(default_factory=queue.Queue)

    def load(self, target: str, now: Env) -> Kept:
        return Kept()

    def remember(self, target: str, memory: Memory, now: Env) -> None: ...

    def intend(self, target: str, intent: Intent, charge: Charge) -> None:
        if self.error:
            raise self.error
        self.order.append("intent")
        self.charges.append(charge)

    def finish(self, target: str, key: str, result: Result) -> None:
        self.finished.put((key, result))

    def intend_hook(self, target: str, hook: Hook, now: Env) -> None:
        if self.error:
            raise self.error
        self.order.append("hook intent")

    def finish_hook(self, target: str, key: str, result: Result) -> None:
        self.finished.put((key, result))

    def close(self) -> None: ...


class Bench:
    """An executor on real workers; what it posts is read with ``event``."""

    def __init__(self, tmp_path: Path) -> None:
        self.links = Links()
        self.notes = Notes()
        self.workers = Workers(CLOCK, 8)
        self.events: queue.Queue[Event] = queue.Queue()
        self.laptop: dict[ProbeName, ProbeFunction] = {ProbeName.AGENT: ok(ProbeName.AGENT)}
        self.server: dict[ProbeName, ProbeFunction] = {ProbeName.HOST: ok(ProbeName.HOST)}
        self.remedy: Callable[[], Said] = lambda: Said(result=Result.DONE, detail="seen")
        self.hook: Callable[[], Said] = lambda: Said(result=Result.DONE, detail="begun")
        target = TargetSettings(
            name="a100",
            ssh=SshSettings(host="127.0.0.1"),
            runtime=RuntimeSettings(kind=Kind.EXTERNAL),
            probe=ProbeSettings(timeout=0.3),
        )
        self.reach = Reach(
            target=target,
            clock=CLOCK,
            links=self.links,
            http=get,
            ask_on_server=get,
            route=lambda deadline: RouteFacts(routed=True, resolved=None),
            canaries=no_canaries,
            tokens=TokenFile(str(tmp_path / "token"), None),
            engine=None,
            sessions=None,
            guard=FakeGuard(),
            agent_health=lambda: "",
        )

    def executor(self, *, journal: bool = True, harmless_only: bool = False) -> Executor:
        def remedy(reach: Reach, intent: Intent, deadline: Deadline) -> Said:
            self.notes.order.append("act")
            return self.remedy()

        def hook(target: TargetSettings, hook: Hook, deadline: Deadline) -> Said:
            self.notes.order.append("hook")
            return self.hook()

        return Executor(
            self.reach,
            self.links,
            self.workers,
            self.events.put,
            laptop=self.laptop,
            tunnel={},
            server=self.server,
            remedies={Remedy.RECONNECT: remedy, Remedy.START_CONTAINER: remedy},
            journal=self.notes if journal else None,
            hook=hook,
            harmless_only=harmless_only,
        )

    def event(self, seconds: float = SOON) -> Event:
        return self.events.get(timeout=seconds)

    def observed(self) -> dict[ProbeName, Observation]:
        event = self.event()
        assert isinstance(event, Observed)
        return {seen.probe: seen for seen in event.observations}

    def hooked(self, seconds: float = SOON) -> HookFinished:
        event = self.event(seconds)
        assert isinstance(event, HookFinished)
        return event

    def finished(self) -> RemedyFinished:
        event = self.event()
        assert isinstance(event, RemedyFinished)
        return event


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    assert made.workers.close(SOON) == ()
    assert made.events.empty(), "more than one answer"


def ok(probe: ProbeName) -> ProbeFunction:
    def look(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
        now = reach.clock.run()
        seen = Observation(
            probe=probe,
            layer=Layer.HOST,
            vantage=Vantage.SERVER,
            outcome=Outcome.OK,
            started=now,
            ended=now,
            detail=f"after {len(so_far)}",
        )
        return Reading(observations=(seen,))

    return look


def intent(remedy: Remedy, *, charged: bool, seconds: float = 1.0) -> Intent:
    return Intent(
        key=f"key-{remedy}",
        remedy=remedy,
        incident="i1",
        cause=Cause.CONTAINER_EXITED,
        generation=Generation(),
        decided=0.0,
        deadline_seconds=seconds,
        charged=charged,
    )


CHARGED = Apply(intent=intent(Remedy.START_CONTAINER, charged=True))
HARMLESS = Apply(intent=intent(Remedy.RECONNECT, charged=False))


RESUME = RunHook(
    hook=Hook(
        key="k",
        incident="i1",
        repair="i1:0:start_container",
        generation=Generation(container="c"),
        attempt=1,
        back=0,
        step=None,
        decided=0.0,
        deadline_seconds=0.2,
    )
)


# -------------------------------------------------------------------- probes


def test_a_deep_round_joins_both_lanes_into_one_observed(bench: Bench) -> None:
    bench.server[ProbeName.RUNTIME_SERVER] = ok(ProbeName.RUNTIME_SERVER)
    bench.executor().carry(Probe(round=7, deep=True), ENV)
    event = bench.event()
    assert isinstance(event, Observed)
    assert event.round == 7
    assert [(seen.probe, seen.detail) for seen in event.observations] == [
        (ProbeName.AGENT, "after 0"),
        (ProbeName.HOST, "after 0"),
        (ProbeName.RUNTIME_SERVER, "after 1"),
    ]


def test_on_a_slow_line_probes_get_the_time_that_an_answer_takes(bench: Bench) -> None:
    given: queue.Queue[tuple[float, float]] = queue.Queue()

    def look(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
        given.put((reach.target.probe.timeout, deadline.remaining()))
        return Reading(observations=())

    bench.laptop[ProbeName.RUNTIME_TUNNEL] = look
    executor = bench.executor()
    for trip in (None, 8.0):
        bench.links.line.round_trip = trip
        executor.carry(Probe(round=1, deep=False), ENV)
        bench.event()
    (usual, its_time), (slow, more_time) = given.get_nowait(), given.get_nowait()
    assert (usual, slow) == (0.3, 30.0)
    assert its_time <= 0.3
    assert 25 < more_time <= 30


def test_a_shallow_round_does_not_look_from_the_server(bench: Bench) -> None:
    bench.executor().carry(Probe(round=1, deep=False), ENV)
    assert set(bench.observed()) == {ProbeName.AGENT}


def test_without_a_link_the_server_side_is_unknown(bench: Bench) -> None:
    bench.links.up = False
    bench.executor().carry(Probe(round=1, deep=True), ENV)
    assert bench.observed()[ProbeName.HOST].outcome is Outcome.UNKNOWN


def test_over_a_silent_link_nothing_is_asked_of_the_server(
    bench: Bench, gate: threading.Event
) -> None:
    bench.links.silent = True
    bench.server = {ProbeName.HOST: hang(gate)}
    bench.executor().carry(Probe(round=1, deep=True), ENV)
    seen = bench.observed()[ProbeName.HOST]
    assert (seen.outcome, seen.detail) == (Outcome.UNKNOWN, "the SSH link is silent")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def hang(gate: threading.Event) -> ProbeFunction:
    def look(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
        gate.wait()
        return Reading(observations=())

    return look


def test_a_probe_that_hangs_is_unknown_at_the_deadline_and_not_begun_again_while_it_hangs(
    bench: Bench, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchdogd.carrying.executor.SERVER_SECONDS", 0.1)
    bench.server = {
        ProbeName.HOST: hang(gate),
        ProbeName.RUNTIME_SERVER: ok(ProbeName.RUNTIME_SERVER),
    }
    executor = bench.executor()
    executor.carry(Probe(round=1, deep=True), ENV)
    first = bench.observed()
    assert first[ProbeName.HOST].outcome is Outcome.UNKNOWN
    assert first[ProbeName.RUNTIME_SERVER].outcome is Outcome.UNKNOWN
    assert first[ProbeName.AGENT].outcome is Outcome.OK
    executor.carry(Probe(round=2, deep=True), ENV)
    second = bench.observed()
    assert "earlier round" in second[ProbeName.HOST].detail
    assert second[ProbeName.RUNTIME_SERVER].outcome is Outcome.OK
    gate.set()


def test_a_probe_that_raises_is_a_bug_of_the_agent_and_the_others_go_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
        raise KeyError("secret")

    bench.laptop = {ProbeName.NETWORK: broken, ProbeName.AGENT: ok(ProbeName.AGENT)}
    bench.executor().carry(Probe(round=1, deep=False), ENV)
    seen = bench.observed()
    assert (seen[ProbeName.NETWORK].layer, seen[ProbeName.NETWORK].cause) == (
        Layer.AGENT,
        Cause.BUG,
    )
    assert "secret" not in seen[ProbeName.NETWORK].detail
    assert seen[ProbeName.AGENT].outcome is Outcome.OK
    assert "KeyError" in caplog.text


def test_what_is_known_in_memory_is_read_on_the_way_but_never_on_the_decision_loop(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    where: dict[ProbeName, str] = {}

    def noted(probe: ProbeName) -> ProbeFunction:
        def look(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
            where[probe] = threading.current_thread().name
            return ok(probe)(reach, deadline, so_far)

        return look

    def broken(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
        raise KeyError("oops")

    bench.laptop = {ProbeName.SSH: noted(ProbeName.SSH), ProbeName.FORWARD: broken}
    bench.laptop[ProbeName.RUNTIME_TUNNEL] = noted(ProbeName.RUNTIME_TUNNEL)
    bench.executor().carry(Probe(round=1, deep=False), ENV)
    seen = bench.observed()
    assert all(name.startswith("worker-") for name in where.values()), where
    assert seen[ProbeName.SSH].outcome is Outcome.OK
    assert seen[ProbeName.FORWARD].cause is Cause.BUG
    assert seen[ProbeName.RUNTIME_TUNNEL].outcome is Outcome.OK
    assert "probe forward of a100 failed" in caplog.text


def test_what_the_world_does_to_a_probe_is_unknown_not_a_bug(bench: Bench) -> None:
    def cut(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
        raise Transient(Cause.LINK_LOST, "the link ended")

    bench.server = {ProbeName.HOST: cut}
    bench.executor().carry(Probe(round=1, deep=True), ENV)
    seen = bench.observed()[ProbeName.HOST]
    assert (seen.outcome, seen.detail) == (Outcome.UNKNOWN, "the link ended")


# -------------------------------------------------------------------- remedies


def test_a_charged_remedy_acts_after_its_intent_is_kept_and_tells_the_journal(
    bench: Bench,
) -> None:
    bench.executor().carry(CHARGED, ENV)
    assert bench.finished() == RemedyFinished(
        key="key-start_container", result=Result.DONE, detail="seen"
    )
    assert bench.notes.order == ["intent", "act"]
    assert bench.notes.charges == [
        Charge(
            remedy=Remedy.START_CONTAINER,
            key="key-start_container",
            wall=ENV.wall,
            boot=ENV.boot,
            boot_id=ENV.boot_id,
        )
    ]
    assert bench.notes.finished.get(timeout=SOON) == ("key-start_container", Result.DONE)


def test_no_commit_no_act(bench: Bench) -> None:
    bench.notes.error = OSError("disk full")
    bench.executor().carry(CHARGED, ENV)
    answer = bench.finished()
    assert (answer.result, answer.reason) == (Result.NOTHING, Refusal.OBSERVE)
    assert answer.detail.startswith("journal")
    assert bench.notes.order == []


def test_a_commit_that_comes_too_late_releases_nothing(
    bench: Bench, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchdogd.carrying.executor.JOURNAL_SECONDS", 0.05)
    monkeypatch.setattr(bench.notes, "intend", lambda *_: gate.wait())
    bench.executor().carry(CHARGED, ENV)
    assert bench.finished().reason is Refusal.OBSERVE
    gate.set()
    assert bench.workers.close(SOON) == ()
    assert bench.notes.order == []


def test_without_a_journal_nothing_charged_runs(bench: Bench) -> None:
    bench.executor(journal=False).carry(CHARGED, ENV)
    assert bench.finished().reason is Refusal.OBSERVE
    assert bench.notes.order == []


def test_a_harmless_remedy_waits_for_no_disk(bench: Bench) -> None:
    bench.notes.error = OSError("disk full")
    bench.executor().carry(HARMLESS, ENV)
    assert bench.finished().result is Result.DONE
    assert bench.notes.finished.empty()


def test_once_means_harmless_remedies_only(bench: Bench) -> None:
    executor = bench.executor(harmless_only=True)
    executor.carry(CHARGED, ENV)
    answer = bench.finished()
    assert (answer.result, answer.reason) == (Result.NOTHING, Refusal.OBSERVE)
    executor.carry(HARMLESS, ENV)
    assert bench.finished().result is Result.DONE
    assert bench.notes.order == ["act"]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Transient(Cause.LINK_LOST, "gone"), Result.UNKNOWN),
        (Transient(Cause.CONTAINER_EXITED, "would not start"), Result.FAILED),
        (Permanent(Cause.AUTH, "refused", mend="ssh-add"), Result.FAILED),
        (ZeroDivisionError(), Result.FAILED),
    ],
)
def test_how_a_remedy_ends_when_it_raises(bench: Bench, error: Exception, result: Result) -> None:
    def broken() -> Said:
        raise error

    bench.remedy = broken
    bench.executor().carry(CHARGED, ENV)
    answer = bench.finished()
    assert answer.result is result
    assert answer.mend == getattr(error, "mend", "")
    assert bench.notes.finished.get(timeout=SOON)[1] is result


def test_a_remedy_past_its_deadline_is_unknown(
    bench: Bench, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchdogd.carrying.executor.SLACK", 0.05)

    def slow() -> Said:
        gate.wait()
        return Said(result=Result.DONE)

    bench.remedy = slow
    short = replace(CHARGED.intent, deadline_seconds=0.05)
    bench.executor().carry(Apply(intent=short), ENV)
    assert bench.finished().result is Result.UNKNOWN
    gate.set()


def test_after_stop_no_remedy_begins(bench: Bench) -> None:
    executor = bench.executor()
    executor.stop()
    executor.carry(HARMLESS, ENV)
    assert bench.finished().result is Result.NOTHING
    assert bench.notes.order == []


# -------------------------------------------------------------------- links


# -------------------------------------------------------------------- the resume hook


def test_a_hook_runs_after_it_is_kept_and_the_journal_is_told_its_end(bench: Bench) -> None:
    bench.executor().carry(RESUME, ENV)
    assert bench.hooked() == HookFinished(key="k", result=Result.DONE, detail="begun")
    assert bench.notes.order == ["hook intent", "hook"]
    assert bench.notes.finished.get(timeout=SOON) == ("k", Result.DONE)


@pytest.mark.parametrize(
    ("error", "result", "detail"),
    [
        (OSError(28, "no room"), Result.NOTHING, "no room"),
        (FileExistsError(17, "there"), Result.FAILED, "begun for this generation before"),
    ],
)
def test_a_hook_that_cannot_be_kept_is_not_begun(
    bench: Bench, error: OSError, result: Result, detail: str
) -> None:
    bench.notes.error = error
    bench.executor().carry(RESUME, ENV)
    told = bench.hooked()
    assert told.result is result
    assert detail in told.detail
    assert bench.notes.order == []


@pytest.mark.parametrize("how", [{"journal": False}, {"harmless_only": True}])
def test_a_hook_needs_a_journal_and_an_agent_that_stays(bench: Bench, how: dict[str, bool]) -> None:
    bench.executor(**how).carry(RESUME, ENV)
    assert bench.hooked().result is Result.NOTHING
    assert bench.notes.order == []


def test_after_stop_no_hook_begins_and_the_journal_takes_it_back(bench: Bench) -> None:
    executor = bench.executor()
    executor.stop()
    executor.carry(RESUME, ENV)
    assert bench.hooked().result is Result.NOTHING
    assert bench.notes.order == ["hook intent"]
    assert bench.notes.finished.get(timeout=SOON) == ("k", Result.NOTHING)


def test_a_hook_that_raises_or_hangs_has_failed(
    bench: Bench, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Said:
        raise RuntimeError

    bench.hook = broken
    executor = bench.executor()
    executor.carry(RESUME, ENV)
    assert bench.hooked().result is Result.FAILED
    assert bench.notes.finished.get(timeout=SOON) == ("k", Result.FAILED)
    monkeypatch.setattr("watchdogd.carrying.hook_jobs.END_SECONDS", 0.1)

    def hangs() -> Said:
        gate.wait()
        return Said(result=Result.DONE)

    bench.hook = hangs
    executor.carry(RESUME, ENV)
    assert bench.hooked().result is Result.UNKNOWN
    assert bench.notes.finished.get(timeout=SOON) == ("k", Result.UNKNOWN)


def test_a_dial_that_breaks_is_told_as_failed(bench: Bench) -> None:
    bench.links.broken = ZeroDivisionError()
    bench.executor().carry(Dial(number=4), ENV)
    event = bench.event()
    assert isinstance(event, DialFailed)
    assert (event.number, event.cause, event.permanent) == (4, Cause.BUG, False)


@pytest.mark.parametrize(("up", "silent"), [(False, False), (True, True)])
def test_without_a_link_nothing_is_begun_on_the_server_and_the_result_is_no_riddle(
    bench: Bench, up: bool, silent: bool
) -> None:
    bench.links.up, bench.links.silent = up, silent
    bench.executor().carry(CHARGED, ENV)
    done = bench.finished()
    assert (done.result, done.reason) == (Result.NOTHING, Refusal.NO_SIGHT)
    assert "act" not in bench.notes.order


def test_link_commands_reach_the_links(bench: Bench) -> None:
    executor = bench.executor()
    executor.carry(Dial(number=4), ENV)
    executor.carry(AskLink(number=3), ENV)
    assert ("ask", 3) in bench.links.asked  # at once, in the caller's thread
    executor.carry(StartOver(), ENV)
    assert "start over" in bench.links.asked  # so is this
    bench.links.asked = [one for one in bench.links.asked if isinstance(one, int)]
    executor.carry(Bind(), ENV)
    executor.carry(SetAnswer(cause=Cause.SSHD_DOWN, retry_after=5.0), ENV)
    assert bench.links.answers.get(timeout=SOON) == (Cause.SSHD_DOWN, 5.0)
    # a job that no thread has begun yet ends with the pool
    until(lambda: set(bench.links.asked) == {4, "bind"}, "dial and bind", SOON)
    assert bench.workers.close(SOON) == ()
