"""How each fault changes the truth, and how it ends by itself."""

from __future__ import annotations

from collections.abc import Callable

from watchdogd.sim.faults import Fault, Kind
from watchdogd.sim.world import Runtime, World

FLAP_SECONDS = 20.0
"""Between two resets of a flapping line (reasoned: longer than a dial, shorter than any patience)."""
TCP_PATIENCE_SECONDS = 60.0
"""A connection that was silent for longer is dead afterwards (TCP_USER_TIMEOUT of the adapter)."""
LONG_SLEEP_SECONDS = 60.0
NIGHT_SECONDS = 4 * 3600.0
ON_SERVER = frozenset(Kind) - {
    Kind.SLEEP, Kind.ROAM, Kind.LINK_RESET, Kind.NAT_FORGOT, Kind.STALL, Kind.FLAP, Kind.LOSS
}  # fmt: skip


def plan(world: World, faults: tuple[Fault, ...]) -> None:
    """Put the whole schedule into the world's heap."""
    for fault in faults:
        world.after(fault.at - world.now, lambda one=fault: happen(world, one))  # type: ignore[misc]


def happen(world: World, fault: Fault) -> None:
    """One fault comes, if what it breaks is there."""
    world.settle()
    there = world.server_up and world.engine_up and world.running and world.now >= world.ready_at
    if fault.kind in ON_SERVER and not there:
        return
    if fault.kind in TROUBLES and world.runtime is not Runtime.OK:
        return
    if fault.kind is Kind.SLEEP:
        _sleep(world, fault)
        return
    BEGINNINGS[fault.kind](world, fault)
    world.blame(fault.kind)
    world.change_done()


def _sleep(world: World, fault: Fault) -> None:
    if not world.awake:
        return
    world.fall_asleep()
    world.usable_before = False
    world.after(fault.lasts, lambda: _wake(world, fault))


def _wake(world: World, fault: Fault) -> None:
    world.settle()
    slept = world.wake_up()
    world.run = world.now - world.slept
    if world.link is not None and slept > LONG_SLEEP_SECONDS:
        world.link.dead = True
    world.healer.resumed(slept)
    if world.link is not None and world.dice.random() < world.scenario.numbers["reset_at_wake"]:
        world.cut()
    world.blame(Kind.SLEEP)
    world.change_done()
    if slept > NIGHT_SECONDS:
        world.after_awake(world.scenario.numbers["person_after"], lambda: _person(world))


def _person(world: World) -> None:
    """In the morning somebody looks: what does not run is started, what hangs without work restarted."""
    if world.serving() or not (world.engine_up and world.passes()) or world.now < world.ready_at:
        return
    if world.running and (world.working() or not world.lasting):
        return
    world.score.by_hand += 1
    if world.running:
        world.restart_container("by_hand", by="person")
    else:
        world.start_container("by_hand")


def _roam(world: World, fault: Fault) -> None:
    world.online = False
    if world.link is not None:
        world.link.dead = True

    def end() -> None:
        world.online = True

    world.later(fault.lasts, end)


def _reset(world: World, fault: Fault) -> None:
    if world.awake:
        world.cut()
    elif world.link is not None:
        world.link.dead = True


def _forget(world: World, fault: Fault) -> None:
    if world.link is not None:
        world.link.dead = True


def _stall(world: World, fault: Fault) -> None:
    world.stalls += 1
    if world.link is not None and fault.lasts > TCP_PATIENCE_SECONDS:
        world.link.dead = True

    def end() -> None:
        world.stalls -= 1

    world.later(fault.lasts, end)


def _flap(world: World, fault: Fault) -> None:
    again = Fault(0.0, Kind.LINK_RESET, 0.0)
    for number in range(int(fault.lasts / FLAP_SECONDS) + 1):
        world.after(number * FLAP_SECONDS, lambda: happen(world, again))


def _loss(world: World, fault: Fault) -> None:
    world.losses += 1

    def end() -> None:
        world.losses -= 1

    world.later(fault.lasts, end)


def _reboot(world: World, fault: Fault) -> None:
    world.server_up = False
    if world.link is not None:
        world.link.dead = True
    world.end_container(known=False)

    def end() -> None:
        world.server_up, world.view = True, False
        world.boots += 1
        world.booted_at = world.now

    world.later(fault.lasts, end)


def _engine(world: World, fault: Fault) -> None:
    world.engine_up = False
    world.end_container(known=False)

    def end() -> None:
        world.engine_up = True
        world.engine_started_at = world.now

    world.later(fault.lasts, end)


def _slow(world: World, fault: Fault) -> None:
    world.slow += 1

    def end() -> None:
        world.slow -= 1

    world.later(fault.lasts, end)


def _trouble(runtime: Runtime, *, dead: bool = False, lasting: bool = True) -> Begin:
    def begin(world: World, fault: Fault) -> None:
        world.runtime, world.lasting = runtime, lasting
        world.trouble += 1
        if dead:
            world.training.kill("fault", frozen=runtime is Runtime.HUNG)
        if not lasting:
            world.later(fault.lasts, lambda number=world.trouble: _recover(world, number))  # type: ignore[misc]

    return begin


def _recover(world: World, number: int) -> None:
    if world.trouble != number:
        return
    world.runtime = Runtime.OK
    if not world.training.able():
        world.training.allow(world.now)


def _kernel(world: World, fault: Fault) -> None:
    """Where no kernel lives, none dies. Jupyter is who starts another one, so it must not be in trouble."""
    if not world.training.able():
        return
    world.training.kill("fault")
    if world.runtime is Runtime.OK:
        world.training.allow(world.now)


Begin = Callable[[World, Fault], None]
TROUBLES: dict[Kind, Begin] = {
    Kind.HUNG_FOR_A_WHILE: _trouble(Runtime.HUNG, lasting=False),
    Kind.HUNG_WITH_WORK: _trouble(Runtime.HUNG),
    Kind.HUNG_DEAD: _trouble(Runtime.HUNG, dead=True),
    Kind.REFUSED: _trouble(Runtime.REFUSED, dead=True),
    Kind.ERROR: _trouble(Runtime.ERROR),
}
BEGINNINGS: dict[Kind, Begin] = {
    **TROUBLES,
    Kind.ROAM: _roam,
    Kind.LINK_RESET: _reset,
    Kind.NAT_FORGOT: _forget,
    Kind.STALL: _stall,
    Kind.FLAP: _flap,
    Kind.LOSS: _loss,
    Kind.REBOOT: _reboot,
    Kind.ENGINE_RESTART: _engine,
    Kind.CRASH: lambda world, fault: world.end_container(),
    Kind.OOM: lambda world, fault: world.end_container(oom=True),
    Kind.SLOW: _slow,
    Kind.KERNEL_DIED: _kernel,
}
