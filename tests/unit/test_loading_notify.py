"""``[notify]``: whom to tell, and no secret of it anywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from watchdogd.errors import ConfigError
from watchdogd.loading import as_toml, cautions, config_secrets, load
from watchdogd.loading.urls import secrets_of
from watchdogd.loading.warn import APPRISE
from watchdogd.settings import Secret, Settings

TARGET = '[targets.a]\nssh.host = "h"\nruntime.kind = "external"\n'
BEAT = "https://hc-ping.com/0123456789abcdef"


def loaded(tmp_path: Path, notify: str) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(f"[notify]\n{notify}\n{TARGET}")
    return load(str(file), {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


@pytest.fixture
def urls(tmp_path: Path) -> Path:
    file = tmp_path / "urls"
    file.write_text("json://127.0.0.1/x\n")
    file.chmod(0o600)
    return file


def test_a_file_a_command_and_a_heartbeat_arrive(tmp_path: Path, urls: Path) -> None:
    notify = loaded(tmp_path, f'urls_file = "~/urls"\nheartbeat_url = "{BEAT}"').notify
    assert notify.urls_file == str(urls)
    assert notify.heartbeat_url == Secret(BEAT)
    assert notify.tells
    notify = loaded(tmp_path, 'urls_command = ["cat", "urls"]').notify
    assert notify.urls_command[0].endswith("/cat")
    assert notify.tells
    assert not loaded(tmp_path, "").notify.tells


def test_the_addresses_stand_in_one_place(tmp_path: Path, urls: Path) -> None:
    with pytest.raises(ConfigError, match=r"notify.urls_command: .* one of the two"):
        loaded(tmp_path, f'urls_file = "{urls}"\nurls_command = ["cat"]')


def test_a_file_that_others_may_read_is_refused(tmp_path: Path, urls: Path) -> None:
    urls.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        loaded(tmp_path, f'urls_file = "{urls}"')


def test_the_address_of_the_heartbeat_is_shown_nowhere_and_masked_everywhere(
    tmp_path: Path,
) -> None:
    settings = loaded(tmp_path, f'heartbeat_url = "{BEAT}"')
    assert "0123456789abcdef" not in as_toml(settings) + repr(settings)
    assert 'heartbeat_url = "***"' in as_toml(settings)
    assert Secret("0123456789abcdef") in config_secrets(settings)


def test_no_host_and_no_short_word_is_a_secret() -> None:
    parts = {
        one.reveal() for one in secrets_of(Secret("jsons://me:pass%20phrase%2012@127.0.0.1:80/api"))
    }
    assert "127.0.0.1" not in parts
    assert "api" not in parts
    assert "pass phrase 12" in parts


def test_without_apprise_the_command_that_installs_it_is_named(
    tmp_path: Path, urls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loaded(tmp_path, f'urls_file = "{urls}"')
    monkeypatch.setattr("watchdogd.loading.warn.find_spec", lambda name: None)
    (told,) = [one for one in cautions(settings) if "apprise" in one]
    assert told.startswith("notify.urls_file: nobody is told anything")
    assert told.endswith(f"-m pip install '{APPRISE}'")
    assert not cautions(loaded(tmp_path, f'heartbeat_url = "{BEAT}"'))
    monkeypatch.setattr("watchdogd.loading.warn.find_spec", lambda name: object())
    assert not cautions(settings)


def test_it_is_what_the_extra_asks_for() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert re.findall(r'^notify = \["(.*)"\]$', text, re.MULTILINE) == [APPRISE]
