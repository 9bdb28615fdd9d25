"""Over a quiet stretch without playing its rounds: their times are drawn as if they had been played.

Quiet means: over one whole cycle of rounds nothing in the state changed but what is known to slide,
nothing waits on the laptop but the next round, and the world changes nothing before the end. A field
that the core gets later is not known to slide, so it stops the skipping, never falsifies it. The last
rounds before the end are played, so that all that slides is of that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from watchdogd.core import flapping
from watchdogd.core.model import Policy, TargetState
from watchdogd.core.traces import Flaps
from watchdogd.core.words import Phase, State
from watchdogd.sim.world import World

SLIDES = frozenset(
    {
        "account",
        "flaps",
        "last_up_wall",
        "life",
        "next_round_at",
        "observations",
        "oks",
        "round",
        "round_since",
        "sight",
        "verdict_since",
        "wake_at",
    }
)
PLAYED_AFTER = 6
"""Rounds: one or two looks at the server, as far back as any reading is compared with."""
PLAYED_OFFLINE = 3
"""Rounds: nothing of the server is known there anyway."""
LONGEST_LOOK = 2.0
MINUTE = flapping.SAMPLE_SECONDS


def over(
    recent: Sequence[TargetState], policy: Policy, world: World, until: float
) -> TargetState | None:
    """The state as if all rounds up to shortly before ``until`` (``run`` clock) had been played.

    ``recent``: the states after the last rounds, a whole cycle of them. ``None``: not quiet, or the
    stretch is too short to be worth it.
    """
    state = recent[-1]
    if len(recent) <= policy.deep_every or state.round_open or state.not_before:
        return None
    steady = state.phase is Phase.STEADY
    if steady and state.shown is not State.UP:
        return None
    if not steady and (world.online or state.shown is not State.OFFLINE):
        return None
    if steady and (world.slow or world.losses or not world.usable()):
        return None
    longest = policy.interval * 1.05 if steady else policy.suspect_interval
    stop = until - (PLAYED_AFTER if steady else PLAYED_OFFLINE) * (longest + LONGEST_LOOK)
    if state.next_round_at + 2 * longest > stop or not _alike(recent[0], state, steady=steady):
        return None
    return _jumped(state, policy, world, stop) if steady else _waited(state, policy, world, stop)


def _jumped(state: TargetState, policy: Policy, world: World, stop: float) -> TargetState:
    """Good rounds until ``stop``: their times, and what they add to the memory of flapping. Once that
    is all good, another round moves nothing of it but the minute."""
    dice, flaps = world.dice, state.flaps
    look, deep_look = (world.scenario.spreads[name] for name in ("look", "deep_look"))
    at, number, minute, calm = state.next_round_at, state.round, flaps.minute_since, False
    while at < stop:
        dice.random()  # the step that asks for the round
        at += (look if number % policy.deep_every else deep_look).draw(dice)
        chance = dice.random()
        over = at - minute >= MINUTE
        if calm:
            minute = at if over else minute
        elif over or number < state.round + flapping.RECENT:
            flaps = flapping.seen(flaps, good=True, run=at)
            minute, calm = flaps.minute_since, _all_good(flaps)
        at += policy.interval * (0.95 + 0.1 * chance)
        number += 1
    played = number - state.round
    world.score.rounds += played
    flaps = replace(flaps, minute_since=minute)
    return replace(
        state, round=number, oks=state.oks + played, next_round_at=at, wake_at=at, flaps=flaps
    )


def _waited(state: TargetState, policy: Policy, world: World, stop: float) -> TargetState:
    """Rounds without a network until ``stop``."""
    at, number = state.next_round_at, state.round
    while at < stop:
        world.dice.random()
        at += world.scenario.spreads["deep_look"].draw(world.dice)
        world.dice.random()
        at += policy.suspect_interval
        number += 1
    world.score.rounds += number - state.round
    return replace(state, round=number, next_round_at=at, wake_at=at)


def _all_good(flaps: Flaps) -> bool:
    """Another good round changes nothing but the minute."""
    good = all(flaps.samples) and all(flaps.recent) and flaps.minute_good and not flaps.flapping
    return good and len(flaps.samples) == flapping.SAMPLES and len(flaps.recent) == flapping.RECENT


def _alike(older: TargetState, newer: TargetState, *, steady: bool) -> bool:
    before, now = vars(older), vars(newer)
    slides = SLIDES if steady else SLIDES | {"streak"}
    return all(
        one in slides or value is before[one] or value == before[one] for one, value in now.items()
    )
