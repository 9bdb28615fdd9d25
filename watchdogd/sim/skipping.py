"""Over a quiet stretch without playing its rounds: their times are drawn as if they had been played.

Quiet means: over one whole cycle of rounds nothing in the state changed but what is known to slide,
nothing waits on the laptop but the next round, and the world changes nothing before the end. A field
that the core gets later is not known to slide, so it stops the skipping, never falsifies it. The last
rounds before the end are played, so that all that slides is of that time.

Three stretches are quiet: all is well; the laptop has no network; a restart waits until work that was
seen in each look has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from watchdogd.core import flapping, shadowing
from watchdogd.core.machine import REPUBLISH_SECONDS
from watchdogd.core.model import Policy, Streak, TargetState
from watchdogd.core.traces import Flaps
from watchdogd.core.words import HARM, Harm, Phase, Refusal, State
from watchdogd.sim.world import Runtime, World

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
SLIDES_OFFLINE = SLIDES | {"streak"}
SLIDES_WAITING = SLIDES | {"streak", "refusals_published"}
PLAYED_AFTER = 6
"""Rounds: one or two looks at the server, as far back as any reading is compared with."""
PLAYED_OFFLINE = 3
"""Rounds: nothing of the server is known there anyway."""
LONGEST_LOOK = 2.0
MINUTE = flapping.SAMPLE_SECONDS


@dataclass(frozen=True, slots=True)
class Jump:
    """To where a stretch was skipped."""

    state: TargetState
    told: tuple[float, ...] = ()
    """``run`` times at which the refusals that last were told again."""

    # A decision must not rest on what was read before the stretch: where one is due with each turn, the
    # state has the next round open already, to be asked for at ``state.round_since``.


def over(recent: Sequence[TargetState], policy: Policy, world: World, until: float) -> Jump | None:
    """The state as if all rounds up to shortly before ``until`` (``run`` clock) had been played.

    ``recent``: the states after the last rounds, a whole cycle of them. ``None``: not quiet, or the
    stretch is too short to be worth it.
    """
    state = recent[-1]
    if len(recent) <= policy.deep_every or state.round_open or state.not_before:
        return None
    match state.phase:
        case Phase.STEADY:
            fits, slides = state.shown is State.UP and world.usable(), SLIDES
            longest, played = policy.interval * 1.05, PLAYED_AFTER
        case Phase.BLIND:
            fits, slides = state.shown is State.OFFLINE and not world.online, SLIDES_OFFLINE
            longest, played = policy.suspect_interval, PLAYED_OFFLINE
        case Phase.HELD:
            fits, slides = _waits_for_work(state, world), SLIDES_WAITING
            longest, played = policy.suspect_interval + policy.timeout, PLAYED_AFTER
        case _:
            return None
    if not fits or (world.online and (world.slow or world.losses)):
        return None
    stop = until - played * (longest + LONGEST_LOOK)
    if state.next_round_at + 2 * longest > stop or not _alike(recent[0], state, slides):
        return None
    return JUMPS[state.phase](state, policy, world, stop)


def _waits_for_work(state: TargetState, world: World) -> bool:
    """Is a restart held back by work that is seen in each look, and by nothing that time alone ends?"""
    (remedy, reason), *others = state.refusals or ((None, None),)
    if (
        remedy is None
        or others
        or HARM[remedy] is not Harm.DESTRUCTIVE
        or reason is not Refusal.VETO
    ):
        return False
    later = max(state.grace_until, state.destructive_grace_until, state.observes_until)
    scored = state.would is None and not shadowing.news(remedy, state)
    calm = scored and state.approval is None and later <= world.run
    return calm and world.speaks() and world.computing() and world.runtime is not Runtime.OK


def _jumped(state: TargetState, policy: Policy, world: World, stop: float) -> Jump:
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
    return Jump(
        replace(
            state, round=number, oks=state.oks + played, next_round_at=at, wake_at=at, flaps=flaps
        )
    )


def _offline(state: TargetState, policy: Policy, world: World, stop: float) -> Jump:
    """Rounds without a network until ``stop``."""
    at, number = state.next_round_at, state.round
    while at < stop:
        world.dice.random()
        at += world.scenario.spreads["deep_look"].draw(world.dice)
        world.dice.random()
        at += policy.suspect_interval
        number += 1
    world.score.rounds += number - state.round
    return Jump(replace(state, round=number, next_round_at=at, wake_at=at))


def _waited(state: TargetState, policy: Policy, world: World, stop: float) -> Jump | None:
    """Failing rounds with work in sight until ``stop``, and what they add to the count of failures and
    to the memory of flapping. An even number of them: the silence that each begins, the next one ends."""
    dice, deep_look = world.dice, world.scenario.spreads["deep_look"]
    more = policy.timeout if world.runtime is Runtime.HUNG else 0.0
    before = dice.getstate()
    flaps, published = state.flaps, state.refusals_published
    told: list[float] = []
    ended: list[float] = []
    at, number = state.next_round_at, state.round
    while at < stop or len(ended) % 2:
        dice.random()
        look = at + deep_look.draw(dice) + more
        dice.random()
        for step in (at, look):  # both decide anew, and tell what is stale
            if step - published >= REPUBLISH_SECONDS:
                published = step
                told.append(step)
        flaps = flapping.seen(flaps, good=False, run=look)
        if flaps.flapping:
            dice.setstate(before)
            return None
        ended.append(look)
        at, number = look + policy.suspect_interval, number + 1
    dice.random()
    if at - published >= REPUBLISH_SECONDS:
        published = at
        told.append(at)
    world.score.rounds += len(ended)
    world.score.messages += len(told)
    slid = replace(
        state,
        round=number + 1,
        round_open=True,
        round_since=at,
        next_round_at=at,
        wake_at=at + REPUBLISH_SECONDS,
        flaps=flaps,
        streak=_longer(state.streak, ended),
        refusals_published=published,
    )
    return Jump(slid, tuple(told))


def _longer(streak: Streak, ended: Sequence[float]) -> Streak:
    """With one more failure at each of these times; none of the gaps is longer than what counts."""
    seconds = ended[-1] - streak.last_run
    return replace(
        streak,
        fails=streak.fails + len(ended),
        observed_seconds=streak.observed_seconds + seconds,
        last_run=ended[-1],
        failing=streak.failing + len(ended),
        failing_seconds=streak.failing_seconds + seconds,
    )


def _all_good(flaps: Flaps) -> bool:
    """Another good round changes nothing but the minute."""
    good = all(flaps.samples) and all(flaps.recent) and flaps.minute_good and not flaps.flapping
    return good and len(flaps.samples) == flapping.SAMPLES and len(flaps.recent) == flapping.RECENT


def _alike(older: TargetState, newer: TargetState, slides: frozenset[str]) -> bool:
    before, now = vars(older), vars(newer)
    return all(
        one in slides or value is before[one] or value == before[one] for one, value in now.items()
    )


JUMPS = {Phase.STEADY: _jumped, Phase.BLIND: _offline, Phase.HELD: _waited}
