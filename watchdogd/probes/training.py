"""Probe ``training``: the configured signs of a training run, read on the server.

Read there, so they hold while the runtime hangs. They are looked for on the host and, if none is there,
in the container. A look can hang with the file system that the checkpoints lie on; while it does, no other
one is begun. The script is ``data/training.sh``; what it prints is untrusted text: a progress file may be
half-written, huge, no JSON or from the future.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from watchdogd.core.sight import TrainingSight
from watchdogd.core.words import ContainerStatus, Layer, ProbeName, Vantage
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline, Reach, Reading
from watchdogd.probes.observing import Watch
from watchdogd.scripts import Garbled, ask

SCRIPTS = ("flight.sh", "training.sh")

_LIMIT = 64 * 1024
_MEND = (
    "on the server: ls -l of the paths in [targets.NAME.training]; where it hangs, so does the disk"
)
_WHOLE = re.compile(r"[0-9]{1,15}")
_PHASE = re.compile(r"[a-z_]{1,32}")
_CONTAINER = re.compile(r"[0-9a-f]{12,64}")
_UNREAD = {
    "unread=yes": ("the container could not be asked for the signs of training", ""),
    "unread=late": ("the signs of training could not be read in time", _MEND),
    "unread=held": ("unread: the last look at the signs of training has not come back", _MEND),
}


def training(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """OK with a ``TrainingSight``; UNKNOWN if nothing could be read; nothing at all where nothing is
    configured."""
    wanted = reach.target.training
    if not wanted.watched:
        return Reading(observations=())
    watch = Watch.start(reach.clock, ProbeName.TRAINING, Layer.TRAINING, Vantage.SERVER)
    links = reach.links.status()
    if links.link is None or links.silent:
        return Reading(observations=(watch.unknown("there is no link that speaks"),))
    paths = (wanted.progress_file, wanted.checkpoints, wanted.log_file)
    arguments = (reach.target.name, _container(so_far), *paths)
    try:
        lines = ask(links.link, SCRIPTS, arguments, deadline, limit=_LIMIT)
    except (Transient, Permanent) as error:
        return Reading(observations=(watch.unknown(error.detail, error.mend),))
    except Garbled as error:
        return Reading(observations=(watch.unknown(str(error)),))
    return _reading(watch, lines, reach.clock.run())


def parse(lines: Iterable[str], read_at: float) -> TrainingSight:
    """What could be read, from ``key=value`` lines; of a key that comes twice the last one."""
    values: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition("=")
        values[key] = value.strip()
    progress = _progress(values.get("progress", ""))
    step, phase = _number(progress, "step"), str(progress.get("phase", ""))
    phase = phase if _PHASE.fullmatch(phase) else ""
    date = f"{values.get('progress_time', '')}:{values.get('progress_bytes', '')}"
    seen = _age(values, "progress_time") is not None
    return TrainingSight(
        read_at=read_at,
        progress_mark=(date if step is None else f"{step:.15g}:{phase}") if seen else "",
        progress_age=_age(values, "progress_time"),
        step=step,
        total=_number(progress, "total"),
        phase=phase,
        checkpoint_mark=f"{values.get('checkpoint_time')}:{values.get('checkpoint_name')}"
        if _age(values, "checkpoint_time") is not None
        else "",
        checkpoint_age=_age(values, "checkpoint_time"),
        log_bytes=_whole(values.get("log_bytes", "")),
    )


def _reading(watch: Watch, lines: Sequence[str], read_at: float) -> Reading:
    sight = parse(lines, read_at)
    nothing = not sight.progress_mark and not sight.checkpoint_mark and sight.log_bytes is None
    unread = next((told for line, told in _UNREAD.items() if line in lines), None)
    if nothing and unread is not None:
        return Reading(observations=(watch.unknown(*unread),))
    told = "no sign of training yet" if nothing else _told(sight)
    return Reading(observations=(watch.ok(told),), training=sight)


def _told(sight: TrainingSight) -> str:
    if sight.step is None:
        return ""
    of = f" of {sight.total:g}" if sight.total is not None else ""
    return f"step {sight.step:g}{of}"


def _container(so_far: Sequence[Reading]) -> str:
    for reading in so_far:
        found = reading.container
        if found is not None and found.status is ContainerStatus.RUNNING and found.id:
            return found.id if _CONTAINER.fullmatch(found.id) else "-"
    return "-"


def _progress(text: str) -> Mapping[str, object]:
    """The progress file's own words; empty if it is half-written, too long, or no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(values: Mapping[str, object], key: str) -> float | None:
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if abs(found) < 1e15 else None


def _age(values: Mapping[str, str], key: str) -> float | None:
    now, then = _whole(values.get("now", "")), _whole(values.get(key, ""))
    return None if now is None or then is None else float(now - then)


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None
