"""Faults by their number (docs/reference/faults.md): what is done about each, exactly, and what is told.

Each is played against the unchanged core with a clock that the test turns. What each must also keep is
checked by the world itself: the invariants, and that every second is booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from tests.core.people import Forgetful, People
from tests.core.world import SIGNS, World, healthy, session_policy
from watchdogd.core.commands import (
    IncidentOpened,
    IncidentRerooted,
    KernelsGone,
    RemedyRefused,
    ResumeEnded,
    ResumeHalted,
    StateChanged,
)
from watchdogd.core.events import Approved, LinkLost, Ordered, Paused
from watchdogd.core.model import Policy
from watchdogd.core.notices import News, Told
from watchdogd.core.sight import GpuTool
from watchdogd.core.words import (
    HARM,
    Cause,
    ContainerStatus,
    Harm,
    Mode,
    Refusal,
    Remedy,
    Result,
    State,
)
from watchdogd.sinks.messages import message
from watchdogd.sinks.outgoing import Outgoing

HOUR = 3600.0
RESTART, START = Remedy.RESTART_CONTAINER, Remedy.START_CONTAINER
TRAINS = Policy(watches_training=True)
RESUMES = Policy(watches_training=True, watches_progress=True, resumes=True)
HARMLESS = frozenset(one for one, harm in HARM.items() if harm is Harm.HARMLESS)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row: how it is played, and what must come of it."""

    play: Callable[[World], object]
    world: Mapping[str, object] = field(default_factory=dict)
    does: tuple[Remedy, ...] = ()
    """All restoring and destructive remedies, in order."""
    harmless: frozenset[Remedy] = frozenset()
    """Harmless ones that may run as well."""
    causes: tuple[Cause, ...] = ()
    """Of the incidents that are opened or re-rooted, in order."""
    refused: Refusal | None = None
    """Why the last one is held back at the end."""
    state: State = State.UP


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, **row: object
) -> Callable[[Callable[[World], object]], Callable[[World], object]]:
    """Registers a row; the function plays it."""

    def register(play: Callable[[World], object]) -> Callable[[World], object]:
        assert name not in FAULTS
        FAULTS[name] = Fault(play=play, **row)  # type: ignore[arg-type] # named as the fields
        return play

    return register


# ---------------------------------------------------------------- A. laptop and agent


@fault("F01", world={"working": True})
def lid_closed_for_8_hours(world: World) -> None:
    world.sleep(8 * HOUR).kill_link().play(300)
    assert world.state.account.seconds[State.ASLEEP] == pytest.approx(8 * HOUR)


@fault("F02")
def awake_without_wi_fi_for_a_minute(world: World) -> None:
    world.network = False
    dials = len(world.dials)
    world.sleep(HOUR).kill_link().play(60)
    assert world.state.shown in (State.OFFLINE, State.UNKNOWN)
    assert len(world.dials) - dials <= 2
    world.network = True
    world.play(30)


@fault("F03", world={"runtime": None})
def dark_wakes(world: World) -> None:
    world.network = False
    for _ in range(32):
        world.sleep(900).play(3)
    world.network = True
    world.kill_link().play(120)


@fault("F04", world={"policy": TRAINS, "steps": 0.1})
def wall_clock_three_hours_ahead(world: World) -> None:
    world.set_clock(3 * HOUR).play(600)


@fault("F05", world={"remedies_work": True})
def wall_clock_an_hour_back(world: World) -> None:
    world.set_clock(-HOUR).play(600)
    assert world.wake_at is not None
    assert world.wake_at - world.now <= 61


@fault("F06", does=(START,), causes=(Cause.CONTAINER_EXITED,))
def crashed_twice_within_10_minutes(world: World) -> None:
    world.start(observe_seconds=600.0).play(60)
    world.container = Cause.CONTAINER_EXITED
    world.play(500)
    assert world.applied == []
    assert Refusal.OBSERVE in [reason for _, reason in world.state.refusals]
    world.play(300)  # it lived for 10 minutes


@fault("F07", causes=(Cause.CONTAINER_EXITED,), refused=Refusal.OBSERVE, state=State.DOWN)
def journal_unwritable(world: World) -> None:
    world.start(journal_ok=False).play(60)
    world.container = Cause.CONTAINER_EXITED
    world.play(HOUR)


@fault("F10")
def descriptors_used_up(world: World) -> None:
    world.agent = Cause.AGENT
    world.runtime = Cause.RUNTIME_REFUSED
    world.play(HOUR)
    assert world.state.streak.fails == 0
    world.agent = world.runtime = None
    world.play(60)


# ---------------------------------------------------------------- B. network


@fault("F13")
def wi_fi_off_for_10_minutes(world: World) -> None:
    world.network = False
    dials = len(world.dials)
    world.kill_link().play(600)
    assert world.state.shown is State.OFFLINE
    assert len(world.dials) - dials <= 2
    world.network = True
    world.play(60)


@fault("F14")
def a_captive_portal_for_two_hours(world: World) -> None:
    world.portal = True
    world.kill_link().play(2 * HOUR)
    assert world.state.shown is State.OFFLINE
    assert world.state.verdict.cause is Cause.CAPTIVE_PORTAL
    assert len(world.dials) <= 1 + 2 * 4
    world.portal = False
    world.play(30)


@fault("F15", harmless=frozenset({Remedy.RECONNECT}), causes=(Cause.DNS,))
def names_do_not_resolve(world: World) -> None:
    world.dial = Cause.DNS
    world.play(HOUR)
    assert world.state.shown is State.UP  # the link lives
    world.kill_link().play(300)
    world.dial = None
    world.play(200)


@fault("F16", harmless=frozenset({Remedy.REOPEN_FORWARD, Remedy.RECONNECT}), state=State.DEGRADED)
def a_third_of_the_packets_lost(world: World) -> None:
    world.runtime_seen_on_server = False
    for number in range(80):
        world.runtime = Cause.RUNTIME_HUNG if number % 2 else None
        world.runtime_seen_on_server = False
        world.play(world.policy.suspect_interval)


@fault("F17")
def round_trips_of_eight_seconds(world: World) -> None:
    """The probes are given the time that an answer takes, so it is slow, and good."""
    world.answer_seconds = 16.0
    world.play(HOUR)
    assert world.state.incidents_opened == 0


@fault("F18")
def nat_forgets_the_flow(world: World) -> None:
    world.freeze_link().play(60)
    assert world.state.dialing.silent is False


# ---------------------------------------------------------------- C. SSH


@fault(
    "F21", harmless=frozenset({Remedy.RECONNECT}), causes=(Cause.SSHD_REJECTS,), state=State.DOWN
)
def banned_by_sshd(world: World) -> None:
    world.dial = Cause.SSHD_REJECTS
    dials = len(world.dials)
    world.kill_link().play(4 * HOUR)
    assert len(world.dials) - dials < 30


@fault("F22", causes=(Cause.HOST_KEY,), state=State.DOWN)
def host_key_changed(world: World) -> None:
    world.dial, world.dial_permanent = Cause.HOST_KEY, True
    dials = len(world.dials)
    world.kill_link().play(4 * HOUR)
    assert len(world.dials) - dials == 1


@fault("F23", harmless=frozenset({Remedy.RECONNECT}), causes=(Cause.AUTH,), state=State.DOWN)
def key_rejected(world: World) -> None:
    world.dial, world.dial_permanent = Cause.AUTH, True
    dials = len(world.dials)
    world.kill_link().play(4 * HOUR)
    assert len(world.dials) - dials <= 3 + 4 * 4


@fault("F24", harmless=frozenset({Remedy.RECONNECT}), causes=(Cause.AUTH,), state=State.DOWN)
def second_factor_asked(world: World) -> None:
    key_rejected(world)


@fault("F25", harmless=frozenset({Remedy.RECONNECT}), causes=(Cause.LINK_LOST,))
def link_ends_as_soon_as_it_is_up(world: World) -> None:
    dials = len(world.dials)
    for _ in range(60):
        world.play(10)
        if world.link is not None:
            number, world.link = world.link, None
            world.take(LinkLost(number=number))
    assert len(world.dials) - dials <= 60
    world.play(300)


@fault("F26", causes=(Cause.FORWARD_DENIED,), state=State.DOWN)
def sshd_forbids_forwarding(world: World) -> None:
    world.runtime, world.runtime_seen_on_server = Cause.FORWARD_DENIED, False
    world.play(HOUR)


@fault("F27", causes=(Cause.WRONG_SERVER,), state=State.DOWN)
def a_stranger_answers(world: World) -> None:
    world.runtime, world.runtime_seen_on_server = Cause.WRONG_SERVER, False
    world.play(HOUR)


@fault(
    "F28", harmless=frozenset({Remedy.RECONNECT}), causes=(Cause.REMOTE_WEDGED,), state=State.DOWN
)
def login_shell_prints_garbage(world: World) -> None:
    world.host, world.remedies_work = Cause.REMOTE_WEDGED, False
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR).play_until(State.DOWN)


@fault("F29", causes=(Cause.RUNTIME_HUNG,), refused=Refusal.VETO, state=State.DOWN)
def load_of_300(world: World) -> None:
    world.load, world.runtime = 300.0, Cause.RUNTIME_HUNG
    world.play(2 * HOUR)


@fault("F30")
def servers_session_process_frozen(world: World) -> None:
    world.freeze_link().play(300)


# ---------------------------------------------------------------- D. tmux and container


@fault("F31", harmless=frozenset({Remedy.OPEN_SESSION}), causes=(Cause.SESSION_MISSING,))
def view_is_gone(world: World) -> None:
    world.view = False
    world.play(300)


@fault(
    "F32",
    world={"stopped_by_person": True},
    causes=(Cause.CONTAINER_EXITED,),
    refused=Refusal.OPERATOR,
    state=State.DOWN,
)
def ctrl_c_in_the_session(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED
    world.play(4 * HOUR)


@fault(
    "F33",
    does=(START,),
    causes=(Cause.CONTAINER_OOM, Cause.CONTAINER_OOM),
    refused=Refusal.HALTED,
    state=State.DOWN,
)
def killed_for_memory_twice(world: World) -> None:
    world.container = Cause.CONTAINER_OOM
    world.play(600)
    world.container = Cause.CONTAINER_OOM
    world.play(4 * HOUR)


@fault(
    "F35",
    world={"remedies_work": False, "remedy_result": Result.FAILED},
    does=(START, START, START),
    causes=(Cause.CONTAINER_EXITED,),
    refused=Refusal.FAILED_START,
    state=State.DOWN,
)
def three_starts_that_fail(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED
    world.play(4 * HOUR)


@fault("F36", does=(START,), causes=(Cause.CONTAINER_EXITED,))
def exit_status_0_without_a_person(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED
    world.play(600)


@fault("F37", world={"own_policy": True}, causes=(Cause.CONTAINER_RESTARTING,))
def engines_policy_restarts_it(world: World) -> None:
    world.container = Cause.CONTAINER_RESTARTING
    world.play(60)
    world.container = None
    world.life += 1
    world.play(300)


@fault("F38", causes=(Cause.CONTAINER_EXITED,), refused=Refusal.VETO, state=State.DOWN)
def container_dead(world: World) -> None:
    world.container, world.container_status = Cause.CONTAINER_EXITED, ContainerStatus.DEAD
    world.play(4 * HOUR)
    world.take(Approved())  # not even then: the engine cannot start it
    world.play(HOUR)


@fault("F39", does=(Remedy.CREATE_CONTAINER,), causes=(Cause.CONTAINER_MISSING,))
def container_lost(world: World) -> None:
    world.container = Cause.CONTAINER_MISSING
    world.play(600)


@fault("F40", causes=(Cause.RUNTIME_HUNG,), state=State.DOWN)
def another_container_at_nine_tenths_of_a_hang(world: World) -> None:
    world.runtime = Cause.RUNTIME_HUNG
    world.play(0.9 * world.policy.hung_after)
    world.life += 1
    world.play(0.5 * world.policy.hung_after)


@fault(
    "F42", causes=(Cause.RUNTIME_HUNG,), harmless=frozenset({Remedy.RECONNECT}), state=State.DOWN
)
def no_permission_on_the_engine(world: World) -> None:
    world.server_readable, world.runtime = False, Cause.RUNTIME_HUNG
    world.play(2 * HOUR)


@fault("F43", world={"health": "unhealthy"})
def unhealthy_by_its_own_flag(world: World) -> None:
    world.play(4 * HOUR)


@fault(
    "F44",
    world={"remedy_result": Result.UNKNOWN, "remedies_work": False},
    does=(RESTART, RESTART),
    causes=(Cause.RUNTIME_HUNG,),
    refused=Refusal.HALTED,
    state=State.DOWN,
)
def a_restart_whose_end_is_not_known(world: World) -> None:
    world.runtime = Cause.RUNTIME_HUNG
    world.play_until(State.HEALING)
    began = world.now
    world.play(world.policy.cooldown - 60)
    assert world.applied.count(RESTART) == 1, world.now - began
    world.play(4 * HOUR)


@fault("F45", does=(START,), causes=(Cause.CONTAINER_EXITED,), harmless=HARMLESS)
def server_rebooted(world: World) -> None:
    world.dial, world.container = Cause.HOST_UNREACHABLE, Cause.CONTAINER_EXITED
    world.stopped_by_person = None
    world.kill_link().play(15)
    world.dial, world.boot, world.uptime = None, "second-boot", 20.0
    world.play(60)
    assert START not in world.applied
    world.uptime = 200.0
    world.play(300)


# ---------------------------------------------------------------- E. Jupyter, kernel, training


@fault("F46", world={"working": True}, causes=(Cause.RUNTIME_HUNG,))
def loop_blocked_for_4_minutes(world: World) -> None:
    world.runtime = Cause.RUNTIME_HUNG
    world.play(240)
    world.runtime = None
    world.play(300)


@fault("F47", does=(RESTART,), causes=(Cause.RUNTIME_HUNG,))
def deadlocked_and_idle(world: World) -> None:
    world.runtime = Cause.RUNTIME_HUNG
    world.play(HOUR)


@fault(
    "F48",
    world={"policy": TRAINS, "steps": 0.1},
    causes=(Cause.RUNTIME_REFUSED,),
    refused=Refusal.VETO,
    state=State.DOWN,
)
def unusable_while_the_training_goes_on(world: World) -> None:
    world.runtime = Cause.RUNTIME_REFUSED
    world.play(12 * HOUR)


@fault("F49", state=State.DEGRADED)
def one_handler_answers_500(world: World) -> None:
    world.handler_fails = True
    world.play(4 * HOUR)
    told = [fact for fact in world.facts if isinstance(fact, StateChanged)]
    assert [(fact.new, fact.cause) for fact in told] == [(State.DEGRADED, None)]


@fault("F50", causes=(Cause.WRONG_SERVER,), state=State.DOWN)
def another_service_on_the_port(world: World) -> None:
    world.runtime = Cause.WRONG_SERVER
    world.play(HOUR)


@fault("F51")
def kernel_culled_by_an_idle_setting(world: World) -> None:
    world.play(60)
    world.kernel_gone = True
    world.play(HOUR)
    gone = [fact for fact in world.facts if isinstance(fact, KernelsGone)]
    assert gone == [KernelsGone(kernels=("kernel-1",), busy=False)]


@fault("F62", world={"kernel_busy": True})
def a_busy_kernel_died_of_an_error_on_the_gpu(world: World) -> None:
    world.play(60)
    world.kernel_gone = True
    world.play(HOUR)
    gone = [fact for fact in world.facts if isinstance(fact, KernelsGone)]
    assert gone == [KernelsGone(kernels=("kernel-1",), busy=True)]


@fault("F52", world={"kernel_busy": True})
def a_long_silent_cell(world: World) -> None:
    world.play(6 * HOUR)


@fault(
    "F53",
    world={"policy": TRAINS, "steps": 0.1, "reads_disk": True, "training_phase": "checkpoint"},
)
def saving_takes_20_minutes(world: World) -> None:
    world.steps = 0.0
    world.play(20 * 60)


@fault(
    "F54",
    world={"policy": TRAINS, "steps": 0.1, "gpu_busy": True},
    causes=(Cause.TRAINING_STALLED,),
    state=State.DEGRADED,
)
def collective_hung(world: World) -> None:
    world.steps = 0.0
    world.play(HOUR)


@fault(
    "F55",
    world={"policy": RESUMES, "steps": 1.0, "resumes_at": 1.0},
    does=(START,) * 5,
    causes=(Cause.CONTAINER_EXITED,) * 5,
)
def lost_at_the_same_step_after_each_resume(world: World) -> None:
    for _ in range(5):
        while world.steps and world.step < 2050.0:
            world.play(10)
            world.train()
        world.step, world.steps, world.container = 2050.0, 0.0, Cause.CONTAINER_EXITED
        world.play(HOUR / 2)
    assert [(one.attempt, one.back) for one in world.hooks] == [(1, 0), (2, 0), (3, 1)]
    halted = [fact for fact in world.facts if isinstance(fact, ResumeHalted)]
    assert halted == [ResumeHalted(step=2050.0, failures=3)]


@fault(
    "F56",
    world={"policy": RESUMES, "steps": 1.0, "hook_result": None},
    does=(START,),
    causes=(Cause.CONTAINER_EXITED,),
)
def the_resume_hook_hangs(world: World) -> None:
    world.steps, world.container = 0.0, Cause.CONTAINER_EXITED
    world.play(6 * HOUR)
    assert len(world.hooks) == 1
    told = [fact for fact in world.facts if isinstance(fact, ResumeEnded)]
    assert [(fact.moved, fact.failures) for fact in told] == [(False, 1)]


# ---------------------------------------------------------------- F. host and GPU


@fault("F57", causes=(Cause.DISK_FULL,), state=State.DEGRADED)
def disk_full(world: World) -> None:
    world.host = Cause.DISK_FULL
    world.play(HOUR)


@fault("F59", harmless=frozenset({Remedy.RECONNECT}), causes=(Cause.SSHD_DOWN,))
def sshd_killed_for_memory(world: World) -> None:
    world.dial = Cause.SSHD_DOWN
    world.kill_link().play(600)
    world.dial = None
    world.play(200)


@fault(
    "F64",
    world={"remedies_work": False, "remedy_result": Result.FAILED},
    does=(START, START, START),
    causes=(Cause.CONTAINER_EXITED,),
    refused=Refusal.FAILED_START,
    state=State.DOWN,
)
def another_tenant_took_the_gpus_memory(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED  # each start ends with: CUDA out of memory
    world.play(24 * HOUR)


@pytest.mark.parametrize("cause", [Cause.RUNTIME_HUNG, Cause.RUNTIME_REFUSED])
@pytest.mark.parametrize("tool", [GpuTool.FAILED, GpuTool.MISMATCH])
def test_a_gpu_that_cannot_be_asked_ends_nothing(tool: GpuTool, cause: Cause) -> None:
    """F60, F61, F63."""
    world = healthy(gpu_tool=tool)
    world.runtime = cause
    world.play(4 * HOUR)
    assert world.applied == []


# ---------------------------------------------------------------- G. policy and people


@fault("F65", does=(START,), causes=(Cause.CONTAINER_EXITED,))
def a_pause_ends_with_a_fault_in_it(world: World) -> None:
    world.take(Paused(until_wall=world.env().wall + HOUR))
    world.container = Cause.CONTAINER_EXITED
    world.play(HOUR - 10)
    assert world.applied == []
    world.play(300)


@fault("F67", harmless=frozenset({Remedy.RECONNECT}), causes=(Cause.HOST_UNREACHABLE,) * 2)
def nobody_takes_a_message(world: World) -> None:
    """What is decided is told to nobody; then all of it is one message, and no outage is opened twice."""
    people = People()
    world.recorder = people
    for _ in range(2):
        world.dial = Cause.HOST_UNREACHABLE
        world.kill_link().play(HOUR / 2)
        world.dial = None
        world.play(HOUR / 4)
    assert people.news() == [News.OPENED, News.RESOLVED] * 2
    assert people.broken(world.applied) == []
    waiting = Outgoing(Forgetful(), str)
    waiting.use(["nobody"], anew=False)
    for notice in people.notices:
        waiting.post("a100", Told(), (notice,))
    lines, missed = waiting.waiting("nobody")
    _, body = message(lines, missed)
    assert [line.partition("  ")[2][:18] for line in body.splitlines()] == [
        "a100 is well again"
    ] * 2


@fault(
    "F68",
    world={"policy": Policy(mode=Mode.OBSERVE)},
    causes=(Cause.CONTAINER_EXITED, Cause.RUNTIME_HUNG),
)
def a_week_of_observing(world: World) -> None:
    world.container = Cause.CONTAINER_EXITED
    world.play(HOUR)
    world.container = None
    world.play(HOUR)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    world.runtime = None
    world.play(HOUR)
    told = [(one.remedy, one.right, one.false_alarms) for one in world.state.shadow.scores]
    # a restart that would have ended live work is never right
    assert told == [(START, 1, 0), (RESTART, 0, 1) if world.working else (RESTART, 1, 0)]


@fault("F72")
def docker_restart_while_suspect(world: World) -> None:
    world.runtime = Cause.RUNTIME_HUNG
    world.play(14)
    world.life += 1
    world.play(10)
    world.runtime = None
    world.play(300)


# ---------------------------------------------------------------- what must come of each


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_done_is_exactly_what_is_expected(name: str) -> None:
    row = FAULTS[name]
    world = healthy(**row.world)
    row.play(world)
    heavy = [one for one in world.applied if HARM[one] is not Harm.HARMLESS]
    light = {one for one in world.applied if HARM[one] is Harm.HARMLESS}
    assert tuple(heavy) == row.does
    assert light <= row.harmless
    told = [fact for fact in world.facts if isinstance(fact, IncidentOpened | IncidentRerooted)]
    assert tuple(fact.incident.cause for fact in told) == row.causes
    assert world.state.shown is row.state
    assert world.broken == []
    if row.refused is not None:
        assert row.refused in [reason for _, reason in world.state.refusals]


@pytest.mark.parametrize("name", FAULTS)
def test_followed_by_a_hang_it_ends_no_work(name: str) -> None:
    """The same with a runtime that computes, and then hangs while it does: no fault makes a restart of it."""
    if name in SESSION_OF_ITS_OWN:
        return
    row = FAULTS[name]
    world = healthy(**{**row.world, "working": True})
    row.play(world)
    work = any(getattr(world, sign) for sign in SIGNS)
    world.container, world.runtime, world.runtime_seen_on_server = None, Cause.RUNTIME_HUNG, True
    world.play(HOUR / 2)
    assert work
    assert RESTART not in world.applied
    assert world.broken == []


SESSION_OF_ITS_OWN = {"F44", "F47"}
"""What these play *is* the restart of an idle runtime."""


def test_a_container_that_is_being_removed_is_left_alone() -> None:
    """F38, the other half: nothing is known of it, and so nothing is done to it."""
    world = healthy()
    world.container_status, world.runtime = ContainerStatus.REMOVING, Cause.RUNTIME_REFUSED
    world.play(4 * HOUR)
    assert world.applied == []
    assert world.state.shown is State.DOWN
    assert world.broken == []


@pytest.mark.parametrize("cause", [Cause.RUNTIME_HUNG, Cause.RUNTIME_REFUSED, None])
def test_a_health_flag_changes_no_decision(cause: Cause | None) -> None:
    """F43, beside the very same world without it."""
    worlds = [healthy(health=flag) for flag in ("", "healthy", "unhealthy")]
    for world in worlds:
        world.runtime = cause
        world.play(HOUR)
    assert worlds[0].applied == worlds[1].applied == worlds[2].applied
    assert worlds[0].applied_at == worlds[1].applied_at == worlds[2].applied_at


def test_an_error_of_one_handler_is_no_evidence_against_the_runtime() -> None:
    """F49 for hours, and then a real error: that is confirmed from its own beginning."""
    world = healthy()
    world.handler_fails = True
    world.play(4 * HOUR)
    world.runtime = Cause.RUNTIME_ERROR
    world.play(100)
    assert world.applied == []
    world.play(300)
    assert world.applied == [RESTART]


def test_a_busy_kernel_that_is_gone_is_told_as_lost_work() -> None:
    world = healthy(kernel_busy=True)
    world.play(120)
    world.kernel_gone = True
    world.play(120)
    assert [fact.busy for fact in world.facts if isinstance(fact, KernelsGone)] == [True]
    assert world.applied == []


@pytest.mark.parametrize("answers_again_after", [None, Cause.RUNTIME_REFUSED])
def test_a_restarted_runtime_lost_no_kernel_by_itself(answers_again_after: Cause | None) -> None:
    world = healthy(kernel_busy=True)
    world.play(120)
    world.life += 1
    world.runtime = answers_again_after
    world.play(30)
    world.runtime = None
    world.play(300)
    assert not [fact for fact in world.facts if isinstance(fact, KernelsGone)]


def test_a_refusal_is_told_with_its_reason() -> None:
    world = healthy(working=True)
    world.runtime = Cause.RUNTIME_HUNG
    world.play(2 * HOUR)
    told = Counter(fact.reason for fact in world.facts if isinstance(fact, RemedyRefused))
    assert told[Refusal.VETO] >= 2 * 60 * 0.7


def test_the_same_for_a_command_in_tmux() -> None:
    """Every row that needs no container, with ``kind = "session"``."""
    for name in ("F01", "F02", "F13", "F18", "F22", "F29", "F46", "F48"):
        row = FAULTS[name]
        truth = {key: value for key, value in row.world.items() if key != "policy"}
        fields = {"watches_training": True} if "policy" in row.world else {}
        world = healthy(policy=session_policy(**fields), **truth)
        row.play(world)
        assert not [one for one in world.applied if HARM[one] is not Harm.HARMLESS], name
        assert world.state.shown is row.state, name


def test_an_order_by_a_person_is_no_fault() -> None:
    world = healthy()
    world.take(Ordered(remedy=RESTART))
    world.play(600)
    assert world.applied == [RESTART]
    assert not [fact for fact in world.facts if isinstance(fact, IncidentOpened)]
