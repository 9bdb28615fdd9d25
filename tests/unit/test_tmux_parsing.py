"""What the tmux adapter writes and reads, without tmux."""

from __future__ import annotations

import pytest

from watchdogd.adapters.tmux import keep_argv, look_argv, open_argv, parse_panes
from watchdogd.ports import EngineRefused


def test_one_pane() -> None:
    found = parse_panes(b"123 1700000000 0\n", 5.0)
    assert (found.exists, found.generation, found.command_running) == (True, "123:1700000000", True)


def test_a_dead_pane_runs_nothing() -> None:
    assert parse_panes(b"123 1700000000 1\n", 5.0).command_running is False


def test_the_first_pane_is_the_generation_and_any_pane_may_run() -> None:
    found = parse_panes(b"1 17 1\n2 17 0\n", 5.0)
    assert (found.generation, found.command_running) == ("1:17", True)


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        b"\n",
        b"Welcome!\n1 17 0\n",
        b"1 17 0\n$(reboot)\n",
        b"1 17\n",
        b"1 17 2\n",
        b"-1 17 0\n",
        b"\xff\xfe 17 0\n",
        b"1" * 40 + b" 17 0\n",
        b"1 17 0\x00\n",
    ],
)
def test_anything_else_is_refused(printed: bytes) -> None:
    with pytest.raises(EngineRefused):
        parse_panes(printed, 5.0)


def test_the_target_is_exact() -> None:
    assert look_argv("colab")[:4] == ["list-panes", "-s", "-t", "=colab:"]


def test_the_commands_own_words_are_never_tmuxs() -> None:
    argv = open_argv("s", ["run", "-x", "a;", ";"], {"A": "1;"})
    assert argv == [
        "new-session",
        "-d",
        "-s",
        "s",
        "-e",
        "A=1\\;",
        "--",
        "run",
        "-x",
        "a\\;",
        "\\;",
    ]
    assert keep_argv("s", ["sleep;"])[-2:] == ["--", "sleep\\;"]


def test_nothing_that_tmux_could_be_told_ends_another_session() -> None:
    words = [*look_argv("s"), *open_argv("s", ["x"], {}), *keep_argv("s", ["x"])]
    assert not any(word.startswith(("kill-", "send-keys", "attach")) for word in words)
