"""Probe ``host``: one script on the server, one round trip, everything about the machine.

The script is ``data/facts.sh``. What it prints is untrusted text: framed by a random mark, cut by
size, and each value is parsed by itself, so that one that is missing or wrong is merely unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from watchdogd.core.model import Observation
from watchdogd.core.sight import HostSight, ProcessCpu
from watchdogd.core.words import Cause, ContainerStatus, Kind, Layer, ProbeName, Vantage
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline, Link, Reach, Reading
from watchdogd.probes.observing import Watch
from watchdogd.scripts import Garbled, ask

SCRIPTS = ("processes.sh", "facts.sh")
DISK_FULL_BYTES = 100 * 1024**2
"""Below it hardly anything on the server works any more."""

_LIMIT = 8 * 1024**2
_NOBODY = "-"
_CONTAINER = re.compile(r"[0-9a-f]{12,64}")
_BOOT_ID = re.compile(r"[0-9a-f-]{8,64}")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,6})?")
_WHOLE = re.compile(r"[0-9]{1,18}")
_KERNEL = re.compile(r"kernel-([0-9a-f][0-9a-f-]{7,63})\.json")
_PROCESS = re.compile(r"([0-9]{1,10}) ([0-9]{1,18}) ([0-9]{1,18}) (.*)")


def host(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """OK with a ``HostSight``; FAIL ``remote_wedged`` if an exec on a link that speaks hangs or answers
    garbage; FAIL ``disk_full``; UNKNOWN without a link that speaks."""
    watch = Watch.start(reach.clock, ProbeName.HOST, Layer.HOST, Vantage.SERVER)
    links = reach.links.status()
    link = links.link
    if link is None or links.silent:
        # Over a silent link the answer would only be waited for until the deadline.
        return Reading(observations=(watch.unknown("there is no link that speaks"),))
    try:
        lines = ask(link, SCRIPTS, _whose(reach, so_far), deadline, limit=_LIMIT)
    except (Transient, Permanent) as error:
        return Reading(observations=(_no_answer(watch, link, error),))
    except Garbled as error:
        return Reading(observations=(watch.fail(Cause.REMOTE_WEDGED, str(error)),))
    sight = parse_facts(lines, reach.clock.run())
    return Reading(observations=(_observe(watch, sight),), host=sight)


def parse_facts(lines: Iterable[str], read_at: float) -> HostSight:
    """What could be read, from ``key=value`` lines; the worst one of a key that comes twice."""
    values: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition("=")
        values.setdefault(key, []).append(value)
    boot_id = _text(values, "boot_id")
    listed = _processes(values)
    return HostSight(
        read_at=read_at,
        boot_id=boot_id if boot_id and _BOOT_ID.fullmatch(boot_id) else None,
        uptime_seconds=_number(_text(values, "uptime")),
        load_per_core=_load(values),
        disk_free_bytes=_disk(values),
        inodes_free_ratio=_inodes(values),
        pressure_ratio=_pressure(values),
        engine_started_at=_engine(values),
        io_bytes=_whole(_text(values, "io_bytes")),
        processes=None if listed is None else listed[0],
        servers=() if listed is None else listed[1],
    )


def is_runtime_server(arguments: Sequence[str]) -> bool:
    """True only if these arguments are surely those of the Jupyter server itself.

    A kernel, whose arguments merely hold a path with "jupyter" in it, is work; so is everything that
    cannot be told.
    """
    words = list(arguments)
    if not words:
        return False
    if _base(words[0]) in _SERVERS or _is_dispatcher(words):
        return True
    if not _base(words[0]).startswith("python"):
        return False
    program = _python_program(words[1:])
    return bool(program) and (_base(program[0]) in _SERVERS or _is_dispatcher(program))


_SERVERS = frozenset(
    {
        "jupyter-server",
        "jupyter-notebook",
        "jupyter-lab",
        "jupyter_server",
        "jupyterlab",
        "notebook",
    }
)
_SUBCOMMANDS = frozenset({"server", "notebook", "lab"})


def _is_dispatcher(words: Sequence[str]) -> bool:
    """``jupyter lab ...``; a bare ``jupyter`` runs the server of old, ``jupyter nbconvert`` runs work."""
    if _base(words[0]) != "jupyter":
        return False
    return len(words) == 1 or words[1] in _SUBCOMMANDS or words[1].startswith("--")


def _python_program(words: Sequence[str]) -> list[str]:
    """Module or script, with its arguments, out of an interpreter's arguments; empty for ``-c``."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "-m":
            return rest
        if word in ("-X", "-W", "--check-hash-based-pycs"):
            rest = rest[1:]
        elif word.startswith("-m") and len(word) > 2:
            return [word[2:], *rest]
        elif word.startswith("-c") or word == "-":
            return []
        elif not word.startswith("-"):
            return [word, *rest]
    return []


def _base(word: str) -> str:
    return word.rpartition("/")[2]


def _whose(reach: Reach, so_far: Sequence[Reading]) -> tuple[str, str]:
    """The container id and the panes' process ids whose processes are to be listed."""
    container = pid = _NOBODY
    for reading in so_far:
        found = reading.container
        if found is not None and found.status is ContainerStatus.RUNNING and found.id:
            container = found.id if _CONTAINER.fullmatch(found.id) else _NOBODY
        if reading.session is not None and reach.target.runtime.kind is Kind.SESSION:
            pid = " ".join(str(pane) for pane in reading.session.panes) or _NOBODY
    return container, pid


def _no_answer(watch: Watch, link: Link, error: Transient | Permanent) -> Observation:
    """Only a link that spoke in the meantime blames the server."""
    spoke = link.alive() and link.facts().last_received_at > watch.started
    if error.cause is Cause.REMOTE_WEDGED and spoke:
        return watch.fail(Cause.REMOTE_WEDGED, error.detail, error.mend)
    return watch.unknown(error.detail, error.mend)


def _observe(watch: Watch, sight: HostSight) -> Observation:
    mend = "free disk space on the server; what uses it: sudo du -xh / | sort -h | tail"
    free = sight.disk_free_bytes
    if free is not None and free < DISK_FULL_BYTES:
        return watch.fail(Cause.DISK_FULL, f"{free // 1024**2} MiB are free on the server", mend)
    if sight.inodes_free_ratio == 0.0:
        return watch.fail(Cause.DISK_FULL, "no inodes are free on the server", mend)
    return watch.ok()


def _text(values: Mapping[str, Sequence[str]], key: str) -> str | None:
    found = values.get(key, ())
    return found[0] if len(found) == 1 else None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text) else None


def _load(values: Mapping[str, Sequence[str]]) -> float | None:
    load, processors = _number(_text(values, "load")), _number(_text(values, "processors"))
    return load / processors if load is not None and processors else None


def _pressure(values: Mapping[str, Sequence[str]]) -> float | None:
    found = [_number(text) for text in values.get("pressure", ())]
    return max((number / 100 for number in found if number is not None), default=None)


def _engine(values: Mapping[str, Sequence[str]]) -> float | None:
    """Of several daemons nobody knows which one is meant."""
    started, boot = _number(_text(values, "engine")), _number(_text(values, "btime"))
    ticks = _number(_text(values, "ticks"))
    return boot + started / ticks if boot and started is not None and ticks else None


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and _WHOLE.fullmatch(text) else None


def _disk(values: Mapping[str, Sequence[str]]) -> int | None:
    found = [_number(text) for text in values.get("disk_free_kb", ())]
    free = [int(number) * 1024 for number in found if number is not None]
    return min(free, default=None)


def _inodes(values: Mapping[str, Sequence[str]]) -> float | None:
    """Least free part; file systems that make inodes as they need them say 0 of 0."""
    ratios = []
    for text in values.get("inodes", ()):
        free, _, total = text.partition(" ")
        number, of = _number(free), _number(total)
        if number is not None and of:
            ratios.append(number / of)
    return min(ratios, default=None)


def _processes(
    values: Mapping[str, Sequence[str]],
) -> tuple[tuple[ProcessCpu, ...], tuple[tuple[int, int], ...]] | None:
    """All but the runtime server, and that; ``None`` if the list is not whole, or a line cannot be
    parsed."""
    ticks = _number(_text(values, "ticks"))
    if _text(values, "processes") is None or not ticks:
        return None
    found: list[ProcessCpu] = []
    servers: list[tuple[int, int]] = []
    for line in values.get("process", ()):
        match = _PROCESS.fullmatch(line)
        if match is None:
            return None
        pid, started, cpu, arguments = match.groups()
        if is_runtime_server(arguments.rstrip("\t").split("\t")):
            servers.append((int(pid), int(started)))
        else:
            kernel = _KERNEL.search(arguments)
            found.append(
                ProcessCpu(
                    pid=int(pid),
                    started=int(started),
                    cpu_seconds=int(cpu) / ticks,
                    kernel=kernel.group(1) if kernel else "",
                )
            )
    return tuple(found), tuple(servers)
