"""Probes may take as long as the line needs, and never less than what is configured."""

from __future__ import annotations

from watchdogd.carrying.patience import LONGEST_SECONDS, Patience
from watchdogd.core.events import Observed
from watchdogd.core.model import Observation
from watchdogd.core.sight import Sight
from watchdogd.core.words import Cause, Layer, Outcome, ProbeName, Vantage

TIMEOUT = 10.0


def answered(
    seconds: float, *, ok: bool = True, probe: ProbeName = ProbeName.RUNTIME_TUNNEL
) -> Observed:
    seen = Observation(
        probe=probe,
        layer=Layer.RUNTIME,
        vantage=Vantage.TUNNEL,
        outcome=Outcome.OK if ok else Outcome.FAIL,
        cause=None if ok else Cause.RUNTIME_HUNG,
        started=100.0,
        ended=100.0 + seconds,
    )
    return Observed(round=1, started=100.0, observations=(seen,), sight=Sight())


def after(*rounds: Observed) -> Patience:
    made = Patience()
    for one in rounds:
        made.learn(one)
    return made


def test_on_a_usual_line_it_is_what_is_configured() -> None:
    assert Patience().seconds(TIMEOUT, None) == TIMEOUT
    assert after(*[answered(0.05)] * 9).seconds(TIMEOUT, 0.02) == TIMEOUT


def test_it_is_three_times_the_usual_answer_and_has_an_end() -> None:
    assert after(*[answered(6.0)] * 3).seconds(TIMEOUT, None) == 18.0
    assert after(*[answered(16.0)] * 3).seconds(TIMEOUT, None) == LONGEST_SECONDS
    assert after(answered(16.0)).seconds(45.0, 8.0) == 45.0


def test_the_round_trip_counts_before_there_was_any_answer() -> None:
    assert Patience().seconds(TIMEOUT, 3.0) == 18.0


def test_one_slow_answer_is_not_the_usual_one() -> None:
    assert after(answered(0.1), answered(9.0), answered(0.1)).seconds(TIMEOUT, None) == TIMEOUT


def test_what_failed_or_was_another_probe_says_nothing() -> None:
    kernel = answered(9.0, probe=ProbeName.KERNEL)
    assert after(answered(9.9, ok=False), kernel).seconds(TIMEOUT, None) == TIMEOUT


def test_a_line_that_is_fast_again_is_known_as_that_after_some_rounds() -> None:
    slow, fast = [answered(9.0)] * 9, [answered(0.1)] * 5
    assert after(*slow, *fast).seconds(TIMEOUT, 0.05) == TIMEOUT
