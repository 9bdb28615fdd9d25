"""``TokenFile``: which token counts, and which files are refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from watchdogd.adapters.tokens import TokenFile
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent
from watchdogd.settings import Secret

FOUND = Secret("0123456789abcdef" * 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "a100" / "token"


def private(path: Path, text: str, mode: int = 0o600) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_nothing_is_known_at_first(path: Path) -> None:
    assert TokenFile(str(path), None).current() is None
    assert not path.exists()


def test_a_made_token_is_private_whole_and_kept(path: Path) -> None:
    old = os.umask(0)
    try:
        made = TokenFile(str(path), None).pinned()
    finally:
        os.umask(old)
    assert len(made.reveal()) == 48
    assert set(made.reveal()) <= set("0123456789abcdef")
    assert path.read_text() == made.reveal()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["token"]
    again = TokenFile(str(path), None)
    assert again.pinned() == made
    assert again.current() == made


def test_two_targets_have_two_tokens(path: Path) -> None:
    other = str(path) + "-other"
    assert TokenFile(str(path), None).pinned() != TokenFile(other, None).pinned()


def test_a_learned_token_is_used_and_the_pinned_one_survives_it(path: Path) -> None:
    tokens = TokenFile(str(path), None)
    pinned = tokens.pinned()
    tokens.learn(FOUND)
    assert tokens.current() == FOUND
    assert tokens.pinned() == pinned
    assert TokenFile(str(path), None).current() == FOUND


def test_learning_the_pinned_token_forgets_the_other(path: Path) -> None:
    tokens = TokenFile(str(path), None)
    pinned = tokens.pinned()
    tokens.learn(FOUND)
    tokens.learn(pinned)
    assert tokens.current() == pinned
    tokens.learn(pinned)
    assert os.listdir(path.parent) == ["token"]


def test_a_learned_token_needs_no_pinned_one(path: Path) -> None:
    tokens = TokenFile(str(path), None)
    tokens.learn(FOUND)
    assert tokens.current() == FOUND
    assert tokens.pinned() != FOUND


def test_the_users_file_wins_and_is_never_written(path: Path, tmp_path: Path) -> None:
    mine = private(tmp_path / "mine", "my-own-token\n")
    before = TokenFile(str(path), None)
    before.pinned()
    before.learn(FOUND)
    tokens = TokenFile(str(path), mine)
    assert tokens.current() == Secret("my-own-token")
    assert tokens.pinned() == Secret("my-own-token")
    tokens.learn(FOUND)
    assert tokens.current() == Secret("my-own-token")
    assert Path(mine).read_text() == "my-own-token\n"


def test_a_users_file_that_is_missing_is_said(path: Path, tmp_path: Path) -> None:
    tokens = TokenFile(str(path), str(tmp_path / "none"))
    for ask in (tokens.current, tokens.pinned):
        with pytest.raises(Permanent, match="does not exist") as raised:
            ask()
        assert raised.value.cause is Cause.RUNTIME_AUTH
        assert raised.value.mend


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o777])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, path: Path, mode: int) -> None:
    mine = private(tmp_path / "mine", "my-own-token", mode)
    with pytest.raises(Permanent, match=f"{mode:04o}") as raised:
        TokenFile(str(path), mine).current()
    assert raised.value.mend == f"chmod 600 {mine}"
    assert "my-own-token" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "two words",
        "two\nlines",
        "nul\0byte",
        "\u00e4",
        "\x1b[2J",
        "x" * 1025,
        "x" * 5000,
    ],
)
def test_what_is_no_token_is_refused_and_not_shown(
    tmp_path: Path, path: Path, content: str
) -> None:
    mine = private(tmp_path / "mine", content)
    with pytest.raises(Permanent, match="must hold one token") as raised:
        TokenFile(str(path), mine).current()
    assert not content.strip() or content not in str(raised.value)


def test_our_own_file_is_held_to_the_same(path: Path) -> None:
    private(path, "a" * 48, 0o644)
    tokens = TokenFile(str(path), None)
    for ask in (tokens.current, tokens.pinned):
        with pytest.raises(Permanent, match="0644"):
            ask()


def test_a_fifo_or_a_folder_is_refused_without_waiting(tmp_path: Path, path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("fifo", "folder"):
        with pytest.raises(Permanent, match="not a regular file"):
            TokenFile(str(path), str(tmp_path / name)).current()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Permanent, match=r"cannot be (read|written)"):
        TokenFile(str(tmp_path / "file" / "token"), None).pinned()
    assert os.listdir(tmp_path) == ["file"]
