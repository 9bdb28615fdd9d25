"""The arithmetic of ``make bench-faults``: what a client's answers come to."""

from __future__ import annotations

import json

from bench.faults_lane import OPPONENTS
from bench.faults_schedule import FAULTS
from bench.faults_table import (
    Answer,
    Got,
    Outcome,
    calm_since,
    outcome,
    page,
    record,
    summary,
    usable_again,
)


def served(begun: float, took: float = 0.01) -> Answer:
    return Answer(begun, begun + took, Got.SERVED)


def refused(begun: float) -> Answer:
    return Answer(begun, begun + 0.001, Got.REFUSED)


def failed(begun: float, took: float = 0.01) -> Answer:
    return Answer(begun, begun + took, Got.FAILED)


def made(usable: float | None, **over: int) -> Outcome:
    numbers = {"refused": 0, "failed": 0, "delayed": 0, "dials": 0, "lost": 0} | over
    return Outcome(usable=usable, **numbers)


class TestUsableAgain:
    def test_who_never_failed_was_always_usable(self) -> None:
        assert usable_again([served(1.0), served(1.02)], 1.0, slow=False) == 0.0

    def test_who_was_never_asked_is_not_usable(self) -> None:
        assert usable_again([], 1.0, slow=False) is None

    def test_counts_to_the_end_of_the_first_good_answer_after_the_last_bad_one(self) -> None:
        answers = [refused(1.0), served(1.5), refused(2.0), served(2.5, 0.1), served(3.0)]
        assert usable_again(answers, 1.0, slow=False) == 1.6

    def test_a_request_that_hung_since_before_does_not_hide_that_later_ones_were_served(
        self,
    ) -> None:
        answers = [failed(1.0, took=5.0), served(2.0, 0.25), served(3.0)]
        assert usable_again(answers, 1.0, slow=False) == 1.25

    def test_a_late_answer_counts_to_its_own_end(self) -> None:
        assert usable_again([served(1.0, 4.0)], 1.0, slow=False) == 4.0

    def test_on_a_slow_line_late_is_no_failure(self) -> None:
        assert usable_again([served(1.0, 12.0)], 1.0, slow=True) == 0.0

    def test_who_was_served_no_more_is_not_back(self) -> None:
        assert usable_again([served(1.0), refused(1.1)], 1.0, slow=False) is None

    def test_what_began_before_the_fault_and_was_served_after_it_gives_no_negative_time(
        self,
    ) -> None:
        assert usable_again([failed(0.9), served(0.95, 0.01)], 1.0, slow=False) == 0.0


class TestOutcome:
    def test_each_kind_is_counted_once_and_what_ended_before_the_fault_is_not(self) -> None:
        answers = [
            failed(0.5),
            refused(1.1),
            refused(1.2),
            failed(1.3),
            served(1.4, 0.6),
            served(2),
        ]
        found = outcome(answers, 1.0, slow=False, dials=3, lost=1)
        assert found == made(1.0, refused=2, failed=1, delayed=1, dials=3, lost=1)


class TestCalm:
    def test_calm_needs_an_answer(self) -> None:
        assert not calm_since([], [], 1.0, slow=False)
        assert calm_since([served(1.0)], [], 1.0, slow=False)

    def test_a_bad_answer_or_a_request_that_hangs_is_no_calm(self) -> None:
        assert not calm_since([served(1.0), refused(1.1)], [], 1.0, slow=False)
        assert not calm_since([served(1.0)], [0.5], 1.0, slow=False)
        assert calm_since([refused(0.5), served(1.0)], [1.5], 1.0, slow=False)

    def test_on_a_slow_line_a_request_may_hang(self) -> None:
        assert calm_since([served(1.0, 3.0)], [0.5], 1.0, slow=True)


class TestSummary:
    def test_who_is_not_back_counts_with_the_whole_window(self) -> None:
        found = summary({"f": {"a": made(None, lost=1), "b": made(2.0)}}, 120.0)
        assert (found["a"]["seconds"], found["a"]["not_back"], found["a"]["best"]) == (120.0, 1, 0)
        assert (found["b"]["seconds"], found["b"]["not_back"], found["b"]["best"]) == (2.0, 0, 1)

    def test_as_good_as_the_first_is_best_too(self) -> None:
        found = summary({"f": {"a": made(1.0), "b": made(1.5), "c": made(1.6)}}, 120.0)
        assert [found[name]["best"] for name in "abc"] == [1, 1, 0]

    def test_nobody_is_best_if_nobody_is_back(self) -> None:
        assert summary({"f": {"a": made(None)}}, 120.0)["a"]["best"] == 0

    def test_a_fault_that_does_not_apply_counts_for_nobody(self) -> None:
        found = summary({"f": {"a": None, "b": made(0.0)}}, 120.0)
        assert "a" not in found
        assert found["b"]["faults"] == 1


class TestForPeopleAndPrograms:
    def test_the_table_says_what_was_not_back_and_what_does_not_apply(self) -> None:
        text = page({"f": {"a": made(None), "b": None, "c": made(1.25)}}, 120.0, {"f": 0.7})
        assert "not in 120 s" in text
        assert "does not apply" in text
        assert "1.25 s" in text
        assert "stood still for 0.7 s" in text

    def test_the_record_is_json(self) -> None:
        found = json.loads(json.dumps(record({"f": {"a": made(None), "b": None}}, 120.0, {})))
        assert found["faults"]["f"]["a"]["usable"] is None
        assert found["faults"]["f"]["b"] is None
        assert found["in_all"]["a"]["not_back"] == 1


class TestSchedule:
    def test_there_are_twenty_faults_and_more_and_five_opponents(self) -> None:
        assert len(FAULTS) >= 20
        assert len(OPPONENTS) == 5

    def test_steps_are_in_order_and_leave_time_in_the_window(self) -> None:
        for fault in FAULTS.values():
            moments = [at for at, _ in fault.steps]
            assert moments == sorted(moments)
            assert moments[-1] <= 60.0
