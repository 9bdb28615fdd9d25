"""A record with some fields changed: as ``dataclasses.replace`` would have made it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from watchdogd.core.model import TargetState
from watchdogd.core.records import merged
from watchdogd.core.traces import Life


@pytest.mark.parametrize("record", [TargetState(oks=3), Life(cpu_run=7.0)])
def test_it_is_what_replace_makes_and_the_old_one_stays(record: TargetState | Life) -> None:
    fields = {"oks": 4, "round": 2} if isinstance(record, TargetState) else {"log_bytes": 9}
    before = replace(record)
    made = merged(record, fields)
    assert made == replace(record, **fields)  # type: ignore[arg-type]
    assert type(made) is type(record)
    assert record == before


def test_it_is_as_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        merged(TargetState(), {"oks": 1}).oks = 2  # type: ignore[misc]


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="okays"):
        merged(TargetState(), {"okays": 1})
