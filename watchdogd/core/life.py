"""Signs of life: what shows that work goes on in the runtime, and what of that could not be read.

Any one sign forbids ending what runs. Each is judged by two readings taken on the server, so a clock
that is wrong there or here makes no sign and hides none. A reading that is missing is *no sight*, never
"no sign".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from watchdogd.core.events import Observed
from watchdogd.core.lengths import length
from watchdogd.core.model import Policy, TargetState
from watchdogd.core.records import merged
from watchdogd.core.sight import (
    GpuSight,
    GpuTool,
    HostSight,
    KernelSight,
    ProcessCpu,
    TrainingSight,
)
from watchdogd.core.traces import Beacon, Life
from watchdogd.core.turn import Turn

WORK_RATIO = 0.01
"""More than this share of one core, used by a process other than the runtime server, is work."""
WORK_FLOOR_SECONDS = 0.03
"""Less CPU than three clock ticks between two readings is noise, however short the gap."""
IO_FLOOR_BYTES = 256 * 1024
"""Less block I/O between two readings is noise: a page of a program that is read again."""
SIGN_SECONDS = 60.0
"""A sign of activity counts for so long. No setting shortens it: it is what protects a run."""
FRESH_SECONDS = 30.0
"""A server-side reading older than this is no sight (invariant I1)."""
BUSY_SECONDS = 600.0
"""How old the word that a kernel is busy may be, while that kernel's process is still the same."""
PRESENCE_SECONDS = 3600.0
"""Memory of a GPU is held by an idle process too: alone it counts for so long (reasoned: JAX)."""
BASELINE_SECONDS = 120.0
"""Work is measured against a reading at most so old, and longer than any round takes."""
SLOW_PHASES = frozenset({"checkpoint", "compile", "data"})
"""What a progress file may say that it is doing, and then three times the time is given."""
GOOD_MOMENT_SECONDS = 120.0
READ_ONCE = "what runs in the runtime was read only once so far, so it may be at work"
SLOW_FACTOR, GAP_FACTOR, GAPS_KEPT = 3.0, 5.0, 9


class Rank(StrEnum):
    """How much a sign says. Progress outranks activity: a hung collective keeps a GPU busy."""

    PROGRESS = "progress"
    ACTIVITY = "activity"
    PRESENCE = "presence"


@dataclass(frozen=True, slots=True)
class Sign:
    """One reason to believe that work goes on."""

    rank: Rank
    what: str
    """A sentence for people."""
    age: float
    """Seconds (``run`` clock) since it was seen."""


def signs(state: TargetState, policy: Policy, run: float) -> tuple[Sign, ...]:
    """All signs of life that count now, the strongest first. A configured beacon that is overdue cancels
    what is mere activity or presence; what then is left to do is for a person to approve."""
    progress = _progress(state, policy, run)
    if not progress and overdue(state, policy, run):
        return ()
    activity = (*_activity(state.life, run), *_lull(state, policy, run), *_busy_kernel(state, run))
    presence = () if progress or activity else _presence(state, run)
    return (*progress, *activity, *presence)


def overdue(state: TargetState, policy: Policy, run: float) -> bool:
    """Is there a beacon (progress file or checkpoint) that was due to advance, and did not?"""
    known = [one for one in (state.life.progress, state.life.checkpoint) if one is not None]
    return bool(known) and all(_age(one, run) > deadline(one, policy) for one in known)


def standstill(state: TargetState, run: float) -> str:
    """Each beacon that is known, and when it last advanced, for people."""
    named = (
        ("the progress file", state.life.progress),
        ("the newest checkpoint", state.life.checkpoint),
    )
    return ", ".join(
        f"{name} last advanced {length(_age(one, run))} ago"
        for name, one in named
        if one is not None
    )


def unread(state: TargetState, policy: Policy, run: float) -> str:
    """Which sign could not be read, as a sentence; empty if "no sign" may be believed.

    It needs two readings of the process list, at least ``policy.read_gap`` apart, the newer one fresh,
    and a fresh word on the GPU where the runtime was given one.
    """
    newest, baseline, gpu = state.sight.host, state.life.baseline, state.sight.gpu
    if newest is None or newest.processes is None or run - newest.read_at > FRESH_SECONDS:
        return "which programs run in the runtime could not be read, so it may be at work"
    if policy.gpus and (gpu is None or run - gpu.read_at > FRESH_SECONDS):
        return "nvidia-smi on the server did not answer in the last 30 s, so the GPU may be in use"
    if policy.gpus and gpu is not None and gpu.tool not in (GpuTool.OK, GpuTool.NONE):
        return "nvidia-smi on the server fails, so the GPU may be in use"
    training = state.sight.training
    if policy.watches_training and (training is None or run - training.read_at > FRESH_SECONDS):
        return "the files that show the training's progress could not be read, so it may be at work"
    if baseline is None or baseline.processes is None:
        return "what runs in the runtime was not read twice yet, so it may be at work"
    if newest.read_at - baseline.read_at < policy.read_gap:
        return READ_ONCE
    return ""


def moving(state: TargetState, policy: Policy, run: float) -> bool:
    """Does a configured sign of a training run move: a beacon in its time, or the log?"""
    log = state.life.log_run
    return bool(_progress(state, policy, run)) or (log is not None and run - log <= SIGN_SECONDS)


def good_moment(state: TargetState, run: float) -> str:
    """What an operator may want to know while a remedy waits for the work's end: that little would be
    lost right now. Never a reason to act by itself."""
    beacon = state.life.checkpoint
    if beacon is None or not beacon.gaps or _age(beacon, run) > GOOD_MOMENT_SECONDS:
        return ""
    return (
        f"; a checkpoint was written {_age(beacon, run):.0f} s ago, "
        "so a `watchdogd heal` would cost little now"
    )


def stalled(state: TargetState, policy: Policy, run: float) -> bool:
    """Does a training run that was seen to advance stand still, though something of it is there?"""
    seen = state.sight.training
    known = [one for one in (state.life.progress, state.life.checkpoint) if one is not None]
    if not known:
        return False
    if not any(one.gaps for one in known) or not overdue(state, policy, run):
        return False
    if seen is not None and seen.total is not None and seen.step is not None:
        return seen.step < seen.total
    # Memory that is held is no work: a notebook keeps it after its run has ended.
    return bool(_activity(state.life, run) or _busy_kernel(state, run))


def deadline(beacon: Beacon, policy: Policy) -> float:
    """Seconds after which a beacon that did not advance is overdue."""
    gaps = sorted(beacon.gaps)
    usual = GAP_FACTOR * gaps[len(gaps) // 2] if gaps else 0.0
    slow = SLOW_FACTOR if beacon.phase in SLOW_PHASES else 1.0
    return slow * max(policy.stall_after, usual)


def _age(beacon: Beacon, run: float) -> float:
    return max(0.0, run - beacon.advanced)


def _progress(state: TargetState, policy: Policy, run: float) -> tuple[Sign, ...]:
    found = []
    named = (("the progress file", state.life.progress), ("a checkpoint", state.life.checkpoint))
    for name, beacon in named:
        if beacon is not None and _age(beacon, run) <= deadline(beacon, policy):
            age = _age(beacon, run)
            found.append(Sign(Rank.PROGRESS, f"{name} was written {age:.0f} s ago", age))
    return tuple(found)


def _activity(life: Life, run: float) -> tuple[Sign, ...]:
    named = (
        (life.cpu_run, "a kernel or a program other than Jupyter itself uses CPU"),
        (life.io_run, "the container reads or writes its disk"),
        (life.gpu_run, "a program of the runtime computes on a GPU"),
        (life.log_run, "the training's log grows"),
    )
    return tuple(
        Sign(Rank.ACTIVITY, what, run - seen)
        for seen, what in named
        if seen is not None and run - seen <= SIGN_SECONDS
    )


def _lull(state: TargetState, policy: Policy, run: float) -> tuple[Sign, ...]:
    """A process that used CPU and is still there may wait for data: it counts as long as a hang takes to be
    believed. One that is gone was counted for a minute."""
    life, host = state.life, state.sight.host
    if life.cpu_run is None or not SIGN_SECONDS < run - life.cpu_run <= policy.hung_after:
        return ()
    there = {(one.pid, one.started) for one in (host.processes if host else None) or ()}
    if not life.workers & there:
        return ()
    what = "a program that used CPU a short while ago is still there, and may wait for data"
    return (Sign(Rank.ACTIVITY, what, run - life.cpu_run),)


def _busy_kernel(state: TargetState, run: float) -> tuple[Sign, ...]:
    """Busy when it could last be asked, and the process is still that one (or cannot be told)."""
    life, host = state.life, state.sight.host
    if life.busy_run is None or run - life.busy_run > BUSY_SECONDS:
        return ()
    now = None if host is None or host.processes is None else _kernels(host)
    if now is not None and life.busy and not life.busy & now:
        return ()
    return (Sign(Rank.ACTIVITY, "a kernel was busy when last asked", run - life.busy_run),)


def _presence(state: TargetState, run: float) -> tuple[Sign, ...]:
    seen, host = state.life.gpu_held_run, state.sight.host
    silent = state.life.quiet.seconds  # watched failing, and all the while without any other sign
    if seen is None or run - seen > SIGN_SECONDS or silent >= PRESENCE_SECONDS:
        return ()
    if host is not None and host.processes is None:
        return ()  # silence cannot be told: ``unread`` says so, and permits nothing
    what = (
        "a program of the runtime holds GPU memory; it was watched without any other sign of work for "
        f"{length(silent)}, and after {length(PRESENCE_SECONDS)} of that its memory no longer counts"
    )
    return (Sign(Rank.PRESENCE, what, run - seen),)


def without_signs(life: Life) -> Life:
    """The same without any sign of work; whether it could be read stays.

    Each reading that shows work is the baseline of the next: it took two to see it, so it counts as read
    twice."""
    baseline = life.baseline
    if baseline is not None and life.cpu_run is not None:
        baseline = replace(baseline, read_at=float("-inf"))
    return Life(baseline=baseline)


# ---------------------------------------------------------------- what a round adds

Found = dict[str, Any]
"""Fields of ``Life``, and what one part of a round says of them."""


def seen(turn: Turn, event: Observed) -> Life:
    """What is known after this round. Only for one that is neither void nor late, and before the state's
    sight is replaced."""
    sight, life = event.sight, turn.state.life
    host = sight.host or turn.state.sight.host
    found: Found = {}
    if sight.host is not None:
        found |= _host(turn, life, sight.host)
    if sight.gpu is not None:
        found |= _gpu(sight.gpu, host)
    if sight.kernels is not None:
        found |= _busy(life, sight.kernels, host)
    if sight.training is not None:
        found |= _training(life, sight.training)
    return merged(life, found) if found else life


def work_between(older: HostSight, newer: HostSight, *, at_most: float = math.inf) -> bool | None:
    """Did a process other than the runtime server use CPU between two readings?

    It is measured against the seconds between them, ``at_most`` so many: over hours a little work would
    drown. ``None`` = one of them has no process list. A process that appeared in between counts with
    all that it used; one that ended counts as no sign, it is gone.
    """
    if older.processes is None or newer.processes is None:
        return None
    before = {(one.pid, one.started): one.cpu_seconds for one in older.processes}
    used = sum(_used(one, before) for one in newer.processes)
    elapsed = min(at_most, max(0.0, newer.read_at - older.read_at))
    return used > max(WORK_FLOOR_SECONDS, WORK_RATIO * elapsed)


def _workers(older: HostSight, newer: HostSight) -> frozenset[tuple[int, int]]:
    """The processes that used CPU between two readings."""
    before = {(one.pid, one.started): one.cpu_seconds for one in older.processes or ()}
    return frozenset(
        (one.pid, one.started) for one in newer.processes or () if _used(one, before) > 0
    )


def _used(process: ProcessCpu, before: dict[tuple[int, int], float]) -> float:
    return max(0.0, process.cpu_seconds - before.get((process.pid, process.started), 0.0))


def _kernels(host: HostSight) -> frozenset[tuple[str, int, int]]:
    """Kernel id, process and its start, of those that can be told from their arguments."""
    return frozenset(
        [(one.kernel, one.pid, one.started) for one in host.processes or () if one.kernel]
    )


def _host(turn: Turn, life: Life, newer: HostSight) -> Found:
    before = turn.state.sight.host
    found = _cpu(turn, life, before, newer)
    if before is not None and before.boot_id == newer.boot_id:
        bytes_moved = moved(before.io_bytes, newer.io_bytes)
        if bytes_moved is not None and bytes_moved > IO_FLOOR_BYTES:
            found["io_run"] = newer.read_at
    return found


def moved(older: int | None, newer: int | None) -> int | None:
    """Bytes read and written between two readings; ``None`` = one of them is missing."""
    return None if older is None or newer is None else newer - older


def _cpu(turn: Turn, life: Life, before: HostSight | None, newer: HostSight) -> Found:
    """Has a process of the runtime, other than its server, used CPU since the baseline?"""
    if newer.processes is None:
        return {}
    baseline = life.baseline
    oldest = max(BASELINE_SECONDS, 2 * turn.policy.stable_seconds)
    too_old = baseline is not None and newer.read_at - baseline.read_at > oldest
    if baseline is None or baseline.boot_id != newer.boot_id:
        return {"baseline": newer}
    if work_between(baseline, newer):
        workers = _workers(baseline, newer)
        return {"cpu_run": newer.read_at, "baseline": newer, "workers": workers}
    if too_old or before is None or before.processes is None:
        # Over so long a time a little work would drown.
        return {"baseline": newer} if too_old else {}
    if newer.read_at - baseline.read_at > turn.policy.stable_seconds:
        return {"baseline": before}
    return {}


def _gpu(gpu: GpuSight, host: HostSight | None) -> Found:
    """Processes of the runtime on a GPU; where its processes are not known, any process counts."""
    listed = None if host is None or host.processes is None else host.processes
    ours = None if listed is None else {one.pid for one in listed}
    held = {one.gpu for one in gpu.processes if ours is None or one.pid in ours}
    if not held:
        return {}
    at_work = any(one.uuid in held and one.utilization != 0.0 for one in gpu.devices)
    return {"gpu_held_run": gpu.read_at} | ({"gpu_run": gpu.read_at} if at_work else {})


def _busy(life: Life, told: KernelSight, host: HostSight | None) -> Found:
    """The kernels that are busy, and which process each of them is."""
    if told.busy:
        there = () if host is None else _kernels(host)
        busy = frozenset([one for one in there if one[0] in told.busy])
        return {"busy_run": told.read_at, "busy": busy}
    return {} if life.busy_run is None else {"busy_run": None, "busy": frozenset()}


def _training(life: Life, seen: TrainingSight) -> Found:
    grown = life.log_bytes is not None and seen.log_bytes not in (None, life.log_bytes)
    return {
        "progress": _beacon(life.progress, seen, seen.progress_mark, seen.progress_age, seen.phase),
        "checkpoint": _beacon(life.checkpoint, seen, seen.checkpoint_mark, seen.checkpoint_age, ""),
        "log_run": seen.read_at if grown else life.log_run,
        "log_bytes": life.log_bytes if seen.log_bytes is None else seen.log_bytes,
    }


def _beacon(
    before: Beacon | None, seen: TrainingSight, mark: str, age: float | None, phase: str
) -> Beacon | None:
    """What is known of a beacon after a reading. One that could not be read keeps what was known."""
    if not mark or age is None:
        return before
    advanced = seen.read_at - max(0.0, age)
    if before is None:
        return Beacon(mark=mark, advanced=advanced, phase=phase, read_at=seen.read_at)
    if mark == before.mark:
        return replace(before, phase=phase, read_at=seen.read_at)
    # It changed between two looks: that it is old by its own date does not count against it.
    advanced = max(advanced, before.read_at)
    gap = max(0.0, advanced - before.advanced)
    gaps = (*before.gaps[-(GAPS_KEPT - 1) :], gap)
    return Beacon(mark=mark, advanced=advanced, phase=phase, read_at=seen.read_at, gaps=gaps)
