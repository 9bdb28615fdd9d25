"""The command line as a user meets it: each verb as a process, its output and its exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.lab.sshd import Sshd, keygen
from watchdogd.cli import VERBS, unbuilt
from watchdogd.cli.config import config as config_verbs
from watchdogd.control import ControlServer, control_path

HEAVY = ("paramiko", "docker", "sshtunnel", "structlog", "prometheus_client", "watchdogd.app")
SECONDS = 60

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A home of its own, and nothing of the caller's configuration."""
    kept = {name: os.environ[name] for name in ("PATH", "WATCHDOGD_TEST_RUN") if name in os.environ}
    runtime = tmp_path / "r"
    runtime.mkdir(mode=0o700)
    return {**kept, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(runtime), "LC_ALL": "C.UTF-8"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with two targets that nobody needs to reach."""
    file = tmp_path / "w.toml"
    file.write_text(
        f'[agent]\nstate_dir = "{tmp_path}/s"\nlisten = "127.0.0.1:0"\n[defaults.runtime]\nkind = "external"\n'
        '[targets.a100]\nssh.host = "127.0.0.1"\nssh.port = 1\nforward.remote = "127.0.0.1:8888"\n'
        '[targets.h200]\nssh.host = "127.0.0.1"\nssh.port = 1\nforward.local = "127.0.0.1:9001"\n'
    )
    return file


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    """Run ``watchdogd`` with these arguments."""

    def go(*args: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "watchdogd", *map(str, args)],
            env={**environ, **more},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return go


TARGET: dict[str, object] = {
    "name": "a100", "state": "down", "since": "2026-01-01T00:00:00.000Z", "cause": "auth",
    "detail": "refused \x1b[2J\x07 by the server " + "at length " * 12, "mend": "ssh-add " + "k" * 90,
    "phase": "held", "usable": False,
    "incident": {"id": "a100-1", "cause": "auth", "remedies": ["reconnect"]}, "remedy": None,
    "refusals": [{"remedy": "reconnect", "reason": "operator"}],
    "layers": [{"layer": "ssh", "outcome": "fail", "cause": "auth", "vantage": "laptop", "age": 3.0,
                "detail": "no key", "mend": ""}],
    "link": {"up": False, "silent": False, "since": None, "next_dial_in": 12.0},
    "forward": {"local": "127.0.0.1:9000", "remote": "127.0.0.1:9000", "holder": "", "open_connections": 0},
    "recent": [],
}  # fmt: skip


def answer(request: Mapping[str, object]) -> dict[str, object]:
    """What a running agent would say."""
    if request.get("target") == "a10":
        return {"error": {"code": "no_such_target", "message": "no"}, "near": ["a100"]}
    if request.get("verb") == "url" and request.get("target") is None:
        return {"error": {"code": "which_target", "message": "name one of: a100, h200"}}
    if request.get("verb") == "url" and request.get("target") == "h200":
        return {"error": {"code": "no_token", "message": "the token of h200 is not known yet"}}
    if request.get("verb") == "url":
        url = "http://localhost:9000/?token=abc"
        return {"schema": "watchdogd.url/1", "target": "a100", "url": url}
    return {"schema": "watchdogd.status/1", "version": "0", "pid": 1, "targets": [TARGET]}


@pytest.fixture
def agent(tmp_path: Path, environ: dict[str, str]) -> Iterator[ControlServer]:
    """Something that answers where the agent of ``config`` would."""
    server = ControlServer(control_path(f"{tmp_path}/s", environ), answer)
    yield server
    server.close()


# ---------------------------------------------------------------- the group


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["status", "--help"], ["url", "--help"],
                                  ["config", "--help"], ["run", "--help"], ["demo", "--help"], ["check", "--help"],
                                  ["simulate", "--help"]])  # fmt: skip
def test_cheap_verbs_import_nothing_heavy(environ: dict[str, str], args: list[str]) -> None:
    code = (
        "import sys\nfrom watchdogd.cli import run\n"
        f"code = run({args!r})\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'{code} {found}' if code or found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True,
                          timeout=SECONDS, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    "args", [["status"], ["url", "a100"], ["config", "check"], ["config", "show"]]
)
def test_asking_imports_nothing_heavy(
    environ: dict[str, str], config: Path, args: list[str]
) -> None:
    code = (
        "import sys\nfrom watchdogd.cli import run\n"
        f"code = run(['--config', {str(config)!r}, *{args!r}])\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'{code} {found}' if code or found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True,
                          timeout=SECONDS, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_no_verb_is_built_and_unbuilt_at_once() -> None:
    assert not set(unbuilt.VERBS) & set(VERBS)
    assert not set(unbuilt.CONFIG_VERBS) & set(config_verbs.commands)


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.startswith("watchdogd 0.")
    shown = run("--help")
    assert shown.returncode == 0
    for verb in VERBS:
        assert f"\n  {verb} " in shown.stdout
    for code in (
        "0 fine",
        "1 failed",
        "2 (check)",
        "3 no agent",
        "4 no such",
        "64",
        "75",
        "77",
        "78",
        "130",
    ):
        assert code in shown.stdout


@pytest.mark.parametrize(
    "verb",
    [[verb] for verb in VERBS] + [["config", "check"], ["config", "show"], ["config", "path"]],
)
def test_each_verb_has_help_in_80_columns(run: Run, verb: list[str]) -> None:
    shown = run(*verb, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("Usage: watchdogd")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Verbs"),
        (["config"], "Usage"),
        (["stats"], "did you mean status"),
        (["config", "chekc"], "did you mean check"),
        (["doctor"], "'doctor' is not built yet; instead: `watchdogd config check`"),
        (["config", "schema"], "not built yet; instead: `watchdogd config show`"),
        (["config", "help"], "type: watchdogd config --help"),
        (["help"], "type: watchdogd --help"),
        (["status", "--watch"], "not built yet; instead: watch watchdogd status"),
        (["status", "--jsno"], "No such option"),
        (["--nonsense"], "No such option"),
        (["status", "a", "b"], "unexpected extra argument"),
        (["run", "--once=5"], "--once"),
    ],
)
def test_usage_errors_exit_64_on_stderr(run: Run, args: Sequence[str], said: str) -> None:
    done = run(*args)
    assert (done.returncode, done.stdout) == (64, "")
    assert said in done.stderr


# ---------------------------------------------------------------- without an agent


@pytest.mark.parametrize("verb", ["status", "url"])
def test_no_agent_is_3_with_the_command_that_starts_it(run: Run, config: Path, verb: str) -> None:
    done = run(verb, "a100", "--config", config)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"watchdogd --config {config} run" in done.stderr


@pytest.mark.parametrize("args", [["status", "a10"], ["url", "a10"], ["check", "a10"]])
def test_an_unknown_target_is_4_with_the_nearest_name(
    run: Run, config: Path, args: list[str]
) -> None:
    done = run(*args, "--config", config)
    assert (done.returncode, done.stdout) == (4, "")
    assert "did you mean a100?" in done.stderr


@pytest.mark.parametrize("args", [["run"], ["run", "--once"], ["check"], ["status"], ["url"], ["config", "check"],
                                  ["config", "show"]])  # fmt: skip
def test_a_bad_configuration_is_78_with_every_problem(
    run: Run, config: Path, args: list[str]
) -> None:
    config.write_text(
        '[agent]\nlog_level = "loud"\n[targets.a]\nssh.port = 0\nmode = "asks"\nssh.engine = "putty"\n'
    )
    done = run("--config", config, *args)
    assert (done.returncode, done.stdout) == (78, "")
    for key in (
        "agent.log_level",
        "targets.a.ssh.port",
        "targets.a.mode",
        "targets.a.ssh.host",
        "targets.a.ssh.engine",
    ):
        assert key in done.stderr
    assert "Traceback" not in done.stderr


def test_no_configuration_is_78_and_says_where_it_was_looked_for(run: Run, tmp_path: Path) -> None:
    done = run("check")
    assert done.returncode == 78
    file = tmp_path / ".config" / "watchdogd" / "config.toml"
    assert str(file) in done.stderr
    subprocess.run(["sh", "-c", done.stderr.rpartition("make it: ")[2].splitlines()[0]], check=True)
    assert run("config", "check").stdout == "fine: 1 target (a100)\n"


def test_the_configuration_is_found_by_variable_and_by_flag(run: Run, config: Path) -> None:
    assert run("config", "check", WATCHDOGD_CONFIG=str(config)).returncode == 0
    assert run("config", "check", "--config", config, WATCHDOGD_CONFIG="/none").returncode == 0
    assert run("config", "path", WATCHDOGD_CONFIG=str(config)).stdout == f"{config}\n"


def test_config_path_says_when_there_is_no_such_file(run: Run, tmp_path: Path) -> None:
    done = run("config", "path")
    file = f"{tmp_path}/.config/watchdogd/config.toml"
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"{file}\n",
        f"{file} is not there yet\n",
    )


def test_config_check(run: Run, config: Path) -> None:
    done = run("--config", config, "config", "check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine: 2 targets (a100, h200)\n", "")
    config.write_text(config.read_text() + 'ssh.keepalive = "12s"\n')
    done = run("--config", config, "config", "check")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: targets.h200: a silent link is replaced after 16.25s")
    found = json.loads(run("--config", config, "config", "check", "--json").stdout)
    assert (found["schema"], found["ok"], len(found["warnings"])) == ("watchdogd.config/1", True, 1)
    config.write_text("garbage")
    done = run("--config", config, "config", "check", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["problems"][0]["file"]) == (78, False, str(config))


def test_config_check_names_the_engine_and_why(run: Run, config: Path) -> None:
    config.write_text(config.read_text() + 'ssh.engine = "openssh"\n')
    done = run("--config", config, "config", "check")
    assert done.stdout == "h200: engine openssh (configured)\nfine: 2 targets (a100, h200)\n"
    found = json.loads(run("--config", config, "config", "check", "--json").stdout)
    assert found["engines"] == {"a100": "sshtunnel", "h200": "openssh (configured)"}


def test_config_show_is_toml_and_whole(run: Run, config: Path, tmp_path: Path) -> None:
    done = run("--config", config, "config", "show")
    found = tomllib.loads(done.stdout)
    assert found["agent"]["state_dir"] == f"{tmp_path}/s"
    assert found["targets"]["h200"]["forward"] == {
        "local": "127.0.0.1:9001", "remote": "127.0.0.1:9000", "hold": "30s", "objective": "15s"}  # fmt: skip


def served(config: Path, server: Sshd, identity: Path, known_hosts: str) -> None:
    """Let the first target be this server."""
    lines = f'ssh.port = {server.port}\nssh.identity_file = "{identity}"\nssh.known_hosts = "{known_hosts}"'
    config.write_text(config.read_text().replace("ssh.port = 1", lines, 1))


def test_check_of_an_unknown_host_key_is_77_with_the_command_that_mends_it(
    run: Run, config: Path, sshd: Sshd, tmp_path: Path
) -> None:
    served(config, sshd, sshd.identity, f"{tmp_path}/known_hosts")
    done = run("--config", config, "check", "a100")
    assert done.returncode == 77, done.stdout + done.stderr
    assert done.stdout.startswith("a100 is down: host_key\n")
    assert "x ssh       fail host_key" in done.stdout
    assert "to mend it: " in done.stdout
    assert not (tmp_path / "known_hosts").exists()
    found = json.loads(run("--config", config, "check", "--json", "a100").stdout)
    assert found["schema"] == "watchdogd.check/1"
    assert [(each["name"], each["cause"]) for each in found["targets"]] == [("a100", "host_key")]


def test_check_of_a_refused_login_is_77(run: Run, config: Path, sshd: Sshd, tmp_path: Path) -> None:
    served(config, sshd, keygen(tmp_path / "stranger"), sshd.known_hosts)
    done = run("--config", config, "check", "a100")
    assert done.returncode == 77, done.stdout + done.stderr
    assert done.stdout.startswith("a100 is down: auth\n")


def test_check_of_a_runtime_that_is_not_there_is_2(
    run: Run, config: Path, sshd: Sshd, free_port: int
) -> None:
    served(config, sshd, sshd.identity, sshd.known_hosts)
    config.write_text(config.read_text().replace("127.0.0.1:8888", f"127.0.0.1:{free_port}"))
    done = run("--config", config, "check", "a100")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.startswith("a100 is down: runtime_refused\n")
    assert "+ ssh       ok" in done.stdout


def test_check_of_a_server_that_is_not_there_is_2(
    run: Run, config: Path, tmp_path: Path, free_port: int
) -> None:
    key = tmp_path / "key"
    keygen(key)
    text = config.read_text().replace(
        "ssh.port = 1", f'ssh.port = {free_port}\nssh.identity_file = "{key}"'
    )
    config.write_text(text)
    done = run("--config", config, "check", "a100")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.startswith("a100 is down: sshd_down\n")
    assert done.stderr == ""


# ---------------------------------------------------------------- with an agent


@pytest.mark.usefixtures("agent")
def test_status_off_a_terminal_is_one_line_a_target(run: Run, config: Path) -> None:
    done = run("--config", config, "status")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("a100         down      auth for ")
    assert line.count("at length") == 12  # whoever reads it through a pipe loses nothing
    assert "\x1b" not in line


@pytest.mark.usefixtures("agent")
def test_status_as_json_is_the_agents_answer(run: Run, config: Path) -> None:
    found = json.loads(run("--config", config, "status", "--json").stdout)
    assert found["schema"] == "watchdogd.status/1"
    assert found["targets"] == [TARGET]


@pytest.mark.usefixtures("agent")
def test_status_works_while_the_configuration_is_broken(run: Run, config: Path) -> None:
    config.write_text(config.read_text() + 'mode = "loud"\n')
    assert run("--config", config, "status").returncode == 0


def test_status_tells_that_a_changed_configuration_is_refused(
    run: Run, config: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    told = {"files": [str(config)], "problems": [f"{config}: targets.a100.mod: found x"]}
    server = ControlServer(
        control_path(f"{tmp_path}/s", environ), lambda request: answer(request) | {"config": told}
    )
    try:
        done = run("--config", config, "status")
    finally:
        server.close()
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    first, second = done.stderr.splitlines()
    assert "refused; the former one is in force" in first
    assert second == f"  {config}: targets.a100.mod: found x"


@pytest.mark.usefixtures("agent")
def test_status_finds_an_agent_of_another_environment(
    run: Run, config: Path, tmp_path: Path
) -> None:
    server = ControlServer(control_path(f"{tmp_path}/s", {}), answer)
    try:
        assert run("--config", config, "status", XDG_RUNTIME_DIR="/nonexistent").returncode == 0
    finally:
        server.close()


@pytest.mark.usefixtures("agent")
def test_the_agents_word_on_targets_counts(run: Run, config: Path) -> None:
    done = run("--config", config, "status", "a10")
    assert (done.returncode, done.stdout) == (4, "")
    assert "did you mean a100?" in done.stderr


@pytest.mark.usefixtures("agent")
def test_url(run: Run, config: Path) -> None:
    done = run("--config", config, "url", "a100")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "http://localhost:9000/?token=abc\n",
        "",
    )
    assert (
        json.loads(run("--config", config, "url", "a100", "--json").stdout)["schema"]
        == "watchdogd.url/1"
    )
    done = run("--config", config, "url")
    assert (done.returncode, done.stdout) == (64, "")
    assert "a100, h200" in done.stderr
    done = run("--config", config, "url", "h200")
    assert (done.returncode, done.stdout) == (75, "")


def on_a_terminal(args: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and output of ``watchdogd`` on a terminal of 80 columns."""
    parent, child = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "watchdogd", *args],
            env={**environ, "TERM": "xterm", "COLUMNS": "80"},
            stdout=child,
            stderr=subprocess.DEVNULL,
        ) as process:
            os.close(child)
            output = b""
            try:
                while chunk := os.read(parent, 65_536):
                    output += chunk
            except OSError:  # the terminal's other end is gone
                pass
            code = process.wait(SECONDS)
    finally:
        os.close(parent)
    return code, output.decode().replace("\r\n", "\n")


@pytest.mark.usefixtures("agent")
def test_status_on_a_terminal_tells_more_in_80_columns(
    config: Path, environ: dict[str, str]
) -> None:
    code, text = on_a_terminal(["--config", str(config), "status", "--no-color"], environ)
    assert code == 0
    assert text.startswith("a100 is down: auth for ")
    for part in ("x ssh       fail auth", "no key", "ssh link down, next dial in 12s", "incident a100-1",
                 "not done: reconnect (operator)", "forward 127.0.0.1:9000"):  # fmt: skip
        assert part in text
    # The mending command is never folded, so that it can be copied; all else is.
    assert [line for line in text.splitlines() if len(line) > 80] == [
        f"  to mend it: {TARGET['mend']}"
    ]
    assert "\x1b" not in text
    assert "\x07" not in text


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("off", [["--no-color"], {"NO_COLOR": "1"}, {}])
def test_colour_is_for_terminals_that_want_it(
    config: Path, environ: dict[str, str], off: object
) -> None:
    args, more = (off, {}) if isinstance(off, list) else ([], off if isinstance(off, dict) else {})
    _, text = on_a_terminal(["--config", str(config), "status", *args], {**environ, **more})
    assert ("\x1b[31m" in text) is (off == {})
    # What the server sent clears no screen, coloured or not.
    assert "\x1b[2J" not in text


@pytest.mark.usefixtures("agent")
def test_a_reader_that_leaves_is_no_traceback(config: Path, environ: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-m", "watchdogd", "--config", str(config), "status", "--json"],
                              env=environ, stdout=writing, stderr=subprocess.PIPE, timeout=SECONDS, check=False)  # fmt: skip
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""


def test_ctrl_c_is_130(tmp_path: Path, config: Path, environ: dict[str, str]) -> None:
    """An agent that never answers, and a person who gives up."""
    asked, gone = tmp_path / "asked", threading.Event()

    def hang(_: Mapping[str, object]) -> dict[str, object]:
        asked.touch()
        gone.wait(20)
        return {}

    server = ControlServer(control_path(f"{tmp_path}/s", environ), hang)
    args = [sys.executable, "-m", "watchdogd", "--config", str(config), "status"]
    with subprocess.Popen(
        args, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        end = time.monotonic() + SECONDS
        while not asked.exists() and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    gone.set()
    server.close()
    assert process.returncode == 130
    assert b"Traceback" not in err


# ---------------------------------------------------------------- the operator's hand


def ordering(request: Mapping[str, object]) -> dict[str, object]:
    """An agent that takes every order, and tells of it at once."""
    verb, target = request["verb"], request.get("target")
    if target == "h200":
        return {"error": {"code": "refused", "message": "nothing of h200 waits for an approval"}}
    if verb == "status":
        facts: list[dict[str, object]] = [
            {"kind": "pause_began"},
            {"kind": "pause_ended"},
            *({"kind": "operator_spoke", "verb": name, "accepted": True} for name in ORDERED),
            {"kind": "remedy_ended", "remedy": "restart_container", "result": "done"},
            {"kind": "remedy_ended", "remedy": "reconnect", "result": "failed", "detail": "no way"},
            {"kind": "remedy_ended", "remedy": "open_session", "result": "unknown"},
        ]
        recent = [fact | {"at": "2026-01-01T00:00:01.000Z"} for fact in facts]
        return {"schema": "watchdogd.status/1", "targets": [{**TARGET, "recent": recent}]}
    told: dict[str, object] = {
        "remedy": request.get("remedy"),
        "until": None,
        "container": "c1",
        "started": "t1",
    }
    harm = "destructive" if request.get("remedy") == "restart_container" else "harmless"
    linkless = request.get("remedy") == "open_session"
    told |= {"harm": harm, "signs": ["a kernel was busy"], "impossible": "no link" * linkless}
    at = "2026-01-01T00:00:00.000+00:00"
    done = not request.get("dry_run")
    return {"schema": "watchdogd.order/1", "verb": verb, "target": target, "at": at, "done": done} | told  # fmt: skip


ORDERED = ("approve", "heal", "reset")


@pytest.fixture
def orders(tmp_path: Path, environ: dict[str, str]) -> Iterator[ControlServer]:
    server = ControlServer(control_path(f"{tmp_path}/s", environ), ordering)
    yield server
    server.close()


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["pause", "a100"], 0, "a100 is paused; end it: watchdogd --config "),
        (["pause", "a100", "--for", "2h"], 0, "a100 is paused; "),
        (["resume", "a100"], 0, "a100 is no longer paused"),
        (["approve", "a100"], 0, "of a100 is allowed, within 30 minutes"),
        (["reset", "a100"], 0, "a100 is judged afresh"),
        (["heal", "a100", "--remedy", "restart_container", "--yes"], 0, "restart_container: done"),
        (["heal", "a100", "--remedy", "reconnect"], 1, "reconnect: failed"),
        (["heal", "a100", "--remedy", "restart_container", "--dry-run"], 0, "would be done to c1"),
        (
            ["heal", "a100", "--remedy", "open_session"],
            75,
            "open_session: whether it worked is not known",
        ),
        (
            ["heal", "a100", "--remedy", "open_session", "--dry-run"],
            0,
            "open_session cannot be done now: no link",
        ),
        (["heal", "a100", "--remedy", "restart_container"], 64, "--yes"),
        (["approve", "h200"], 1, "nothing of h200 waits"),
        (["pause", "a100", "--for", "2"], 64, "2"),
        (["pause"], 64, "TARGET"),
        (["heal", "a100"], 64, "--remedy"),
    ],
)
def test_an_order_says_what_became_of_it(
    run: Run, config: Path, args: list[str], code: int, said: str
) -> None:
    done = run("--config", config, *args)
    assert done.returncode == code, done
    assert said in done.stdout + done.stderr


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("verb", ["pause", "resume", "approve", "reset"])
def test_an_order_as_json_has_a_schema(run: Run, config: Path, verb: str) -> None:
    done = run("--config", config, verb, "a100", "--json")
    assert json.loads(done.stdout)["schema"] == "watchdogd.order/1"


@pytest.mark.usefixtures("agent")
def test_why_of_an_older_agent_says_so(run: Run, config: Path) -> None:
    done = run("--config", config, "status", "a100", "--why")
    assert done.returncode == 0
    assert "does not tell why" in done.stdout


@pytest.mark.parametrize("verb", ["pause", "resume", "approve", "reset"])
def test_without_an_agent_an_order_is_3(run: Run, config: Path, verb: str) -> None:
    assert run("--config", config, verb, "a100").returncode == 3
