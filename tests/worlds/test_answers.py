"""The three sentences of ``status --why`` in each situation, whole: who changes one reads them all.

A reader who knows no other page has to learn from them why nothing was done, what comes by itself and
when, and what each command that he may type would do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.core.world import World, healthy, session_policy
from watchdogd.core.answer import Answer
from watchdogd.core.events import Paused
from watchdogd.core.model import Policy
from watchdogd.core.unaided import unaided
from watchdogd.core.why import why
from watchdogd.core.words import Cause, Mode, Refusal

HOUR = 3600.0


def hung(seconds: float, **truth: object) -> World:
    world = healthy(**truth)
    world.runtime = Cause.RUNTIME_HUNG
    return world.play(seconds)


def paused(seconds: float | None) -> World:
    world = healthy()
    until = None if seconds is None else world.env().wall + seconds
    world.post(Paused(until_wall=until, reason="moving the server", actor="ada"))
    world.play(5)
    world.runtime = Cause.RUNTIME_HUNG
    return world.play(HOUR)


def strange_key() -> World:
    world = healthy()
    world.dial, world.dial_permanent = Cause.HOST_KEY, True
    return world.kill_link().play(300)


def stopped() -> World:
    world = healthy(stopped_by_person=True)
    world.container = Cause.CONTAINER_EXITED
    return world.play(HOUR)


def rebooted() -> World:
    world = healthy()
    world.boot, world.life, world.uptime = "another boot", 2, 45.0
    world.runtime = Cause.RUNTIME_HUNG
    return world.play(50)


def offline() -> World:
    world = healthy()
    world.network, world.dial = False, Cause.OFFLINE
    return world.kill_link().play(600)


def restarted_twice() -> World:
    world = healthy()
    for _ in range(3):
        world.runtime = Cause.RUNTIME_HUNG
        world.play(HOUR)
    return world


def restarted_in_vain() -> World:
    world = hung(0, remedies_work=False)
    while not world.applied:
        world.play(30)
    world.life += 1
    return world.play(900)


def forbidden_on_the_server() -> World:
    world = hung(0, forbids=(Refusal.PAUSED, "/home/ada/.watchdogd/PAUSE exists on the server"))
    while world.state.last_look is None:
        world.play(10)
    return world.play(5)


def told(world: World) -> Answer:
    return why(world.state, world.policy, world.env()).answer


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], World]
    says: str
    then: str
    yours: str
    ways: tuple[str, ...]
    """Verb and what it does; ``force`` before what is possible rather than advised."""


CASES = (
    Case(
        "still_counted",
        lambda: hung(200),
        "restart_container is held back: it was seen failing for 2m 55s of the 10m that "
        "are needed (13 of 20 looks)",
        "yes, in 7m 5s at the earliest, if the fault stays and no sign of work appears",
        "nothing to do; the restart then loses every kernel's variables; a pause prevents it",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the container now, whatever of the above holds it back: no "
            "running work was seen, but its kernels could not be asked; every kernel loses "
            "its variables; asks before it does",
        ),
    ),
    Case(
        "work_seen",
        lambda: hung(HOUR, working=True),
        "restart_container is held back: a kernel or a program other than Jupyter itself "
        "uses CPU: it waits until the work has ended",
        "yes, once the work has ended, whenever that is (1m after its last sign; 10m if "
        "the program that worked is still there; 1h if it holds GPU memory)",
        "nothing to do while that work is worth keeping; if it is not, force it; its "
        "variables are lost, too, once it has ended, unless you pause it before",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the container now, whatever of the above holds it back: "
            "KILLS the work that was seen (process 42 on the server); every kernel loses its "
            "variables; asks before it does",
        ),
    ),
    Case(
        "held_gpu_memory",
        lambda: hung(0.7 * HOUR, gpu_held=True),
        "restart_container is held back: a program of the runtime holds GPU memory; it "
        "was watched without any other sign of work for 41m 30s, and after 1h of that its"
        " memory no longer counts",
        "yes, in 18m 30s at the earliest, if the fault stays and no other sign of work "
        "appears (earlier, if the memory is freed)",
        "if you need what is in memory there (GPU memory of process 42, variables), pause"
        " it within 18m 30s; else nothing to do: the restart then ends process 42, and "
        "every kernel loses its variables",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the container now, whatever of the above holds it back: "
            "KILLS the program that holds GPU memory (process 42 on the server); every kernel"
            " loses its variables; asks before it does",
        ),
    ),
    Case(
        "gpu_not_readable",
        lambda: hung(HOUR, gpu_readable=False),
        "restart_container is held back: nvidia-smi on the server did not answer in the "
        "last 30 s, so the GPU may be in use",
        "yes, once that can be read again and shows no work, whenever that is",
        "find out on the server why that cannot be read; the restart then loses every "
        "kernel's variables; a pause prevents it",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the container now, whatever of the above holds it back: it "
            "may KILL work that could not be seen; every kernel loses its variables; asks "
            "before it does",
        ),
    ),
    Case(
        "halted",
        lambda: hung(3 * HOUR, remedies_work=False),
        "restart_container is held back: the last two restarts did not make it healthy",
        "never: it stays halted until a person resets it",
        "find out why it still fails; its log may tell (on the server: docker logs --tail"
        " 50 colab)",
        (
            "reset: lifts the halt only, and restarts nothing now; all is counted from zero "
            "then; the limit of 2 in 6h stays, and watchdogd may do restart_container again "
            "in 3h 10m at the earliest, which loses every kernel's variables",
            "force heal: restarts the container now, whatever of the above holds it back: no "
            "running work was seen, but its kernels could not be asked; every kernel loses "
            "its variables; asks before it does",
        ),
    ),
    Case(
        "mode_ask",
        lambda: hung(HOUR, policy=Policy(mode=Mode.ASK)),
        'restart_container is held back: mode is "ask", so a person has to allow it',
        "never: it waits for a person's word",
        "if nothing in its memory must be kept, approve it",
        (
            "approve: watchdogd then restarts the container once, at its next look, within "
            "about 15s; valid for 30m; it still waits if it sees work; every kernel loses its"
            " variables",
        ),
    ),
    Case(
        "mode_observe",
        lambda: hung(HOUR, policy=Policy(mode=Mode.OBSERVE)),
        'restart_container is held back: mode is "observe", so it is only watched',
        'never: mode is "observe"',
        "do it once yourself; or set another mode for this target in the configuration: "
        'with "auto" watchdogd does it from then on, with "ask" it asks each time',
        (
            "heal: restarts the container now, whatever of the above holds it back: no "
            "running work was seen, but its kernels could not be asked; every kernel "
            "loses its variables; asks before it does",
        ),
    ),
    Case(
        "paused",
        lambda: paused(None),
        "the target is paused by a person: nothing but its own SSH connection is repaired",
        "never, until somebody resumes it: the pause has no end",
        "ask ada, who paused it, or end the pause",
        (
            "resume: ends the pause; all is counted from zero then, and watchdogd may do "
            "restart_container 10m later at the earliest, which loses every kernel's "
            "variables",
        ),
    ),
    Case(
        "work_seen_and_still_counted",
        lambda: hung(300, working=True),
        "restart_container is held back: a kernel or a program other than Jupyter itself "
        "uses CPU: it waits until the work has ended; besides, it was seen failing for 4m"
        " 40s of the 10m that are needed",
        "yes, when both hold: 5m 20s have passed, and the work has ended, whenever that "
        "is (1m after its last sign; 10m if the program that worked is still there; 1h if"
        " it holds GPU memory)",
        "nothing to do while that work is worth keeping; if it is not, force it; its "
        "variables are lost, too, once it has ended, unless you pause it before",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the container now, whatever of the above holds it back: "
            "KILLS the work that was seen (process 42 on the server); every kernel loses its "
            "variables; asks before it does",
        ),
    ),
    Case(
        "load",
        lambda: hung(HOUR, load=9.0),
        "restart_container is held back: the server is overloaded (load 9.0 per core, "
        "limit 4), so it may only be slow, not hung",
        "yes, once the load is at most 4 per core, whenever that is",
        "log in to the server and see what causes it (top); it may be your own job; the "
        "restart then loses every kernel's variables; a pause prevents it",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the container now, whatever of the above holds it back: no "
            "running work was seen, but its kernels could not be asked; besides, what slows "
            "the server down may be work in it; every kernel loses its variables; asks before"
            " it does",
        ),
    ),
    Case(
        "host_key",
        strange_key,
        "the server's SSH host key is not one that this laptop trusts, so watchdogd does "
        "not connect, and the runtime was not looked at",
        "never: a person has to settle the host key; it connects once known_hosts or the "
        "configuration was changed",
        "ask whoever runs the server for its fingerprint, and compare it with the one shown "
        "before you accept it: it may be another machine",
        (),
    ),
    Case(
        "stopped_by_a_person",
        stopped,
        "start_container is held back: the container engine's events say that somebody stopped it",
        "never: what a person did is not undone; a person has to start it",
        "ask who stopped it, before you start it",
        ("heal: starts the container now, and looks whether it gets healthy",),
    ),
    Case(
        "rebooted",
        rebooted,
        "restart_container is held back: watchdogd has not seen it healthy since the "
        "server was started anew; besides, the server booted lately, and what starts with"
        " it is given another 4m 35s",
        "never: until it was seen healthy once, watchdogd does not restart it",
        "wait another 10m first, it may get healthy; then decide whether what runs in it "
        "is worth keeping; if not, force it",
        (
            "force heal: restarts the container now, whatever of the above holds it back:"
            " it may KILL work that could not be seen; every kernel loses its variables; "
            "asks before it does",
        ),
    ),
    Case(
        "laptop_offline",
        offline,
        "this laptop has no network: nothing is known of the server, and nothing there is touched",
        "yes, as soon as the network is back: it connects again, and judges anew",
        "see to the network of this laptop (Wi-Fi, cable, VPN)",
        (),
    ),
    Case(
        "ask_and_work_seen",
        lambda: hung(HOUR, policy=Policy(mode=Mode.ASK), working=True),
        "restart_container is held back: a kernel or a program other than Jupyter itself "
        'uses CPU: it waits until the work has ended; and mode is "ask"',
        "never: without a person's word nothing is restarted, even when the work has ended",
        "leave that work alone while it is worth keeping: once it has ended watchdogd "
        "asks, and only then an approval counts; if it is not worth keeping, force it",
        (
            "force heal: restarts the container now, whatever of the above holds it back:"
            " KILLS the work that was seen (process 42 on the server); every kernel loses"
            " its variables; asks before it does",
        ),
    ),
    Case(
        "budget_spent",
        restarted_twice,
        "restart_container is held back: it was done as often as allowed (2 in 6h); once "
        "more in 3h 10m, unless a person does it",
        "yes, in 3h 10m at the earliest, if the fault stays and no sign of work appears",
        "find out why it fails again and again; its log may tell (on the server: docker "
        "logs --tail 50 colab); the restart then loses every kernel's variables; a pause "
        "prevents it",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the container now, whatever of the above holds it back: no "
            "running work was seen, but its kernels could not be asked; every kernel loses "
            "its variables; asks before it does",
        ),
    ),
    Case(
        "restarted_in_vain",
        restarted_in_vain,
        "restart_container is held back: it was restarted already and has not been healthy since",
        "never: until it was seen healthy once, watchdogd does not restart it",
        "find out why it still fails; its log may tell (on the server: docker logs --tail"
        " 50 colab)",
        (
            "approve: watchdogd then restarts the container once, in 19m 56s at the earliest "
            "(the pause after the last one); valid for 30m; it still waits if it sees work; "
            "every kernel loses its variables",
        ),
    ),
    Case(
        "fresh_boot",
        lambda: hung(HOUR, uptime=60.0),
        "restart_container is held back: the server booted 1m ago and is left alone for "
        "its first 2m",
        "yes, in 45s at the earliest, if the fault stays and no sign of work appears",
        "nothing to do; the restart then loses every kernel's variables; a pause prevents it",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the container now, whatever of the above holds it back: no "
            "running work was seen, but its kernels could not be asked; every kernel loses "
            "its variables; asks before it does",
        ),
    ),
    Case(
        "paused_for_two_hours",
        lambda: paused(2 * HOUR),
        "the target is paused by a person: nothing but its own SSH connection is repaired",
        "yes: the pause ends in 59m 55s; all is counted from zero then, and watchdogd may"
        " do restart_container 10m later at the earliest, which loses every kernel's "
        "variables",
        "ask ada, who paused it, or end the pause",
        (
            "resume: ends the pause; all is counted from zero then, and watchdogd may do "
            "restart_container 10m later at the earliest, which loses every kernel's "
            "variables",
        ),
    ),
    Case(
        "pause_file_on_the_server",
        forbidden_on_the_server,
        "restart_container is held back: /home/ada/.watchdogd/PAUSE exists on the server,"
        " and that file forbids restarts (seen by the last look on the server; the next "
        "one is in 29m 51s)",
        "not while that file is there; at the first look after it is gone (the next is in"
        " 29m 51s), if the fault stays",
        "see whose file it is (on the server: ls -l ~/.watchdogd/PAUSE), and remove it if"
        " you may; the restart then loses every kernel's variables; a pause prevents it",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
        ),
    ),
    Case(
        "training_advances",
        lambda: hung(HOUR, policy=Policy(watches_training=True), steps=1.0),
        "restart_container is held back: the progress file was written 15 s ago: it waits"
        " until the work has ended",
        "never: as long as a progress file or a checkpoint advances it waits, and once "
        "none did for 30m or more, a person is asked",
        "nothing to do while that work is worth keeping; if it is not, force it",
        (
            "force heal: restarts the container now, whatever of the above holds it back:"
            " KILLS the work that was seen; every kernel loses its variables; asks before"
            " it does",
        ),
    ),
    Case(
        "session",
        lambda: hung(200, policy=session_policy(gpus=False)),
        "restart_session is held back: it was seen failing for 2m 55s of the 10m that are"
        " needed (13 of 20 looks)",
        "yes, in 7m 5s at the earliest, if the fault stays and no sign of work appears",
        "nothing to do; the restart then loses every kernel's variables; a pause prevents it",
        (
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
            "force heal: restarts the command in its tmux session now, whatever of the above "
            "holds it back: no running work was seen, but its kernels could not be asked; "
            "every kernel loses its variables; asks before it does",
        ),
    ),
    Case(
        "all_targets",
        lambda: hung(HOUR, fleet=5),
        "restart_container is held back: 5 restarts of all targets together in 24 h: "
        "something else is wrong",
        "yes, once enough of those restarts are older than 24h, whenever that is",
        "find out why it still fails; its log may tell (on the server: docker logs --tail"
        " 50 colab); the restart then loses every kernel's variables; a pause prevents it",
        (
            "approve: watchdogd then restarts the container once, at its next look, within "
            "about 15s; valid for 30m; it still waits if it sees work; every kernel loses its"
            " variables",
            "pause: watchdogd then restarts nothing there by itself, whatever it sees, until "
            "you end that (watchdogd resume)",
        ),
    ),
)


def test_no_start_is_promised_where_there_is_no_remedy() -> None:
    told = unaided(Cause.CONTAINER_ENGINE_DOWN, "", "").then
    assert told == "yes, once the engine is back: then it looks at the container, and judges anew"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_whole_answer(case: Case) -> None:
    found = told(case.make())
    assert (found.says, found.then, found.yours) == (case.says, case.then, case.yours)
    ways = [f"{'force ' * way.forced}{way.verb}: {way.does}" for way in found.ways]
    assert ways == list(case.ways)
