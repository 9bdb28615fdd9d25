"""What would have been decided on a recorded log under other settings.

The recording answers what was asked then: its rounds are taken as answers to the rounds that the other
settings ask for, and their own timers fire. A remedy that only they apply has no recorded answer, so
after the first difference this tells what would have been *tried*, not what would have come of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from watchdogd.core.commands import Wake
from watchdogd.core.events import ClockStepped, Event, Observed, Resumed, Woke
from watchdogd.core.machine import step
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.eventlog import Began, Numbered
from watchdogd.sim.replay import Taken, replay

LATE_SECONDS = 1.0
"""A timer that the recording passes by more has to be fired here: it did not exist there."""


@dataclass(slots=True)
class _Course:
    """How one target stands under the other settings."""

    state: TargetState
    wake_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """One recorded step under both policies."""

    recorded: Taken
    """Under the recorded policy."""
    instead: tuple[Taken, ...]
    """Under the other one: timers of its own that were due first, and the same event."""


def what_if(lines: Iterable[Numbered], policies: Mapping[str, Policy]) -> Iterator[Other]:
    """Each recorded step of the targets in ``policies`` under both. Raises as ``replay``."""
    courses: dict[str, _Course] = {}
    for taken in replay(_noted(lines, courses)):
        if taken.target in policies:
            course, policy = courses[taken.target], policies[taken.target]
            yield Other(recorded=taken, instead=tuple(_steps(course, taken, policy)))


def _noted(lines: Iterable[Numbered], courses: dict[str, _Course]) -> Iterator[Numbered]:
    """The same lines; a target that begins does so in ``courses`` as well."""
    for one in lines:
        if isinstance(one.line, Began):
            courses[one.line.target] = _Course(state=one.line.state)
        yield one


def _steps(course: _Course, taken: Taken, policy: Policy) -> Iterator[Taken]:
    env = taken.env
    while (due := course.wake_at) is not None and due < env.run - LATE_SECONDS:
        if isinstance(taken.event, Resumed | ClockStepped):
            break  # time did not pass: the laptop slept
        earlier = env.run - due
        then = replace(env, run=due, boot=env.boot - earlier, wall=env.wall - earlier)
        yield _step(course, Woke(), policy, then, taken)
    yield _step(course, _fitted(taken.event, course.state), policy, env, taken)


def _step(course: _Course, event: Event, policy: Policy, env: Env, recorded: Taken) -> Taken:
    course.state, commands = step(course.state, event, policy, env)
    if course.wake_at is not None and course.wake_at <= env.run:
        course.wake_at = None
    for command in commands:
        if isinstance(command, Wake):
            course.wake_at = command.at
    return replace(
        recorded, event=event, policy=policy, env=env, commands=commands, after=course.state
    )


def _fitted(event: Event, state: TargetState) -> Event:
    """A round's answer counts for the round that is open here."""
    if isinstance(event, Observed) and state.round_open:
        return replace(event, round=state.round)
    return event
