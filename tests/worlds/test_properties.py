"""Random histories, steered so that they climb the ladder: no invariant is ever broken.

Uniformly random histories practically never reach a destructive remedy; each step here sets a truth
and lets it *persist* long enough for the next rung.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.people import People
from tests.core.world import CONTAINER, World
from watchdogd.core.commands import Probe
from watchdogd.core.events import (
    Approved,
    BindFailed,
    ClockStepped,
    ContainerDied,
    DialFailed,
    Event,
    FilesChanged,
    LinkLost,
    LinkSilent,
    LinkSpeaking,
    LinkUp,
    NetworkChanged,
    Observed,
    Ordered,
    Paused,
    PortBound,
    RemedyFinished,
    Reset,
    Resumed,
    SettingsChanged,
    Started,
    Unpaused,
    Woke,
)
from watchdogd.core.judge import judge
from watchdogd.core.machine import step
from watchdogd.core.model import Policy
from watchdogd.core.words import Cause, Kind, Mode, Outcome, Remedy, Result, State
from watchdogd.ports import Recorder

POLICY = Policy(hung_after=120.0, cooldown=60.0, start_grace=30.0, resumes=True)
PROFILE = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
TRUTHS: list[dict[str, object]] = [
    {"runtime": Cause.RUNTIME_HUNG},
    {"runtime": Cause.RUNTIME_HUNG, "working": True},
    {"runtime": Cause.RUNTIME_HUNG, "gpu_busy": True},
    {"runtime": Cause.RUNTIME_REFUSED, "reads_disk": True},
    {"runtime": Cause.RUNTIME_HUNG, "steps": 0.1},
    {"runtime": Cause.RUNTIME_REFUSED, "gpu_readable": False},
    {"runtime": Cause.RUNTIME_HUNG, "gpu_held": True, "fleet": 3},
    {"runtime": Cause.RUNTIME_HUNG, "processes_readable": False},
    {"runtime": Cause.RUNTIME_HUNG, "server_readable": False},
    {"runtime": Cause.RUNTIME_HUNG, "runtime_seen_on_server": False},
    {"runtime": Cause.RUNTIME_REFUSED},
    {"runtime": Cause.RUNTIME_AUTH},
    {"container": Cause.CONTAINER_EXITED},
    {"container": Cause.CONTAINER_EXITED, "server_readable": False},
    {"container": Cause.CONTAINER_OOM},
    {"container": Cause.CONTAINER_MISSING},
    {"dial": Cause.SSHD_DOWN},
    {"dial": Cause.HOST_UNREACHABLE, "runtime": Cause.RUNTIME_HUNG},
    {"network": False},
    {"view": False},
    {"remedies_work": False, "runtime": Cause.RUNTIME_HUNG},
    {"remedy_result": Result.UNKNOWN, "container": Cause.CONTAINER_EXITED},
    {"remedy_result": Result.FAILED, "runtime": Cause.RUNTIME_REFUSED},
    {},
]
SOUND: dict[str, object] = {
    "runtime": None,
    "container": None,
    "dial": None,
    "network": True,
    "working": False,
    "view": True,
    "gpu_busy": False,
    "gpu_held": False,
    "gpu_readable": True,
    "reads_disk": False,
    "steps": 0.0,
    "fleet": 0,
    "processes_readable": True,
    "server_readable": True,
    "runtime_seen_on_server": True,
    "remedies_work": True,
    "remedy_result": Result.DONE,
}
SHOCKS = (
    "none",
    "kill_link",
    "freeze_link",
    "sleep",
    "new_life",
    "clock",
    "edit",
    "redefine",
    "death",
    "pause",
    "resume",
    "approve",
    "order",
    "reset",
)

episodes = st.lists(
    st.tuples(
        st.sampled_from(TRUTHS),
        st.sampled_from(SHOCKS),
        st.sampled_from((20.0, 100.0, 400.0)),
        st.booleans(),
    ),
    max_size=6,
)


def shock(world: World, kind: str) -> None:
    match kind:
        case "kill_link":
            world.kill_link()
        case "freeze_link":
            world.freeze_link()
        case "sleep":
            world.sleep(3600.0)
        case "new_life":
            world.life += 1
        case "clock":
            world.take(ClockStepped(by=7200.0))
        case "death":
            world.tell_death()
        case "late_death":
            world.tell_death(life=world.life - 1)
        case "pause":
            world.take(Paused(until_wall=world.env().wall + 150.0))
        case "resume":
            world.take(Unpaused())
        case "approve":
            world.take(Approved())
        case "order":
            world.take(Ordered(remedy=Remedy.RESTART_CONTAINER))
        case "reset":
            world.take(Reset())
        case "edit" | "redefine":
            world.take(SettingsChanged(runtime=kind == "redefine"))
        case _:
            pass


def live(
    history: list[tuple[dict[str, object], str, float, bool]],
    policy: Policy = POLICY,
    recorder: Recorder | None = None,
) -> World:
    """Play a history: each episode's truth persists, then (perhaps) everything is sound again."""
    world = World(policy=policy, recorder=recorder).start().play(60)
    for truth, kind, seconds, mend in history:
        for name, value in {**SOUND, **truth}.items():
            setattr(world, name, value)
        shock(world, kind)
        world.play(seconds)
        if mend:
            for name, value in SOUND.items():
                setattr(world, name, value)
            world.play(100)
    return world


@PROFILE
@given(episodes, st.sampled_from((Mode.AUTO, Mode.AUTO, Mode.ASK, Mode.OBSERVE)))
def test_no_history_breaks_an_invariant(
    history: list[tuple[dict[str, object], str, float, bool]], mode: Mode
) -> None:
    world = live(history, replace(POLICY, mode=mode, watches_training=True))
    assert world.broken == []


@PROFILE
@given(episodes, st.sampled_from((Mode.AUTO, Mode.ASK)), st.booleans())
def test_nothing_is_resolved_that_was_not_opened_and_nothing_opened_twice(
    history: list[tuple[dict[str, object], str, float, bool]], mode: Mode, killed: bool
) -> None:
    people = People()
    world = live(history[:3], replace(POLICY, mode=mode), people)
    if killed:
        memory = world.killed()
        people.restarted()
        world.start(memory=memory)
    for name, value in {**SOUND, **(history[3:] or [({}, "", 0.0, False)])[0][0]}.items():
        setattr(world, name, value)
    world.play(400)
    for name, value in SOUND.items():
        setattr(world, name, value)
    world.play(900)
    assert people.broken(world.applied) == []
    if world.state.incident is None and world.state.pause is None and world.state.shown is State.UP:
        assert people.known.told.incident == ""


@PROFILE
@given(episodes)
def test_the_same_log_gives_the_same_decisions(
    history: list[tuple[dict[str, object], str, float, bool]],
) -> None:
    assert live(history).state == live(history).state


EVENTS: list[Event] = [
    Started(),
    Observed(round=1, started=0.0, observations=()),
    Observed(round=10**6, started=1e9, observations=(), stalled=True),
    RemedyFinished(key="nobody's", result=Result.DONE),
    Woke(),
    Resumed(slept=1e6),
    Resumed(slept=-5.0),
    ClockStepped(by=-3600.0),
    NetworkChanged(routed=True),
    NetworkChanged(routed=False),
    LinkUp(number=99),
    LinkSilent(number=99),
    LinkSpeaking(number=99),
    LinkLost(number=99),
    LinkLost(number=-1),
    DialFailed(number=5, cause=Cause.BUG, permanent=False, reached=False),
    DialFailed(number=0, cause=Cause.HOST_KEY, permanent=True, reached=True),
    PortBound(),
    BindFailed(holder="python, pid 1"),
    FilesChanged(),
    SettingsChanged(),
    SettingsChanged(runtime=True),
    ContainerDied(container="", at=0.0),
    ContainerDied(container=CONTAINER, at=1e12),
    Paused(),
    Paused(until_wall=0.0),
    Paused(until_wall=float("inf")),
    Unpaused(),
    Approved(),
    Ordered(remedy=Remedy.RESTART_CONTAINER),
    Ordered(remedy=Remedy.RECONNECT),
    Ordered(remedy=Remedy.RESTART_SESSION),
    *(Ordered(remedy=remedy) for remedy in Remedy),
    Reset(),
]


@PROFILE
@given(episodes, st.lists(st.sampled_from(EVENTS), min_size=1, max_size=12))
def test_every_event_is_legal_in_every_phase(
    history: list[tuple[dict[str, object], str, float, bool]], events: list[Event]
) -> None:
    world = live(history[:2])
    state = world.state
    for event in events:
        world.now += 0.1
        state, commands = step(state, event, POLICY, world.env())
        assert state.wake_at > world.now or state.round_open or state.intent is not None
        assert isinstance(commands, tuple)


def test_judging_nothing_is_unknown() -> None:
    for kind in Kind:
        assert judge((), kind).outcome is Outcome.UNKNOWN
        assert judge((), kind).usable is None


@pytest.mark.parametrize("truth", TRUTHS, ids=str)
def test_less_sight_never_allows_more(truth: dict[str, object]) -> None:
    """Turning one observation of each round into UNKNOWN adds no restoring or destructive remedy."""
    full = live([(truth, "none", 400.0, False)])
    for dropped in range(9):
        world = World(policy=POLICY).start().play(60)
        for name, value in {**SOUND, **truth}.items():
            setattr(world, name, value)
        world.measure = blindfolded(world.measure, dropped)  # type: ignore[method-assign,assignment]
        world.play(400)
        assert set(world.applied) <= {*full.applied, *HARMLESS}, dropped
        assert world.broken == [], dropped


def blindfolded(honest: Callable[[Probe], Observed], dropped: int) -> Callable[[Probe], Observed]:
    """The same rounds without one of their observations."""

    def measure(command: Probe) -> Observed:
        seen = honest(command)
        table = list(seen.observations)
        if dropped < len(table):
            table[dropped] = replace(table[dropped], outcome=Outcome.UNKNOWN, cause=None)
        return replace(seen, observations=tuple(table))

    return measure


HARMLESS = frozenset({"reconnect", "reopen_forward", "refresh_token", "open_session"})
