"""The resume hook: what it is asked to do, and what of it is remembered. Records only; ``resuming`` decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from watchdogd.core.sight import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One run of ``resume_command`` that was decided on. ``key`` never occurs twice."""

    key: str
    incident: str
    """Of the repair that it follows."""
    repair: str
    """Key of that repair's intent."""
    generation: Generation
    """What was seen healthy after that repair. For each such run of the runtime there is one hook at most."""
    attempt: int
    """1: the first at this step."""
    back: int
    """How many checkpoints before the newest complete one to begin with."""
    step: float | None
    """Last one that the progress file showed; ``None``: not known."""
    decided: float
    """``run`` clock."""
    deadline_seconds: float


class Trial(StrEnum):
    """What became of the last resume."""

    NONE = "none"
    """There was none, or nothing can tell."""
    OPEN = "open"
    """The command ended well; the progress file has not moved yet."""
    MOVED = "moved"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Of one target. Survives the agent; ``ran`` is then told by the journal."""

    lost: Generation | None = None
    """What a repair met, and ended or replaced: once it is proved, the training is to be resumed. ``None``:
    nothing is owed."""
    repair: str = ""
    """Key of that repair's intent."""
    incident: str = ""
    made: Generation | None = None
    """What there was when a repair did not bring health in time: health that comes late is its work only if
    that is still there."""
    ran: Generation | None = None
    """For what the hook was begun last: never twice."""
    trial: Trial = Trial.NONE
    step: float | None = None
    """Where the training was lost the last time."""
    failures: int = 0
    """Resumes in a row that failed at that step."""
    halted: bool = False
    """Too many did: a person is needed."""


NOTHING_OWED = Resume()
