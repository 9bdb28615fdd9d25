"""The control socket: a real one, asked by good and bad clients."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.control import (
    ControlServer,
    NoAgent,
    NoAnswer,
    Occupied,
    ask,
    control_path,
    control_paths,
)
from watchdogd.ports import Deadline


def echo(request: Mapping[str, object]) -> dict[str, object]:
    return {"you": dict(request)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
def server(path: Path) -> Iterator[ControlServer]:
    found = ControlServer(path, echo)
    yield found
    found.close()


def raw(path: Path, data: bytes) -> bytes:
    """What comes back for these bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        with contextlib.suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := client.recv(65_536):
                answer += chunk
        return answer


def test_a_question_is_answered(server: ControlServer, path: Path) -> None:
    assert ask(path, {"verb": "status", "target": "ü"}, 5) == {
        "you": {"verb": "status", "target": "ü"}
    }


@pytest.mark.usefixtures("server")
def test_only_the_user_may_reach_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_open_to_others_is_closed(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    path.parent.chmod(0o755)
    server = ControlServer(path, echo)
    server.close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "data",
    [b"garbage\n", b"[]\n", b"\n", b"", b"5", b"\xff\xfe\n", b"[" * 9000 + b"\n", b"x" * 200_000],
)
def test_bad_requests_get_words_and_the_next_one_an_answer(path: Path, data: bytes) -> None:
    answer = raw(path, data)
    # A client that is cut off while it still sends may lose the answer, never the server.
    assert not answer or json.loads(answer)["error"]["code"] == "bad_request"
    assert ask(path, {"a": 1}, 5) == {"you": {"a": 1}}


@pytest.mark.usefixtures("server")
def test_slow_clients_do_not_hold_up_others_and_too_many_are_turned_away(path: Path) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(7)]
        for client in slow:
            client.connect(str(path))
            client.sendall(b'{"half":')
        assert ask(path, {}, 5) == {"you": {}}
        more = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(4)]
        for client in more:
            client.connect(str(path))
            client.settimeout(0.5)
        closed = 0
        for client in more:
            with contextlib.suppress(TimeoutError):
                closed += client.recv(1) == b""
        # 8 at once: 7 slow ones and one of these; the others are closed at once.
        assert closed >= 3


def test_a_client_that_never_ends_its_line_is_cut_off(path: Path) -> None:
    server = ControlServer(path, echo, client_seconds=0.3)
    begun = time.monotonic()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(b"{")
        assert client.recv(1) == b""
    assert 0.2 < time.monotonic() - begun < 3
    server.close()


def test_close_ends_in_time_with_clients_hanging(path: Path) -> None:
    server = ControlServer(path, echo)
    before = threading.active_count()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        begun = time.monotonic()
        server.close(Deadline.after(SystemClock(), 3))
        assert time.monotonic() - begun < 3
    assert not path.exists()
    assert threading.active_count() < before
    server.close()
    with pytest.raises(NoAgent):
        ask(path, {}, 1)


def test_a_socket_left_behind_is_replaced(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = ControlServer(path, echo)
    assert ask(path, {}, 5) == {"you": {}}
    server.close()


def test_a_living_agents_socket_is_not_taken(server: ControlServer, path: Path) -> None:
    with pytest.raises(Occupied, match="another agent"):
        ControlServer(path, echo)
    assert ask(path, {}, 5) == {"you": {}}


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("mine")
    with pytest.raises(Occupied, match="no socket"):
        ControlServer(path, echo)
    assert path.read_text() == "mine"


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path, path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Occupied):
        ControlServer(path, echo)


def test_a_path_too_long_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(Occupied, match="shorter state_dir"):
        ControlServer(tmp_path / ("x" * 120) / "control.sock", echo)


def test_closing_leaves_the_successors_socket(path: Path) -> None:
    server = ControlServer(path, echo)
    path.unlink()
    second = ControlServer(path, echo)
    server.close()
    assert ask(path, {}, 5) == {"you": {}}
    second.close()


def test_no_agent_is_told_apart_from_no_answer(tmp_path: Path, path: Path) -> None:
    with pytest.raises(NoAgent):
        ask(tmp_path / "nothing.sock", {}, 1)
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen(1)
        begun = time.monotonic()
        with pytest.raises(NoAnswer, match=r"0\.3 s"):
            ask(path, {}, 0.3)
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("reply", "why"),
    [(b"garbage\n", "no sense"), (b"[]\n", "no sense"), (b"", "busy .* ask again")],
)
def test_an_answer_that_makes_no_sense(path: Path, reply: bytes, why: str) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(100)
                client.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(NoAnswer, match=why):
            ask(path, {}, 5)
        thread.join(5)


def test_where_the_socket_is(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    assert control_path(state, {}) == tmp_path / "state" / "run" / "control.sock"
    assert control_path(state, {"XDG_RUNTIME_DIR": str(tmp_path / "none")}) == control_path(
        state, {}
    )
    assert control_path(state, {"XDG_RUNTIME_DIR": "relative"}) == control_path(state, {})
    found = control_path(state, {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert found.parent.parent == tmp_path / "watchdogd"
    assert len(found.parent.name) == 8
    assert found != control_path(state + "2", {"XDG_RUNTIME_DIR": str(tmp_path)})
    places = control_paths(state, {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert places[0] == found
    assert control_path(state, {}) in places
    assert len(set(places)) == len(places)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_somebody_else_may_not_ask(server: ControlServer, path: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(NoAnswer, match="Permission denied"):
            ask(path, {}, 5)
    finally:
        os.seteuid(0)
