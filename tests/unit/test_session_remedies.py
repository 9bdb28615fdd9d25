"""``open_session``, ``start_session``, ``restart_session``, and the pinning that goes before a start."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes_clock import FakeClock
from tests.fakes_reach import (
    RUNNING,
    FakeEngine,
    FakeLink,
    FakeLinks,
    FakeSessions,
    FakeTokens,
    Jupyter,
    an_intent,
    answered,
    reach_with,
)
from tests.lab.local_link import LocalLink
from watchdogd.adapters.clock import SystemClock
from watchdogd.core.sight import ContainerSight, Generation
from watchdogd.core.words import Cause, ContainerStatus, Kind, Refusal, Remedy, Result
from watchdogd.errors import Transient
from watchdogd.ports import Completed, Deadline, EngineRefused, HttpAnswer, HttpEnd, Reach
from watchdogd.remedies.pinning import authentication_is_off, pin_token
from watchdogd.remedies.session import open_session, restart_session, start_session, view_argv
from watchdogd.settings import Secret

NAME = "colab_session"
PATH = "/home/as/.watchdogd/a100/token"
OPEN = an_intent(Remedy.OPEN_SESSION, Cause.SESSION_MISSING)
START = an_intent(Remedy.START_SESSION, Cause.SESSION_MISSING)
SILENT = HttpAnswer(end=HttpEnd.SILENT)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def in_time(reach: Reach, seconds: float = 30.0) -> Deadline:
    return Deadline.after(reach.clock, seconds)


# ---------------------------------------------------------------- the view


class TestOpenSession:
    def test_it_shows_the_log_of_the_container_that_runs(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock)
        reach = reach_with(clock, engine=FakeEngine(RUNNING), sessions=sessions)
        assert open_session(reach, OPEN, in_time(reach)).result is Result.DONE
        ((name, argv, env, keep),) = sessions.opened
        assert (name, env, keep) == (NAME, {}, False)
        assert argv[-1] == "colab"
        assert "docker logs -f --tail 200" in argv[2]

    @pytest.mark.parametrize(
        "sight",
        [ContainerSight(read_at=0), replace(RUNNING, status=ContainerStatus.EXITED)],
    )
    def test_without_a_running_container_nothing_is_done(
        self, clock: FakeClock, sight: ContainerSight
    ) -> None:
        sessions = FakeSessions(clock)
        reach = reach_with(clock, engine=FakeEngine(sight), sessions=sessions)
        assert open_session(reach, OPEN, in_time(reach)).result is Result.NOTHING
        assert sessions.opened == []

    def test_a_session_that_is_there_is_left_as_it_is(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, running={NAME: True})
        reach = reach_with(clock, engine=FakeEngine(RUNNING), sessions=sessions)
        assert open_session(reach, OPEN, in_time(reach)).result is Result.DONE
        assert (sessions.opened, sessions.killed) == ([], [])

    def test_a_view_that_ends_at_once_is_a_failure(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, ends_at_once=True)
        reach = reach_with(clock, engine=FakeEngine(RUNNING), sessions=sessions)
        assert open_session(reach, OPEN, in_time(reach)).result is Result.FAILED

    def test_no_tmux_is_said_with_what_mends_it(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, refuses=EngineRefused("no tmux", "apt-get install tmux"))
        reach = reach_with(clock, engine=FakeEngine(RUNNING), sessions=sessions)
        found = open_session(reach, OPEN, in_time(reach))
        assert (found.result, found.mend) == (Result.FAILED, "apt-get install tmux")

    @pytest.mark.parametrize("name", ["", "-rm", "a b", "a;reboot", "$(x)", "a\nb", "x" * 200])
    def test_a_name_from_the_server_must_be_a_containers_name(self, name: str) -> None:
        with pytest.raises(EngineRefused):
            view_argv(name)

    def test_the_name_is_an_argument_and_no_shell_text(self) -> None:
        argv = view_argv("my.colab-1")
        assert "my.colab-1" not in argv[2]
        assert argv[3:] == ["sh", "my.colab-1"]


# ---------------------------------------------------------------- the runtime in a session


def pins(clock: FakeClock, log: list[bytes] | None = None) -> FakeLinks:
    """A server on which the token can be written."""

    def answer(argv: Sequence[str], stdin: bytes) -> Completed:
        if log is not None:
            log.append(stdin)
        return Completed(0, f"motd\n\n{argv[4]} {PATH}\n".encode(), b"")

    return FakeLinks(link=FakeLink(clock, answer))


def session_reach(
    clock: FakeClock, sessions: FakeSessions, server: Jupyter, links: FakeLinks | None = None
) -> Reach:
    return reach_with(
        clock, kind=Kind.SESSION, sessions=sessions, server=server, links=links or pins(clock)
    )


class TestStartSession:
    def test_it_starts_the_command_with_the_token_pinned(self, clock: FakeClock) -> None:
        sessions, written = FakeSessions(clock), list[bytes]()
        reach = session_reach(clock, sessions, Jupyter("b" * 48), pins(clock, written))
        assert start_session(reach, START, in_time(reach)).result is Result.DONE
        assert sessions.opened == [(NAME, ("jupyter lab",), {"JUPYTER_TOKEN_FILE": PATH}, True)]
        assert written == [b"b" * 48]
        assert reach.tokens.current() == Secret("b" * 48)

    def test_what_runs_is_left_alone(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, running={NAME: True})
        reach = session_reach(clock, sessions, Jupyter(None))
        assert start_session(reach, START, in_time(reach)).result is Result.NOTHING
        assert (sessions.opened, sessions.killed) == ([], [])

    def test_a_dead_pane_is_cleared_away_first(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, running={NAME: False})
        reach = session_reach(clock, sessions, Jupyter("b" * 48))
        assert start_session(reach, START, in_time(reach)).result is Result.DONE
        assert (sessions.killed, len(sessions.opened)) == ([NAME], 1)

    def test_a_command_that_ends_at_once_is_a_failure(self, clock: FakeClock) -> None:
        server = Jupyter("b" * 48)
        server.override = HttpAnswer(end=HttpEnd.REFUSED)
        sessions = FakeSessions(clock, ends_at_once=True)
        reach = session_reach(clock, sessions, server)
        found = start_session(reach, START, in_time(reach))
        assert found.result is Result.FAILED
        assert "tmux attach" in found.mend

    def test_what_does_not_answer_yet_is_unknown_by_the_deadline(self, clock: FakeClock) -> None:
        server = Jupyter("b" * 48)
        server.override = SILENT
        reach = session_reach(clock, FakeSessions(clock), server)
        deadline = in_time(reach)
        assert start_session(reach, START, deadline).result is Result.UNKNOWN
        assert not deadline.passed()

    def test_a_runtime_that_answers_anybody_is_said(self, clock: FakeClock) -> None:
        reach = session_reach(clock, FakeSessions(clock), Jupyter(None))
        found = start_session(reach, START, in_time(reach))
        assert (found.result, "authentication is off" in found.detail) == (Result.DONE, True)
        assert found.mend

    def test_a_token_that_cannot_be_written_starts_nothing(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, running={NAME: False})
        full = FakeLinks(
            link=FakeLink(clock, lambda argv, stdin: Completed(1, b"", b"No space left"))
        )
        reach = session_reach(clock, sessions, Jupyter(None), full)
        with pytest.raises(Transient, match="No space left"):
            start_session(reach, START, in_time(reach))
        assert (sessions.opened, sessions.killed) == ([], [])

    def test_no_sight_is_no_act(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, refuses=EngineRefused("no tmux"))
        reach = session_reach(clock, sessions, Jupyter(None))
        found = start_session(reach, START, in_time(reach))
        assert (found.result, found.reason) == (Result.NOTHING, Refusal.NO_SIGHT)


class TestRestartSession:
    def restart(self, reach: Reach, generation: str | None = "100:1") -> Result:
        intent = an_intent(
            Remedy.RESTART_SESSION, Cause.RUNTIME_HUNG, Generation(container=generation)
        )
        return restart_session(reach, intent, in_time(reach, 60)).result

    def hung_until_killed(self, sessions: FakeSessions) -> Jupyter:
        class Hung(Jupyter):
            def __call__(self, *args: object, **kwargs: object) -> HttpAnswer:
                if not sessions.killed:
                    return SILENT
                return answered(200, b'{"version": "2"}')

        return Hung("b" * 48)

    def test_it_ends_and_starts_what_was_judged(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, running={NAME: True})
        reach = session_reach(clock, sessions, self.hung_until_killed(sessions))
        assert self.restart(reach) is Result.DONE
        assert (sessions.killed, len(sessions.opened)) == ([NAME], 1)

    @pytest.mark.parametrize("generation", ["99:1", None])
    def test_another_generation_is_not_touched(
        self, clock: FakeClock, generation: str | None
    ) -> None:
        sessions = FakeSessions(clock, running={NAME: True})
        reach = session_reach(clock, sessions, self.hung_until_killed(sessions))
        assert self.restart(reach, generation) is Result.NOTHING
        assert sessions.killed == []

    @pytest.mark.parametrize("status", [200, 302, 403, 404])
    def test_a_runtime_that_answers_is_not_touched(self, clock: FakeClock, status: int) -> None:
        sessions = FakeSessions(clock, running={NAME: True})
        server = Jupyter(None)
        server.override = answered(status)
        reach = session_reach(clock, sessions, server)
        assert self.restart(reach) is Result.NOTHING
        assert sessions.killed == []

    @pytest.mark.parametrize(
        "trouble", [EngineRefused("no curl"), Transient(Cause.LINK_LOST, "gone")]
    )
    def test_without_sight_nothing_is_touched(self, clock: FakeClock, trouble: Exception) -> None:
        sessions = FakeSessions(clock, running={NAME: True})
        server = Jupyter(None)
        server.override = trouble
        reach = session_reach(clock, sessions, server)
        if isinstance(trouble, Transient):
            with pytest.raises(Transient):
                self.restart(reach)
        else:
            assert self.restart(reach) is Result.NOTHING
        assert sessions.killed == []

    def test_a_token_that_cannot_be_written_ends_nothing(self, clock: FakeClock) -> None:
        sessions = FakeSessions(clock, running={NAME: True})
        full = FakeLinks(link=FakeLink(clock, lambda argv, stdin: Completed(1, b"", b"full")))
        reach = session_reach(clock, sessions, self.hung_until_killed(sessions), full)
        with pytest.raises(Transient):
            self.restart(reach)
        assert sessions.killed == []


# ---------------------------------------------------------------- pinning, under a real shell


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home with 'odd' name"


def pinning_reach(clock: FakeClock, home: Path, token: str = "b" * 48) -> tuple[Reach, LocalLink]:
    home.mkdir(exist_ok=True)
    link = LocalLink({"HOME": str(home)})
    tokens = FakeTokens(now=None, pin=Secret(token))
    return reach_with(clock, links=FakeLinks(link=link), tokens=tokens), link


REAL = SystemClock()


class TestPinToken:
    def test_the_file_is_exact_private_and_whole(self, clock: FakeClock, home: Path) -> None:
        reach, link = pinning_reach(clock, home)
        path = pin_token(reach, Deadline.after(REAL, 10))
        assert path == str(home / ".watchdogd" / "a100" / "token")
        assert Path(path).read_bytes() == b"b" * 48
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
        assert os.listdir(os.path.dirname(path)) == ["token"]
        assert "b" * 48 not in repr(link.ran)
        assert reach.tokens.current() == Secret("b" * 48)

    def test_an_older_token_is_replaced(self, clock: FakeClock, home: Path) -> None:
        reach, _ = pinning_reach(clock, home, "a" * 48)
        pin_token(reach, Deadline.after(REAL, 10))
        reach, _ = pinning_reach(clock, home, "c" * 20)
        assert Path(pin_token(reach, Deadline.after(REAL, 10))).read_text() == "c" * 20

    def test_a_folder_in_its_place_is_refused(self, clock: FakeClock, home: Path) -> None:
        reach, _ = pinning_reach(clock, home)
        (home / ".watchdogd" / "a100" / "token").mkdir(parents=True)
        with pytest.raises(Transient, match="is a directory") as raised:
            pin_token(reach, Deadline.after(REAL, 10))
        assert "b" * 48 not in str(raised.value)
        assert reach.tokens.current() is None

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/shadow",
            "relative/.watchdogd/a100/token",
            "/h/.watchdogd/h100/token",
            "/h\x1b/x",
            "",
        ],
    )
    def test_another_path_from_the_server_is_not_believed(
        self, clock: FakeClock, path: str
    ) -> None:
        link = FakeLink(
            clock, lambda argv, stdin: Completed(0, f"{argv[4]} {path}\n".encode(), b"")
        )
        reach = reach_with(clock, links=FakeLinks(link=link))
        with pytest.raises(Transient):
            pin_token(reach, in_time(reach))


@pytest.mark.parametrize(("token", "off"), [("b" * 48, False), (None, True)])
def test_whether_anybody_is_let_in(clock: FakeClock, token: str | None, off: bool) -> None:
    server = Jupyter(token)
    reach = reach_with(clock, server=server)
    assert authentication_is_off(reach, in_time(reach)) is off
    assert server.asked[0][1:] == ("/api/status", False)
