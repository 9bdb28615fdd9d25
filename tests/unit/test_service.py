"""The service's files and the manager's commands, without a manager."""

from __future__ import annotations

import os
import plistlib
import subprocess
from pathlib import Path

import pytest

from watchdogd.service import ServiceTrouble, own_program
from watchdogd.service.launchd import Launchd
from watchdogd.service.plist import FILE, LABEL, agent, plist_text
from watchdogd.service.steering import put
from watchdogd.service.systemd import unit_path
from watchdogd.service.unit import quoted, unit_text

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "Label": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "KeepAlive": bool,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "LimitLoadToSessionType": str,
    "WorkingDirectory": str,
    "Umask": int,
    "SoftResourceLimits": dict,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "EnvironmentVariables": dict,
}
"""Of ``launchd.plist(5)``, those that are used, with their types."""
LAUNCHCTL = """#!/bin/sh
# Plays launchd: what is loaded is a file, each call is written down.
echo "$*" >>"$RECORD/calls"
case $1 in
print) case $2 in */*/*) [ -f "$RECORD/loaded" ] && printf '\\tstate = running\\n\\tpid = 42\\n' ;;
    *) [ ! -f "$RECORD/no-session" ] ;; esac ;;
bootstrap) if [ -s "$RECORD/refusals" ]; then
        sed -i 1d "$RECORD/refusals"; echo "Bootstrap failed: 5: Input/output error" >&2; exit 5
    fi; touch "$RECORD/loaded" ;;
bootout) rm -f "$RECORD/loaded" ;;
esac
"""


# ---------------------------------------------------------------- systemd's unit


def test_the_committed_unit_is_what_print_gives() -> None:
    assert (ROOT / "systemd" / "watchdogd.service").read_text() == unit_text()


def test_the_unit_passes_systemds_own_check_without_a_word(tmp_path: Path) -> None:
    program = tmp_path / "my 100% $programs" / "watchdogd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "watchdogd.service"
    unit.write_text(unit_text(str(program), "/etc/a b/50%.toml"))
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    done = subprocess.run(
        ["systemd-analyze", "--user", "--man=no", "verify", str(unit)],
        env={"XDG_RUNTIME_DIR": str(runtime), "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("/usr/bin/watchdogd", "/usr/bin/watchdogd"),
        ("/home/a b/watchdogd", '"/home/a b/watchdogd"'),
        ("/home/50%/watchdogd", "/home/50%%/watchdogd"),
        ('/home/"x"\\y', '"/home/\\"x\\"\\\\y"'),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, told: str) -> None:
    assert quoted(word) == told


def test_a_named_configuration_is_named_in_the_unit() -> None:
    lines = unit_text("/opt/watchdogd", "/etc/w $x.toml").splitlines()
    assert 'ExecStart=/opt/watchdogd --config "/etc/w $$x.toml" run' in lines


def test_the_unit_hides_neither_the_home_nor_the_ssh_agent() -> None:
    """Each of these breaks something in a user unit, or does nothing there."""
    text = unit_text()
    for key in (
        "network-online.target",
        "PrivateTmp",
        "ProtectHome",
        "ReadOnlyPaths",
        "PrivateUsers",
        "MemoryDenyWriteExecute",
        "StateDirectory",
        "LoadCredential",
        "notify-reload",
        "RestartSteps",
    ):
        assert key not in text


def test_where_the_unit_belongs() -> None:
    assert unit_path({"HOME": "/h"}) == Path("/h/.config/systemd/user/watchdogd.service")
    assert unit_path({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}).is_relative_to("/c/systemd/user")


# ---------------------------------------------------------------- launchd's property list


def test_the_committed_property_list_is_what_print_gives() -> None:
    example = plist_text("/Users/you/.local/bin/watchdogd", "/Users/you")
    assert (ROOT / "launchd" / FILE).read_text() == example


def test_the_property_list_has_known_keys_types_and_absolute_paths() -> None:
    text = plist_text("/opt/w/watchdogd", "/Users/you", "/Users/you/w.toml")
    found = plistlib.loads(text.encode())
    assert found == agent("/opt/w/watchdogd", "/Users/you", "/Users/you/w.toml")
    assert {key: type(value) for key, value in found.items()} == KEYS
    assert f"{found['Label']}.plist" == FILE
    assert found["ProgramArguments"] == ["/opt/w/watchdogd", "--config", "/Users/you/w.toml", "run"]
    for path in (
        found["ProgramArguments"][0],
        found["WorkingDirectory"],
        found["StandardOutPath"],
        found["StandardErrorPath"],
        *found["EnvironmentVariables"]["PATH"].split(":"),
    ):
        assert path.startswith("/")
    assert "~" not in text
    assert "$" not in text


# ---------------------------------------------------------------- launchctl


@pytest.fixture
def mac(tmp_path: Path) -> Path:
    """A home, and a ``launchctl`` that writes down how it is called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "launchctl"
    program.write_text(LAUNCHCTL)
    program.chmod(0o755)
    return tmp_path


def launchd(mac: Path) -> Launchd:
    path = f"{mac / 'bin'}:{os.environ['PATH']}"
    environ = {"HOME": str(mac), "RECORD": str(mac), "PATH": path}
    return Launchd(environ, lambda seconds: None)


def calls(mac: Path) -> list[str]:
    """What was asked since the last look, but for the questions."""
    record = mac / "calls"
    lines = record.read_text().splitlines()
    record.write_text("")
    return [line for line in lines if not line.startswith("print ")]


DOMAIN = f"gui/{os.getuid()}"


@pytest.fixture(autouse=True)
def path_of_the_recorder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "mac" in request.fixturenames:
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


def test_install_loads_it_and_a_change_loads_it_anew(mac: Path) -> None:
    file = mac / "Library" / "LaunchAgents" / FILE
    done = launchd(mac).install("/opt/watchdogd", None, start=True)
    assert (done.changed, done.kept, done.file) == (True, None, file)
    assert calls(mac) == [f"bootstrap {DOMAIN} {file}"]
    assert launchd(mac).state().pid == 42
    again = launchd(mac).install("/opt/watchdogd", None, start=True)
    assert (again.changed, calls(mac)) == (False, [f"bootstrap {DOMAIN} {file}"])
    (mac / "refusals").write_text("5\n5\n5\n")  # launchd still holds the former one
    moved = launchd(mac).install("/usr/local/bin/watchdogd", None, start=True)
    assert moved.kept == file.with_name(f"{FILE}.before")
    assert calls(mac) == [f"bootout {DOMAIN}/{LABEL}", *[f"bootstrap {DOMAIN} {file}"] * 4]


def test_stop_start_and_uninstall(mac: Path) -> None:
    service = launchd(mac)
    with pytest.raises(ServiceTrouble, match="not installed"):
        service.start()
    service.install("/opt/watchdogd", None, start=True)
    calls(mac)
    service.stop()
    assert calls(mac) == [f"bootout {DOMAIN}/{LABEL}"]
    assert not service.state().running
    service.start()
    assert calls(mac)[0].startswith("bootstrap ")
    service.start()
    assert calls(mac) == [f"kickstart {DOMAIN}/{LABEL}"]
    assert service.uninstall() is True
    assert service.uninstall() is False
    assert service.logs(lines=5, follow=True)[:4] == ("tail", "-n", "5", "-F")


def test_over_ssh_there_is_no_session_and_nothing_is_written(mac: Path) -> None:
    (mac / "no-session").touch()
    with pytest.raises(ServiceTrouble, match="no login session"):
        launchd(mac).install("/opt/watchdogd", None, start=True)
    assert not (mac / "Library" / "LaunchAgents").exists()


def test_what_is_switched_off_is_given_up_with_a_hint(mac: Path) -> None:
    (mac / "refusals").write_text("5\n" * 99)
    with pytest.raises(ServiceTrouble) as raised:
        launchd(mac).install("/opt/watchdogd", None, start=True)
    assert "Input/output error" in str(raised.value)
    assert "print-disabled" in raised.value.mend


# ---------------------------------------------------------------- the file, and the program


def test_a_file_is_written_whole_once_and_the_former_one_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "unit"
    assert put(file, "one") == (True, None)
    assert put(file, "one") == (False, None)
    assert put(file, "two") == (True, file.with_name("unit.before"))
    assert (file.read_text(), file.with_name("unit.before").read_text()) == ("two", "one")
    assert file.stat().st_mode & 0o777 == 0o644
    assert len(list(file.parent.iterdir())) == 2


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder belongs")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        put(tmp_path / "blocked" / "unit", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["blocked"]


def test_the_program_is_this_one_by_a_path_that_lasts(tmp_path: Path) -> None:
    program = tmp_path / "venv" / "bin" / "watchdogd"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    link = tmp_path / "watchdogd"
    link.symlink_to(program)
    assert own_program(str(link)) == str(link)  # an update turns the link
    module = str(ROOT / "watchdogd" / "__main__.py")
    assert own_program(module, str(program.with_name("python"))) == str(program)
    with pytest.raises(ServiceTrouble, match="no program"):
        own_program("/nowhere/watchdogd", "/nowhere/python")
    passing = tmp_path / "uv" / "archive-v0" / "x" / "watchdogd"
    passing.parent.mkdir(parents=True)
    passing.write_text("")
    passing.chmod(0o755)
    with pytest.raises(ServiceTrouble, match="by a launcher"):
        own_program(str(passing))
