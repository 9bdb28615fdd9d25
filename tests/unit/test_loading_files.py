"""Files that cannot be looked at are problems with a reason; never a traceback, never left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchdogd.errors import ConfigError
from watchdogd.loading import as_toml, load, state_dir

MINIMAL = '[targets.a]\nssh.host = "h"\nruntime.kind = "external"\n'


def test_a_folder_of_parts_that_cannot_be_listed_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(MINIMAL)
    (tmp_path / "conf.d").symlink_to("conf.d")
    with pytest.raises(
        ConfigError, match=r"conf\.d: found something that cannot be read: Too many levels"
    ):
        load(str(file), {"HOME": str(tmp_path)})


@pytest.mark.parametrize("conf_d", ["nothing", "a file"])
def test_without_a_folder_of_parts_the_file_is_enough(tmp_path: Path, conf_d: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(MINIMAL)
    if conf_d == "a file":
        (tmp_path / "conf.d").write_text("")
    assert load(str(file), {"HOME": str(tmp_path)}).files == (str(file),)


def test_a_place_that_the_system_will_not_look_at_is_a_problem(tmp_path: Path) -> None:
    impossible = str(tmp_path / ("n" * 300))  # longer than any file name
    environ = {"HOME": impossible}
    with pytest.raises(ConfigError, match="no configuration file"):
        load(None, environ)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(impossible, environ)
    assert state_dir(None, environ)


def test_a_number_that_cannot_be_written_out_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"{MINIMAL}ssh.port = 0x{'f' * 4000}\n")
    with pytest.raises(ConfigError, match=r"targets\.a\.ssh\.port: found a huge number"):
        load(str(file), {"HOME": str(tmp_path)})


def test_a_token_in_a_command_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[targets.a]\nssh.host = "h"\nruntime.kind = "session"\n'
        'runtime.session.command = "jupyter lab --Y.password=hunter2 --port=9"\n'
        '[targets.b]\nssh.host = "h"\nforward.local = "127.0.0.1:9001"\n'
        'runtime.container.image = "i"\nruntime.container.command = ["--ServerApp.token=c4n4ry"]\n'
    )
    shown = as_toml(load(str(file), {"HOME": str(tmp_path)}))
    assert "hunter2" not in shown
    assert "c4n4ry" not in shown
    assert "--Y.password=*** --port=9" in shown


def test_what_everybody_may_change_is_refused(tmp_path: Path) -> None:
    """It names programs that are run as this user."""
    file = tmp_path / "config.toml"
    file.write_text(MINIMAL)
    file.chmod(0o666)
    with pytest.raises(ConfigError, match=f"everybody may change it: chmod o-w {file}"):
        load(str(file), {"HOME": str(tmp_path)})
    file.chmod(0o664)
    assert load(str(file), {"HOME": str(tmp_path)}).targets
