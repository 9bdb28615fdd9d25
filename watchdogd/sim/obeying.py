"""What each remedy does to the world: a last look, the act, and its own proof by a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from watchdogd.core.events import RemedyFinished
from watchdogd.core.life import work_between
from watchdogd.core.model import Intent
from watchdogd.core.words import Refusal, Remedy, Result
from watchdogd.sim import looks
from watchdogd.sim.world import Runtime, World

if TYPE_CHECKING:
    from watchdogd.sim.agent import Agent

LOOK_SECONDS = 1.0
"""From the decision to the act: one look at the engine, over the link."""
PROOF_SECONDS = 1.0


def obey(agent: Agent, intent: Intent) -> None:
    """Begin the remedy; its end comes as exactly one event."""
    if intent.remedy is Remedy.RECONNECT:
        agent.dial(agent.state.dialing.last_number + 1, key=intent.key)
        return
    world, slept, life = agent.world, agent.world.slept, agent.world.life
    act = ACTS.get(intent.remedy, _no_such_thing)

    def begin() -> None:
        if not world.speaks():
            end(0.0, Result.FAILED)
        elif world.slept > slept or world.life != life:
            end(0.0, Result.NOTHING)
        else:
            act(world, intent, end)

    def end(seconds: float, result: Result, reason: Refusal | None = None) -> None:
        left = intent.deadline_seconds - LOOK_SECONDS
        if seconds > left:
            seconds, result = left, Result.UNKNOWN
        world.after_awake(seconds, lambda: agent.take(_finished(world, intent, result, reason)))

    world.after_awake(LOOK_SECONDS, begin)


class End(Protocol):
    """Tell the result after so many seconds."""

    def __call__(self, seconds: float, result: Result, reason: Refusal | None = None) -> None: ...


Act = Callable[[World, Intent, End], None]


def _finished(
    world: World, intent: Intent, result: Result, reason: Refusal | None
) -> RemedyFinished:
    """What could not be seen to its end is not known."""
    if result is Result.DONE and not world.speaks():
        result = Result.UNKNOWN
    return RemedyFinished(key=intent.key, result=result, reason=reason)


def _start(world: World, intent: Intent, end: End) -> None:
    if world.running:
        end(0.0, Result.NOTHING)
    elif not world.engine_up:
        end(0.0, Result.FAILED)
    else:
        ready = world.start_container(str(intent.remedy))
        end(ready - world.now + PROOF_SECONDS, Result.DONE)


def _restart(world: World, intent: Intent, end: End) -> None:
    good = world.runtime is Runtime.OK and world.now >= world.ready_at
    if not world.running or good:
        end(0.0, Result.NOTHING)
    elif not world.engine_up:
        end(0.0, Result.FAILED)
    elif _works(world, intent):
        end(0.0, Result.NOTHING, Refusal.VETO)
    else:
        ready = world.restart_container(str(intent.remedy))
        end(ready - world.now + PROOF_SECONDS, Result.DONE)


def _works(world: World, intent: Intent) -> bool:
    """The guard on the server: did a process use CPU since the reading that the decision rests on?"""
    now = looks.host(world, world.run)
    return intent.seen is not None and bool(work_between(intent.seen, now))


def _open_session(world: World, intent: Intent, end: End) -> None:
    world.view = True
    end(PROOF_SECONDS, Result.DONE)


def _reopen(world: World, intent: Intent, end: End) -> None:
    end(PROOF_SECONDS, Result.DONE)


def _no_such_thing(world: World, intent: Intent, end: End) -> None:
    end(0.0, Result.FAILED)


ACTS: dict[Remedy, Act] = {
    Remedy.START_CONTAINER: _start,
    Remedy.RESTART_CONTAINER: _restart,
    Remedy.OPEN_SESSION: _open_session,
    Remedy.REOPEN_FORWARD: _reopen,
}
