"""The opponents act as their documents say, and the duel adds up."""

from __future__ import annotations

import json

import pytest

from bench import duel
from bench.duel_healers import Opponent, Oracle, autossh_pause
from bench.duel_report import page
from bench.duel_rules import Autoheal, Liveness, Monit, Nothing, RestartAlways
from tests.worlds.simulated import HOUR, played
from watchdogd.sim.agent import Agent
from watchdogd.sim.faults import Fault, Kind

HANG = Fault(2.5 * HOUR, Kind.HUNG_WITH_WORK, float("inf"))
DEAD = Fault(2.5 * HOUR, Kind.HUNG_DEAD, float("inf"))
CRASH = Fault(2.5 * HOUR, Kind.CRASH, float("inf"))


def test_a_liveness_probe_kills_a_training_run_and_watchdogd_does_not() -> None:
    theirs = played(Opponent(Liveness()), HANG).score
    assert (theirs.destructive, theirs.needless) == (1, 1)
    assert theirs.lost_by_healer == pytest.approx(0.5 * HOUR + 600, abs=60)
    assert 20 <= theirs.heal[Kind.HUNG_WITH_WORK][0] <= 31 + 20
    ours = played(Agent(), HANG).score
    assert (ours.destructive, ours.lost_by_healer) == (0, 0)


def test_a_hang_without_work_is_restarted_by_both() -> None:
    for healer in (Agent(), Opponent(Liveness()), Opponent(Autoheal()), Opponent(Monit())):
        score = played(healer, DEAD).score
        assert (score.destructive, score.needless, score.lost_by_healer) == (1, 0, 0)
    assert played(Opponent(RestartAlways()), DEAD).score.destructive == 0


def test_a_liveness_probe_takes_a_slow_answer_for_death() -> None:
    slow = Fault(2.5 * HOUR, Kind.SLOW, 45.0)
    assert played(Opponent(Liveness()), slow).score.needless == 1
    for healer in (Agent(), Opponent(Autoheal()), Opponent(Monit())):
        assert played(healer, slow).score.destructive == 0


def test_kills_in_a_row_wait_ever_longer() -> None:
    slow = Fault(2.5 * HOUR, Kind.SLOW, 2 * HOUR)
    kills = played(Opponent(Liveness()), slow).score.destructive
    assert 2 * HOUR / (300 + 20 + 40) - 1 <= kills <= 2 * HOUR / (300 + 50) + 6


@pytest.mark.parametrize(
    ("healer", "least", "most"),
    [
        (Opponent(RestartAlways()), 20.0, 21.0),  # 100 ms and the boot
        (Opponent(Monit()), 20 + 240.0, 20 + 361.0),  # three cycles of 120 s
        (Oracle(), 20.0, 20.1),
        (Agent(), 20.0, 30.0),
    ],
)
def test_a_crashed_container_is_started(healer: Opponent, least: float, most: float) -> None:
    (seconds,) = played(healer, CRASH).score.heal[Kind.CRASH]
    assert least <= seconds <= most


def test_autossh_alone_never_touches_the_server() -> None:
    score = played(Opponent(Nothing()), CRASH).score
    assert not score.acts
    assert Kind.CRASH not in score.heal


def test_autoheal_needs_three_bad_health_checks() -> None:
    refused = Fault(2.5 * HOUR, Kind.REFUSED, float("inf"))
    (seconds,) = played(Opponent(Autoheal()), refused).score.heal[Kind.REFUSED]
    assert 60 + 5 + 20 <= seconds <= 90 + 5 + 20 + 1


def test_ssh_keepalives_find_a_dead_connection_after_90_seconds() -> None:
    forgot = Fault(2.5 * HOUR, Kind.NAT_FORGOT, 0.0)
    (seconds,) = played(Opponent(Nothing()), forgot).score.heal[Kind.NAT_FORGOT]
    assert 90 <= seconds <= 91
    assert played(Agent(), forgot).score.heal[Kind.NAT_FORGOT][0] < 15


def test_autossh_restarts_five_times_at_once_and_then_ever_slower() -> None:
    pauses = [autossh_pause(tries) for tries in range(30)]
    assert pauses[:6] == [0.0] * 6
    assert pauses[7:10] == [8.0, 18.0, 32.0]
    assert pauses[-1] == 600.0


def test_the_oracle_waits_for_the_work_to_end() -> None:
    score = played(Oracle(), HANG).score
    assert (score.destructive, score.lost_by_healer) == (0, 0)
    assert played(Oracle(), HANG, working=False).score.destructive == 1


def test_a_small_duel(capsys: pytest.CaptureFixture[str]) -> None:
    code = duel.main(["--runs", "1", "--other-runs", "0", "--processes", "1", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == (1 if told["missed"] else 0)
    (rate,) = told["rates"]
    assert set(rate["healers"]) == set(duel.HEALERS)
    assert rate["healers"]["oracle"]["availability_of_oracle"] == 1.0


def test_the_tables_name_every_healer() -> None:
    shown = page(duel.duel([(str(duel.SCENARIO), 1 / 3, 1, False)], processes=1))
    assert all(name in shown for name in duel.HEALERS)
    assert all(f"\n{kind} " in shown for kind in (Kind.SLEEP, Kind.ROAM, Kind.LINK_RESET))
