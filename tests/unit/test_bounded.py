"""One call with a deadline that it does not know."""

from __future__ import annotations

import threading

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters import bounded
from watchdogd.adapters.bounded import within
from watchdogd.ports import Deadline


def test_what_ends_just_after_the_deadline_is_late_and_no_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends between the deadline and the caller's next word."""
    may_end, late = threading.Event(), list[int]()

    class Call(bounded._Call[int]):
        def result(self, deadline: Deadline, name: str) -> int:
            waited = self._ended

            class Passed:
                """The deadline has passed; at the next look the job has ended."""

                def wait(self, seconds: float) -> bool:
                    return False

                set = staticmethod(waited.set)

                def is_set(self) -> bool:
                    may_end.set()
                    return waited.wait(20)

            self._ended = Passed()  # type: ignore[assignment]
            try:
                return super().result(deadline, name)
            finally:
                self._ended = waited
                may_end.set()
                assert waited.wait(20)

    def job() -> int:
        assert may_end.wait(20)
        return 7

    monkeypatch.setattr(bounded, "_Call", Call)
    with pytest.raises(TimeoutError):
        within(Deadline.after(FakeClock(), 0.0), "test", job, late=late.append)
    assert late == [7]


def test_a_job_that_breaks_is_told_as_broken() -> None:
    hook, threading.excepthook = threading.excepthook, lambda *_: None
    try:
        with pytest.raises(RuntimeError, match="test broke"):
            within(Deadline.after(FakeClock(), 20.0), "test", lambda: 1 // 0)
    finally:
        threading.excepthook = hook
