"""Probe ``gpu``: what uses the server's GPUs, as ``nvidia-smi`` tells. Its use is a sign of life.

Only where the runtime may have one. ``nvidia-smi`` may hang for minutes: that is UNKNOWN, and permits
nothing. The script is ``data/gpu.sh``; what it prints is untrusted text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from watchdogd.core.sight import GpuDevice, GpuProcess, GpuSight, GpuTool
from watchdogd.core.words import Layer, ProbeName, Vantage
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline, Reach, Reading
from watchdogd.probes.observing import Watch
from watchdogd.scripts import Garbled, ask

SCRIPTS = ("flight.sh", "gpu.sh")

_LIMIT = 256 * 1024
_MIB = 1024**2
_UUID = re.compile(r"[A-Za-z0-9-]{4,80}")
_NUMBER = re.compile(r"[0-9]{1,12}")


def gpu(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """OK with a ``GpuSight``; UNKNOWN if it could not be told; nothing at all where no GPU was given."""
    if not reach.target.may_use_gpus:
        return Reading(observations=())
    watch = Watch.start(reach.clock, ProbeName.GPU, Layer.HOST, Vantage.SERVER)
    links = reach.links.status()
    if links.link is None or links.silent:
        return Reading(observations=(watch.unknown("there is no link that speaks"),))
    try:
        lines = ask(links.link, SCRIPTS, (reach.target.name,), deadline, limit=_LIMIT)
    except (Transient, Permanent) as error:
        return Reading(observations=(watch.unknown(error.detail, error.mend),))
    except Garbled as error:
        return Reading(observations=(watch.unknown(str(error)),))
    mend = "on the server: nvidia-smi"
    if "tool=busy" in lines:
        # another laptop's look, or one that hangs: no news, and what was read before grows old
        held = watch.unknown("the nvidia-smi that was started last has not come back", mend)
        return Reading(observations=(held,))
    sight = parse(lines, reach.clock.run())
    if sight.tool is GpuTool.FAILED:
        return Reading(observations=(watch.unknown("nvidia-smi does not answer", mend),), gpu=sight)
    told = "no nvidia-smi on the server" if sight.tool is GpuTool.NONE else ""
    return Reading(observations=(watch.ok(told),), gpu=sight)


def parse(lines: Iterable[str], read_at: float) -> GpuSight:
    """What could be read. One line that is not understood makes the whole FAILED: who uses a GPU must be
    known, or nothing is."""
    told = list(lines)
    tools = [line.partition("=")[2] for line in told if line.startswith("tool=")]
    if len(tools) != 1 or tools[0] not in list(GpuTool):
        return GpuSight(read_at=read_at, tool=GpuTool.FAILED)
    tool = GpuTool(tools[0])
    devices = [_device(line[4:]) for line in told if line.startswith("gpu=")]
    processes = [_process(line[8:]) for line in told if line.startswith("process=")]
    if None in devices or None in processes:
        return GpuSight(read_at=read_at, tool=GpuTool.FAILED)
    return GpuSight(
        read_at=read_at,
        tool=tool,
        devices=tuple(one for one in devices if one is not None),
        processes=tuple(one for one in processes if one is not None),
    )


def _device(text: str) -> GpuDevice | None:
    fields = [field.strip() for field in text.split(",")]
    if len(fields) != 5 or not _NUMBER.fullmatch(fields[0]) or not _UUID.fullmatch(fields[1]):
        return None
    used, total = _number(fields[3]), _number(fields[4])
    percent = _number(fields[2])
    return GpuDevice(
        index=int(fields[0]),
        uuid=fields[1],
        utilization=None if percent is None else min(1.0, percent / 100),
        memory_used=None if used is None else used * _MIB,
        memory_total=None if total is None else total * _MIB,
    )


def _process(text: str) -> GpuProcess | None:
    uuid, _, pid = (part.strip() for part in text.partition(","))
    if not _UUID.fullmatch(uuid) or not _NUMBER.fullmatch(pid):
        return None
    return GpuProcess(gpu=uuid, pid=int(pid))


def _number(text: str) -> int | None:
    """``[N/A]`` and the like are not told by every device."""
    return int(text) if _NUMBER.fullmatch(text) else None
