"""What rounds leave behind beside a verdict: when each sign of life was last seen, how steady health is, and
the engine's word of an end. ``run`` clock throughout."""

from __future__ import annotations

from dataclasses import dataclass

from watchdogd.core.sight import HostSight


@dataclass(frozen=True, kw_only=True)
class Flaps:
    """Health over the last minutes, to tell one that comes and goes. Without slots, as ``Life``."""

    samples: tuple[bool, ...] = ()
    """One a minute (awake-observed), oldest first: was every conclusive round in it good?"""
    minute_good: bool = True
    """Of the minute that is under way."""
    minute_since: float = 0.0
    """``run`` clock."""
    flapping: bool = False
    recent: tuple[bool, ...] = ()
    """The last conclusive rounds, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beacon:
    """A progress file, or the newest checkpoint: something that moves while a training run does."""

    mark: str
    """What it showed last."""
    advanced: float
    """``run`` clock, when it last moved: as its date says, or not before it was seen unmoved."""
    read_at: float
    """``run`` clock, when it was last read."""
    phase: str = ""
    gaps: tuple[float, ...] = ()
    """Seconds between the last moves that were seen; empty if none was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Silence of a runtime that fails: no work in it, as far as it was watched."""

    seconds: float = 0.0
    """Awake-observed (``run`` clock)."""
    host: HostSight | None = None
    """The last reading of it, that the next one is compared with."""


NO_QUIET = Quiet()


@dataclass(frozen=True, kw_only=True)
class Life:
    """When each sign that work goes on was last seen (``run`` clock); None = not since the last start,
    wake or change of generation. Without slots: nearly every round makes a new one (``records``)."""

    baseline: HostSight | None = None
    """The reading that CPU is compared with."""
    cpu_run: float | None = None
    workers: frozenset[tuple[int, int]] = frozenset()
    """Process and its start, of those that used CPU then."""
    io_run: float | None = None
    gpu_run: float | None = None
    gpu_held_run: float | None = None
    log_run: float | None = None
    log_bytes: int | None = None
    busy_run: float | None = None
    busy: frozenset[tuple[str, int, int]] = frozenset()
    """Kernel, process and its start, of those that were busy then."""
    progress: Beacon | None = None
    checkpoint: Beacon | None = None
    quiet: Quiet = NO_QUIET
    """Stays over a wake: counters of the server tell what happened meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The engine's word that the container which is meant ended."""

    container: str
    started: str
    """Which run of it was known when that was told."""
    told_run: float
    """``run`` clock."""
