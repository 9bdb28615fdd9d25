"""``ports.Sessions`` on a real tmux, over a link whose server is this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import needs
from tests.lab.local_link import LocalLink, until
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.tmux import Tmux
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Deadline, EngineRefused

pytestmark = pytest.mark.real

CLOCK = SystemClock()
SLEEP = ["sleep", "300"]


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


@pytest.fixture(params=["default", "named"])
def tmux(request: pytest.FixtureRequest, short_folder: Path) -> Iterator[Tmux]:
    """A private tmux: its sockets lie in a folder of the test. Ends all servers that were started."""
    needs.programs("tmux")
    env = {"TMUX_TMPDIR": str(short_folder), "SHELL": "/bin/sh", "LANG": "C"}
    link = LocalLink(env)
    link.env.pop("TMUX", None)
    yield Tmux(lambda: link, CLOCK, None if request.param == "default" else "other")
    for pid in servers(short_folder):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not servers(short_folder))


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tm")


def servers(folder: Path) -> list[int]:
    """The tmux servers that were started with their sockets in this folder."""
    wanted = f"TMUX_TMPDIR={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().startswith("tmux: server") and wanted in (
                entry / "environ"
            ).read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def only_server(folder: Path) -> int:
    """A pane's process is a copy of the server until it runs its command."""
    until(lambda: len(servers(folder)) == 1)
    return servers(folder)[0]


def pane_pid(tmux: Tmux, name: str) -> int:
    generation = tmux.look(name, soon()).generation
    assert generation is not None
    return int(generation.partition(":")[0])


def arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


class TestTmux:
    def test_nothing_there(self, tmux: Tmux) -> None:
        sight = tmux.look("colab_session", soon())
        assert (sight.exists, sight.command_running, sight.generation) == (False, False, None)

    def test_an_opened_session_runs_its_command(self, tmux: Tmux) -> None:
        tmux.open("colab_session", SLEEP, {}, soon())
        sight = tmux.look("colab_session", soon())
        assert (sight.exists, sight.command_running) == (True, True)
        assert arguments(pane_pid(tmux, "colab_session")) == SLEEP

    def test_a_name_is_matched_exactly(self, tmux: Tmux) -> None:
        tmux.open("colab_session", SLEEP, {}, soon())
        assert tmux.look("colab", soon()).exists is False
        assert tmux.look("colab_*", soon()).exists is False
        with pytest.raises(Transient):
            tmux.kill("colab", soon())
        assert tmux.look("colab_session", soon()).exists is True

    def test_a_second_session_of_one_name_is_refused(self, tmux: Tmux) -> None:
        tmux.open("colab_session", SLEEP, {}, soon())
        first = tmux.look("colab_session", soon()).generation
        with pytest.raises(Transient, match="duplicate session") as raised:
            tmux.open("colab_session", SLEEP, {}, soon())
        assert raised.value.cause is Cause.SESSION_MISSING
        assert tmux.look("colab_session", soon()).generation == first

    @pytest.mark.parametrize("name", ["a.b", "a:b", "", "-x", "=a", "a\nb"])
    def test_a_name_that_tmux_would_read_otherwise_is_refused(self, tmux: Tmux, name: str) -> None:
        with pytest.raises(EngineRefused):
            tmux.open(name, SLEEP, {}, soon())
        with pytest.raises(EngineRefused):
            tmux.look(name, soon())

    def test_several_words_are_executed_as_they_stand(self, tmux: Tmux, tmp_path: Path) -> None:
        odd = ["$(touch pwned)", "a b", "x;", "y\\;", "';'", "#{pane_pid}", ";", "--", "-d"]
        out = tmp_path / "out"
        script = (
            'for word; do printf "%s\\n" "$word"; done >"$OUT.new"; mv "$OUT.new" "$OUT"; sleep 300'
        )
        tmux.open("s", ["sh", "-c", script, "sh", *odd], {"OUT": str(out)}, soon())
        until(out.exists)
        assert out.read_text().splitlines() == odd

    def test_one_word_is_run_by_the_shell_with_the_environment(
        self, tmux: Tmux, tmp_path: Path
    ) -> None:
        tmux.open("first", SLEEP, {}, soon())
        out = tmp_path / "out"
        command = f'echo "$JUPYTER_TOKEN_FILE" >{out}.new && mv {out}.new {out}; sleep 300'
        tmux.open("s", [command], {"JUPYTER_TOKEN_FILE": "/home/a b/;token"}, soon())
        until(out.exists)
        assert out.read_text() == "/home/a b/;token\n"

    def test_a_command_that_ends_takes_its_session_along(self, tmux: Tmux) -> None:
        tmux.open("other", SLEEP, {}, soon())
        tmux.open("s", ["sh", "-c", "exit 3"], {}, soon())
        until(lambda: tmux.look("s", soon()).exists is False)

    @pytest.mark.parametrize("command", ["exit 3", "sleep 0.2"])
    def test_kept_its_dead_pane_stays_and_runs_nothing(self, tmux: Tmux, command: str) -> None:
        tmux.open("s", [command], {}, soon(), keep=True)
        until(lambda: tmux.look("s", soon()).command_running is False)
        assert tmux.look("s", soon()).exists is True
        tmux.kill("s", soon())
        assert tmux.look("s", soon()).exists is False

    def test_a_new_session_is_another_generation(self, tmux: Tmux) -> None:
        tmux.open("s", SLEEP, {}, soon())
        first = tmux.look("s", soon()).generation
        assert tmux.look("s", soon()).generation == first
        tmux.kill("s", soon())
        tmux.open("s", SLEEP, {}, soon())
        assert tmux.look("s", soon()).generation != first

    def test_a_kill_ends_what_runs_and_nothing_else(self, tmux: Tmux) -> None:
        tmux.open("other", SLEEP, {}, soon())
        tmux.open("s", SLEEP, {}, soon())
        pid, spared = pane_pid(tmux, "s"), pane_pid(tmux, "other")
        tmux.kill("s", soon())
        assert not lives(pid)
        assert lives(spared)
        assert tmux.look("s", soon()).exists is False

    @pytest.mark.parametrize("stubborn", ["trap '' HUP TERM; while :; do sleep 1; done", None])
    def test_a_kill_ends_what_ignores_the_hang_up_or_is_frozen(
        self, tmux: Tmux, stubborn: str | None
    ) -> None:
        tmux.open("other", SLEEP, {}, soon())
        tmux.open("s", [stubborn] if stubborn else SLEEP, {}, soon())
        pid = pane_pid(tmux, "s")
        if stubborn is None:
            os.kill(pid, signal.SIGSTOP)
        else:
            until(lambda: "HUP" in " ".join(arguments(pid)) and ignores_hang_up(pid))
        tmux.kill("s", soon(6))
        assert not lives(pid)

    def test_a_kill_ends_the_frozen_child_of_a_shell(self, tmux: Tmux, tmp_path: Path) -> None:
        tmux.open("other", SLEEP, {}, soon())
        out = tmp_path / "pid"
        script = (
            f"trap '' HUP; sleep 300 & echo $! >{out}.new; mv {out}.new {out}; trap - HUP; wait"
        )
        tmux.open("s", [script], {}, soon())
        until(out.exists)
        child = int(out.read_text())
        os.kill(child, signal.SIGSTOP)
        tmux.kill("s", soon(6))
        assert not lives(child)

    def test_killing_what_is_not_there_says_so(self, tmux: Tmux) -> None:
        with pytest.raises(Transient):
            tmux.kill("s", soon())

    @pytest.mark.parametrize("folder_too", [False, True])
    def test_a_deleted_socket_is_no_missing_session(
        self, tmux: Tmux, short_folder: Path, folder_too: bool
    ) -> None:
        tmux.open("s", SLEEP, {}, soon())
        before = tmux.look("s", soon())
        for socket in short_folder.glob("tmux-*/*"):
            socket.unlink()
            if folder_too:
                socket.parent.rmdir()
        after = tmux.look("s", soon())
        assert (after.exists, after.generation) == (True, before.generation)
        only_server(short_folder)

    def test_another_session_is_opened_in_the_server_whose_socket_was_deleted(
        self, tmux: Tmux, short_folder: Path
    ) -> None:
        tmux.open("s", SLEEP, {}, soon())
        for socket in short_folder.glob("tmux-*/*"):
            socket.unlink()
        tmux.open("second", SLEEP, {}, soon())
        assert tmux.look("second", soon()).exists is True
        assert tmux.look("s", soon()).exists is True
        only_server(short_folder)

    def test_a_server_that_cannot_make_its_socket_anew_is_not_called_missing(
        self, tmux: Tmux, short_folder: Path
    ) -> None:
        tmux.open("s", SLEEP, {}, soon())
        pid = only_server(short_folder)
        os.kill(pid, signal.SIGSTOP)
        for socket in short_folder.glob("tmux-*/*"):
            socket.unlink()
        for act in (lambda: tmux.look("s", soon()), lambda: tmux.open("s", SLEEP, {}, soon())):
            with pytest.raises(EngineRefused, match="does not come back"):
                act()
        assert only_server(short_folder) == pid

    def test_a_killed_server_leaves_nothing_to_revive(self, tmux: Tmux, short_folder: Path) -> None:
        tmux.open("s", SLEEP, {}, soon())
        pid = only_server(short_folder)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not servers(short_folder))
        assert tmux.look("s", soon()).exists is False
        tmux.open("s", SLEEP, {}, soon())
        assert tmux.look("s", soon()).exists is True


def ignores_hang_up(pid: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            return bool(int(line.split()[1], 16) & 1)
    return False


def test_a_server_without_tmux_is_named_with_what_mends_it(tmp_path: Path) -> None:
    link = LocalLink({"PATH": str(tmp_path)})
    with pytest.raises(EngineRefused, match="not installed") as raised:
        Tmux(lambda: link, CLOCK).look("s", soon())
    assert raised.value.mend == "sudo apt-get install tmux"


def test_an_answer_that_is_no_format_is_refused(
    tmp_path: Path, path_of: Callable[[str], Path]
) -> None:
    link = LocalLink({"PATH": str(path_of("echo 'Welcome to this machine!'"))})
    with pytest.raises(EngineRefused, match="something else"):
        Tmux(lambda: link, CLOCK).look("s", soon())


@pytest.fixture
def path_of(tmp_path: Path) -> Callable[[str], Path]:
    """A folder whose ``tmux`` is this shell text."""

    def make(script: str) -> Path:
        (tmp_path / "tmux").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "tmux").chmod(0o755)
        return tmp_path

    return make
