"""``refresh_token``, and what of a log is a token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import (
    RUNNING,
    FakeEngine,
    FakeLink,
    FakeLinks,
    FakeTokens,
    Jupyter,
    an_intent,
    reach_with,
)
from watchdogd.core.remedying import ACT_SECONDS
from watchdogd.core.sight import ContainerSight
from watchdogd.core.words import HARM, Cause, Kind, Remedy, Result
from watchdogd.ports import Deadline, EngineRefused, Reach
from watchdogd.ports import Outcome as Ended
from watchdogd.remedies import REMEDIES
from watchdogd.remedies.runtime import last_token, refresh_token
from watchdogd.settings import Secret

LOGS = Path(__file__).parents[1] / "fixtures" / "jupyter" / "log-lines.json"
NEW = "0123456789abcdef" * 3
OLD = "fedcba9876543210" * 3


def logged(*tokens: str) -> bytes:
    return "".join(f"http://127.0.0.1:9000/?token={token}\n" for token in tokens).encode()


def recorded(what: str) -> bytes:
    lines = json.loads(LOGS.read_text())["exchanges"]
    return "\n".join(one["line"] for one in lines if what in one["what"]).encode()


class TestLastToken:
    def test_a_recorded_line(self) -> None:
        assert last_token(recorded("token not pinned")) == Secret(NEW)

    @pytest.mark.parametrize("what", ["token pinned", "request with the token", "died", "restart"])
    def test_lines_that_hold_none(self, what: str) -> None:
        assert last_token(recorded(what)) is None

    def test_the_last_start_counts(self) -> None:
        assert last_token(logged(OLD, NEW) + b"more\n") == Secret(NEW)

    @pytest.mark.parametrize(
        "log",
        [
            b"",
            b"token=" + NEW.encode(),
            b"?token=" + NEW[:-1].encode(),
            b"?token=" + NEW.encode() + b"0",
            b"?token=" + NEW.upper().encode(),
            b"\xff" * 1000,
        ],
    )
    def test_what_only_looks_like_one(self, log: bytes) -> None:
        assert last_token(log) is None


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def refreshed(reach: Reach) -> Ended:
    intent = an_intent(Remedy.REFRESH_TOKEN, Cause.RUNTIME_AUTH)
    return refresh_token(reach, intent, Deadline.after(reach.clock, 10))


def reach_of(clock: FakeClock, jupyter: Jupyter, tokens: FakeTokens, log: bytes = b"") -> Reach:
    return reach_with(clock, http=jupyter, tokens=tokens, engine=FakeEngine(RUNNING, log))


class TestRefreshToken:
    @pytest.mark.parametrize("known", [None, OLD])
    def test_the_logs_token_is_tried_and_used(self, clock: FakeClock, known: str | None) -> None:
        tokens = FakeTokens(now=Secret(known) if known else None)
        found = refreshed(reach_of(clock, Jupyter(NEW), tokens, logged(OLD, NEW)))
        assert found.result is Result.DONE
        assert tokens.now == Secret(NEW)
        assert NEW not in repr(found)

    def test_our_own_token_is_tried_first(self, clock: FakeClock) -> None:
        tokens = FakeTokens(now=Secret(OLD), pin=Secret("b" * 48))
        assert refreshed(reach_of(clock, Jupyter("b" * 48), tokens)).result is Result.DONE
        assert tokens.now == Secret("b" * 48)

    def test_a_token_that_is_not_taken_is_not_learned(self, clock: FakeClock) -> None:
        tokens = FakeTokens(now=Secret(OLD))
        found = refreshed(reach_of(clock, Jupyter("z" * 48), tokens, logged(NEW)))
        assert (found.result, tokens.now) == (Result.FAILED, Secret(OLD))
        assert "targets.a100.runtime.token_file" in found.mend

    def test_a_configured_file_with_another_token_is_said(self, clock: FakeClock) -> None:
        tokens = FakeTokens(now=Secret(OLD), pin=Secret(OLD), configured=True)
        found = refreshed(reach_of(clock, Jupyter(NEW), tokens, logged(NEW)))
        assert found.result is Result.FAILED
        assert "configured" in found.detail

    def test_no_container_no_token(self, clock: FakeClock) -> None:
        engine = FakeEngine(ContainerSight(read_at=0), logged(NEW))
        reach = reach_with(clock, http=Jupyter(NEW), engine=engine)
        assert refreshed(reach).result is Result.FAILED

    def test_a_session_has_no_log_to_read(self, clock: FakeClock) -> None:
        reach = reach_with(clock, kind=Kind.SESSION, http=Jupyter(NEW))
        assert refreshed(reach).result is Result.FAILED

    def test_an_engine_that_cannot_be_asked(self, clock: FakeClock) -> None:
        engine = FakeEngine(RUNNING, refuses=EngineRefused("no permission", "usermod"))
        found = refreshed(reach_with(clock, http=Jupyter(NEW), engine=engine))
        assert (found.result, found.mend) == (Result.FAILED, "usermod")

    def test_a_foreign_listener_is_sent_no_token(self, clock: FakeClock) -> None:
        jupyter, links = Jupyter(NEW), FakeLinks(link=FakeLink(clock), bound=False)
        reach = reach_with(
            clock, http=jupyter, links=links, engine=FakeEngine(RUNNING, logged(NEW))
        )
        assert refreshed(reach).result is Result.FAILED
        assert jupyter.asked == []


def test_each_remedy_has_a_deadline_and_none_is_unknown() -> None:
    assert set(REMEDIES) == set(ACT_SECONDS)
    assert set(REMEDIES) <= set(HARM)
