"""What honest probes report of the truth: the only sight that the core gets.

One place for all of it, so that a new probe or sign of life has one function to be played in.
"""

from __future__ import annotations

from watchdogd.core.commands import Probe
from watchdogd.core.events import Observed
from watchdogd.core.link import Dialing
from watchdogd.core.model import Observation
from watchdogd.core.sight import (
    ContainerSight,
    GpuDevice,
    GpuProcess,
    GpuSight,
    GpuTool,
    HostSight,
    KernelSight,
    ProcessCpu,
    SessionSight,
    Sight,
)
from watchdogd.core.words import Cause, ContainerStatus, Layer, Outcome, ProbeName, Vantage
from watchdogd.sim.world import Runtime, World

EPOCH = 1.7e9
"""Unix time at the start of a run."""
CONTAINER = "c" * 64
GPU, PID = "GPU-0", 100
Place = tuple[ProbeName, Layer, Vantage]
AGENT: Place = (ProbeName.AGENT, Layer.AGENT, Vantage.LAPTOP)
NETWORK: Place = (ProbeName.NETWORK, Layer.NETWORK, Vantage.LAPTOP)
SSH: Place = (ProbeName.SSH, Layer.SSH, Vantage.LAPTOP)
FORWARD: Place = (ProbeName.FORWARD, Layer.FORWARD, Vantage.LAPTOP)
TUNNEL: Place = (ProbeName.RUNTIME_TUNNEL, Layer.RUNTIME, Vantage.TUNNEL)
KERNEL: Place = (ProbeName.KERNEL, Layer.KERNEL, Vantage.TUNNEL)
CONTAINERS: Place = (ProbeName.CONTAINER, Layer.CONTAINER, Vantage.SERVER)
ENGINE: Place = (ProbeName.CONTAINER, Layer.HOST, Vantage.SERVER)
VIEW: Place = (ProbeName.SESSION, Layer.CONTAINER, Vantage.SERVER)
HOST: Place = (ProbeName.HOST, Layer.HOST, Vantage.SERVER)
SERVER: Place = (ProbeName.RUNTIME_SERVER, Layer.RUNTIME, Vantage.SERVER)
OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN
CAUSES = {
    Runtime.OK: None,
    Runtime.HUNG: Cause.RUNTIME_HUNG,
    Runtime.REFUSED: Cause.RUNTIME_REFUSED,
    Runtime.ERROR: Cause.RUNTIME_ERROR,
}


def seconds(world: World, command: Probe, dialing: Dialing, timeout: float) -> float:
    """How long such a round takes now. Draws once, whatever the truth is."""
    name = "deep_look" if command.deep else "look"
    took = world.scenario.spreads[name].draw(world.dice)
    if dialing.up is None or dialing.silent:
        return took
    if not world.speaks() or _cause(world, timeout) is Cause.RUNTIME_HUNG:
        return took + timeout
    return took + (world.scenario.numbers["slow_answer"] if world.slow else 0.0)


def look(world: World, command: Probe, dialing: Dialing, timeout: float) -> Observed:
    """One round: what each probe says, and what was read on the server."""
    now, linked = world.run, dialing.up is not None and not dialing.silent
    answers = linked and world.speaks()
    lost = (dialing.failure or Cause.LINK_LOST) if not linked else None
    cause = _cause(world, timeout)
    through = Cause.RUNTIME_HUNG if answers and _unlucky(world) else cause
    seen = [
        _one(AGENT, now),
        _one(NETWORK, now, None if world.online else Cause.OFFLINE),
        _one(SSH, now, lost, unknown=not linked and not dialing.ever_up),
        _one(FORWARD, now),
        _one(TUNNEL, now, through, unknown=not answers),
    ]
    good = answers and through is None
    seen.append(_one(KERNEL, now, unknown=not good))
    kernels = _kernels(world, now) if good else None
    sight = Sight(kernels=kernels)
    if command.deep:
        blind = not answers or _unlucky(world)
        seen += _server(world, now, cause, blind=blind)
        sight = sight if blind else _sight(world, now, kernels)
    return Observed(round=command.round, started=now, observations=tuple(seen), sight=sight)


def _unlucky(world: World) -> bool:
    """Over a lossy line some answers come too late."""
    return world.losses > 0 and world.dice.random() < world.scenario.numbers["lost_answers"]


def _cause(world: World, timeout: float) -> Cause | None:
    """What a request made on the server gets."""
    if not world.running or world.now < world.ready_at:
        return Cause.RUNTIME_REFUSED
    if world.slow and world.scenario.numbers["slow_answer"] > timeout:
        return Cause.RUNTIME_HUNG
    return CAUSES[world.runtime]


def _server(
    world: World, now: float, cause: Cause | None, *, blind: bool
) -> tuple[Observation, ...]:
    ended = None
    if not world.running:
        ended = Cause.CONTAINER_OOM if world.oom else Cause.CONTAINER_EXITED
    down = not world.engine_up
    wrong = Cause.CONTAINER_ENGINE_DOWN if down else ended
    view = None if world.view else Cause.SESSION_MISSING
    return (
        _one(ENGINE if down and not blind else CONTAINERS, now, wrong, unknown=blind),
        _one(VIEW, now, view, unknown=blind),
        _one(HOST, now, unknown=blind),
        _one(SERVER, now, cause, unknown=blind),
    )


def _one(
    place: Place, now: float, cause: Cause | None = None, *, unknown: bool = False
) -> Observation:
    probe, layer, vantage = place
    outcome = UNKNOWN if unknown else FAIL if cause else OK
    return Observation(
        probe=probe,
        layer=layer,
        vantage=vantage,
        outcome=outcome,
        started=now,
        ended=now,
        cause=None if unknown else cause,
    )


def _sight(world: World, now: float, kernels: KernelSight | None) -> Sight:
    container = _container(world, now) if world.engine_up else None
    session = SessionSight(read_at=now, exists=world.view, generation="9:1", command_running=True)
    return Sight(
        host=host(world, now),
        container=container,
        session=session,
        gpu=_gpu(world, now),
        kernels=kernels,
    )


def _kernels(world: World, now: float) -> KernelSight:
    """One kernel; busy while its job runs, also while that waits for data."""
    name = frozenset({f"kernel-{world.training.process}"})
    return KernelSight(read_at=now, kernels=name, busy=name if world.working() else frozenset())


def _gpu(world: World, now: float) -> GpuSight:
    """A kernel that ever computed keeps its memory; the GPU is busy while the job does not wait."""
    computed = world.running and world.training.cpu > 0
    return GpuSight(
        read_at=now,
        tool=GpuTool.OK,
        devices=(GpuDevice(index=0, uuid=GPU, utilization=0.9 if world.computing() else 0.0),),
        processes=(GpuProcess(gpu=GPU, pid=PID),) if computed else (),
    )


def host(world: World, now: float) -> HostSight:
    """The facts script, run at this moment."""
    world.training.advance(world.now)
    work = world.training
    kernel = ProcessCpu(
        pid=PID,
        started=work.process,
        cpu_seconds=work.cpu,
        kernel=f"kernel-{work.process}",
    )
    return HostSight(
        read_at=now,
        boot_id=f"server-boot-{world.boots}",
        uptime_seconds=world.now - world.booted_at,
        load_per_core=0.5,
        disk_free_bytes=10**12,
        inodes_free_ratio=0.9,
        engine_started_at=EPOCH + world.engine_started_at if world.engine_up else None,
        io_bytes=0,
        processes=(kernel,) if world.running else (),
    )


def _container(world: World, now: float) -> ContainerSight:
    return ContainerSight(
        read_at=now,
        id=CONTAINER,
        name="colab",
        status=ContainerStatus.RUNNING if world.running else ContainerStatus.EXITED,
        started=f"life-{world.life}",
        started_at=EPOCH + world.started_at,
        finished_at=EPOCH + world.ended_at if not world.running else 0.0,
        stopped_by_person=False if not world.running and world.end_is_known else None,
        oom=world.oom,
        publish_as_configured=True,
    )
