"""Why nothing was done, and what would have to happen: the decision, told instead of carried out.

It asks the same ``choose`` with the same state, so it cannot disagree with what is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.core import life
from watchdogd.core.answer import Answer, answer
from watchdogd.core.choose import confirmation
from watchdogd.core.lengths import length
from watchdogd.core.life import FRESH_SECONDS, Rank, Sign
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.operating import asked
from watchdogd.core.rung import Rung, ends_work, rungs
from watchdogd.core.sight import GpuTool
from watchdogd.core.veto import hazard, looked_for
from watchdogd.core.ways import Work
from watchdogd.core.words import HARM, Harm, Remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """All that the decision about a target rests on now."""

    answer: Answer
    fails: int
    needed_fails: int
    seconds: float
    """Awake-observed."""
    needed_seconds: float
    signs: tuple[Sign, ...]
    unread: str
    """Which sign of life could not be read; empty if "no sign" may be believed."""
    looked_at: tuple[str, ...]
    """Where a sign of work would have been seen now."""
    not_looked_at: tuple[str, ...]
    """Where one would not, though such a target may have one there."""
    processes: tuple[int, ...]
    """Ids on the server of those that the strongest sign is of, where they are known."""
    hazard: str
    hazards_looked_for: tuple[str, ...]
    """The kinds of hazards that would have been seen now."""
    looked_ago: float
    """Seconds since what is told of work, where a paused target is looked at less often than it is
    judged; else 0."""
    rungs: tuple[Rung, ...]
    waits_for_person: Remedy | None


def why(state: TargetState, policy: Policy, env: Env) -> Why:
    """What stands between the present state and the next remedy."""
    found = rungs(state, policy, env)
    harm = max((HARM[one.remedy] for one in found), default=Harm.HARMLESS)
    fails, seconds = confirmation(state, policy, harm)
    run = _last_looked(state, env.run)
    signs, unread = life.signs(state, policy, run), life.unread(state, policy, run)
    if run < env.run and unread == life.READ_ONCE:
        pace = length(policy.interval * policy.deep_every)
        unread = f"a paused target's server is looked at about every {pace}, too seldom to tell"
    looked = _looked_at(state, policy, run)
    processes = _processes(state, signs)
    told = Work(signs=signs, unread=unread, processes=processes, kernels=looked["kernels"])
    # What is started again is not hindered by what makes a restart unwise.
    danger = hazard(state, destructive=not found or any(ends_work(one.remedy) for one in found))
    return Why(
        answer=answer(state, policy, env, found, told),
        fails=state.streak.fails,
        needed_fails=fails,
        seconds=state.streak.observed_seconds,
        needed_seconds=seconds,
        signs=signs,
        unread=unread,
        looked_at=tuple(name for name, seen in looked.items() if seen),
        not_looked_at=tuple(name for name, seen in looked.items() if not seen),
        processes=processes,
        hazard="" if danger is None else danger.what,
        hazards_looked_for=looked_for(state.sight, run),
        looked_ago=env.run - run,
        rungs=found,
        waits_for_person=asked(state),
    )


def _last_looked(state: TargetState, run: float) -> float:
    """The moment of which signs of work are told: now; of a paused target, the last look on its server,
    as nothing is decided then."""
    host = state.sight.host
    return run if state.pause is None or host is None else min(run, host.read_at)


def _looked_at(state: TargetState, policy: Policy, run: float) -> dict[str, bool]:
    """Each place where work of such a target would show, and whether it was read lately."""
    sight = state.sight
    host = sight.host if sight.host and run - sight.host.read_at <= FRESH_SECONDS else None
    gpu, training, kernels = sight.gpu, sight.training, sight.kernels
    found = {
        "processes": host is not None and host.processes is not None,
        "disk use": host is not None and host.io_bytes is not None,
    }
    if policy.gpus and not (gpu is not None and gpu.tool is GpuTool.NONE):
        fresh = gpu is not None and run - gpu.read_at <= FRESH_SECONDS
        found["GPU"] = fresh and gpu is not None and gpu.tool is GpuTool.OK
    if policy.watches_training:
        found["training files"] = training is not None and run - training.read_at <= FRESH_SECONDS
    found["kernels"] = kernels is not None and run - kernels.read_at <= FRESH_SECONDS
    return found


def _processes(state: TargetState, signs: tuple[Sign, ...]) -> tuple[int, ...]:
    """Those that used CPU, or that hold memory of a GPU where that is the only sign."""
    host, gpu = state.sight.host, state.sight.gpu
    if not signs or host is None:
        return ()
    there = {(one.pid, one.started) for one in host.processes or ()}
    if signs[0].rank is Rank.PRESENCE:
        holds = {one.pid for one in gpu.processes} if gpu is not None else set()
        return tuple(sorted(pid for pid, _ in there if pid in holds))
    worked = state.life.workers if state.life.cpu_run is not None else frozenset()
    return tuple(sorted(pid for pid, _ in worked & there))
