"""The service under a real user manager: installed, started, hung, killed, refused, reloaded, ended."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.asking import fetch
from tests.lab.needs import free_port
from tests.lab.sshd import Sshd
from tests.lab.stand_in import TOKEN, StandIn
from tests.lab.user_manager import UserManager
from tests.lab.waiting import until
from watchdogd.settings import Address

pytestmark = pytest.mark.real

HANGING = """
import pathlib, sys, threading
from watchdogd.core import machine
step, hang = machine.step, pathlib.Path(sys.argv.pop(1))
def held(*args):
    if hang.exists():
        hang.unlink()  # once: the next process is sound
        threading.Event().wait()
    return step(*args)
machine.step = held
from watchdogd.cli import run
sys.exit(run(sys.argv[1:]))
"""


class Service:
    """One user with a configuration for one real SSH server and a runtime behind it."""

    def __init__(self, user: UserManager, sshd: Sshd, runtime: StandIn) -> None:
        self.user = user
        self.sshd = sshd
        self.runtime = runtime
        self.listen = Address("127.0.0.1", free_port())
        self.local = {name: Address("127.0.0.1", free_port()) for name in ("a100", "b200")}
        self.config = user.config / "watchdogd" / "config.toml"
        self.config.parent.mkdir(parents=True)
        token = user.home / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)

    def write(self, *targets: str, identity: bool = True) -> None:
        key = f'identity_file = "{self.sshd.identity_file}"' if identity else ""
        text = f"""
[agent]
listen = "{self.listen}"
[defaults.ssh]
host = "127.0.0.1"
port = {self.sshd.port}
{key}
known_hosts = "{self.sshd.known_hosts}"
[defaults.probe]
interval = "1s"
suspect_interval = "500ms"
[defaults.runtime]
kind = "external"
token_file = "{self.user.home}/token"
"""
        for name in targets:
            text += f"""
[targets.{name}.forward]
local = "{self.local[name]}"
remote = "{self.runtime.address}"
"""
        self.config.write_text(text)

    def verb(self, *words: str) -> tuple[int, str]:
        """``watchdogd service ...``: exit code, and both outputs."""
        done = self.user.run("watchdogd", "service", *words)
        return done.returncode, done.stdout + done.stderr

    def pid(self) -> int:
        return int(self.user.show("MainPID"))

    def told(self) -> str:
        return self.user.show("StatusText")

    def up(self, *names: str) -> None:
        until(lambda: all(f"{name} up since" in self.told() for name in names), f"up: {names}")
        for name in names:
            assert fetch(self.local[name], "/api")[0] == 200


@pytest.fixture
def service() -> Iterator[Service]:
    with UserManager() as user, StandIn() as runtime, Sshd() as sshd:
        made = Service(user, sshd, runtime)
        user.drop_in()
        yield made


def test_it_is_installed_survives_and_leaves_nothing(service: Service) -> None:
    service.write("a100")
    code, text = service.verb("install")
    assert code == 0, text
    assert "the agent runs" in text
    service.up("a100")
    assert service.verb("install") == (0, f"{unit(service)} is as it should be\nthe agent runs; how "
                                          "it goes: watchdogd service status\n")  # fmt: skip
    first = service.pid()

    os.kill(first, signal.SIGKILL)
    until(lambda: service.pid() not in (0, first), "another process after SIGKILL")
    service.up("a100")
    assert service.user.show("NRestarts") == "1"

    service.write("a100", "b200")
    assert service.user.call("reload", "watchdogd").returncode == 0
    service.up("a100", "b200")
    service.config.write_text("nonsense")
    until(lambda: "is refused (watchdogd config check)" in service.told(), "a word on the refusal")
    service.write("a100", "b200")
    until(lambda: "refused" not in service.told(), "the refusal is over")

    service.sshd.stop()
    until(lambda: "a100 down: sshd_down" in service.told(), "the state of each target")
    service.sshd.start()
    service.up("a100", "b200")
    code, text = service.verb("status", "--json")
    answer = json.loads(text)
    assert (code, answer["schema"], answer["running"]) == (0, "watchdogd.service/1", True)
    assert answer["starts_at_login"] is True
    assert "  a100 up since" in service.verb("status")[1]

    last = service.pid()
    assert service.verb("stop") == (0, "the agent is stopped\n")
    assert not Path(f"/proc/{last}").exists()
    with pytest.raises(OSError, match="refused"):
        fetch(service.listen, "/livez")
    assert service.user.show("Result") == "success"
    assert service.told() == "stopped"
    assert service.verb("status") == (3, "inactive (dead)\n  to mend it: watchdogd service start\n")
    assert service.verb("uninstall") == (0, "the service is gone\n")
    assert not unit(service).exists()
    assert service.verb("uninstall") == (0, "the service was not installed\n")
    code, text = service.verb("start")
    assert (code, "watchdogd service install" in text) == (75, True)
    assert TOKEN not in service.user.log.read_text()


def unit(service: Service) -> Path:
    return service.user.config / "systemd" / "user" / "watchdogd.service"


def test_a_hung_decision_loop_is_ended_with_its_stacks_and_started_again(service: Service) -> None:
    service.write("a100")
    hang = service.user.folder / "hang"
    program = service.user.folder / "hanging.py"
    program.write_text(HANGING)
    service.user.drop_in(
        "WatchdogSec=2",
        "RestartSec=100ms",
        "ExecStart=",
        f"ExecStart={sys.executable} {program} {hang} run",
    )
    assert service.verb("install")[0] == 0
    service.up("a100")
    first = service.pid()
    until(lambda: fetch(service.listen, "/livez")[0] == 200, "a live loop")
    hang.touch()
    until(lambda: service.pid() not in (0, first), "another process after the hang")
    service.up("a100")
    assert service.user.show("NRestarts") == "1"
    log = service.user.log.read_text()
    assert "Fatal Python error: Aborted" in log
    assert "hanging.py" in log.partition("Fatal Python error")[2]  # the very line that hung


def test_an_idle_agent_is_not_taken_for_a_hung_one(service: Service) -> None:
    service.write("a100")
    service.config.write_text(
        service.config.read_text().replace('interval = "1s"', 'interval = "60s"')
    )
    service.user.drop_in("WatchdogSec=2")
    assert service.verb("install")[0] == 0
    service.up("a100")
    beats = [service.user.show("WatchdogTimestampMonotonic")]
    for _ in range(4):  # more than twice the watchdog's time
        until(lambda: service.user.show("WatchdogTimestampMonotonic") != beats[-1], "a beat")
        beats.append(service.user.show("WatchdogTimestampMonotonic"))
    assert service.user.show("NRestarts") == "0"


def test_a_bad_configuration_is_not_tried_again(service: Service) -> None:
    service.config.write_text("[targets.a100]\nmod = 1\n")
    code, text = service.verb("install")
    assert (code, "targets.a100.mod" in text) == (78, True)
    assert not unit(service).exists()
    service.write("a100")
    assert service.verb("install", "--no-start")[0] == 0
    assert service.user.show("ActiveState") == "inactive"
    service.config.write_text("[targets.a100]\nmod = 1\n")
    code, text = service.verb("start")
    assert (code, "it ended with 78" in text, "service logs" in text) == (75, True, True)
    assert (service.user.show("ActiveState"), service.user.show("NRestarts")) == ("failed", "0")
    assert "targets.a100.mod" in service.user.log.read_text()
    code, text = service.verb("status")
    assert (code, "it ended with 78" in text) == (3, True)


def test_an_older_unit_is_replaced_and_kept(service: Service) -> None:
    service.write("a100")
    unit(service).parent.mkdir(parents=True, exist_ok=True)
    unit(service).write_text("[Service]\nExecStart=/bin/false\n")
    code, text = service.verb("install", "--no-start")
    assert (code, "watchdogd.service.before beside it" in text) == (0, True)
    assert "/bin/false" in unit(service).with_name("watchdogd.service.before").read_text()
    verified = service.user.run(
        "systemd-analyze", "--user", "--man=no", "verify", str(unit(service))
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_without_a_key_that_it_can_use_it_says_what_a_service_lacks(service: Service) -> None:
    service.write("a100", identity=False)
    assert service.verb("install")[0] == 0
    until(lambda: "a100 down: auth" in service.told(), "a refused login")
    assert "a service does not see that of a login shell" in service.told()
    assert "import-environment SSH_AUTH_SOCK" in service.told()


def test_without_a_user_manager_it_says_what_to_run(service: Service) -> None:
    service.write("a100")
    environ = service.user.environ
    nowhere = service.user.folder / "nowhere"
    for runtime, mend in (
        ("", "export XDG_RUNTIME_DIR=/run/user/"),
        (str(nowhere), "enable-linger"),
    ):
        service.user.environ = {**environ, "XDG_RUNTIME_DIR": runtime}
        if not runtime:
            del service.user.environ["XDG_RUNTIME_DIR"]
        code, text = service.verb("install")
        assert (code, mend in text) == (75, True), text
        assert not unit(service).exists()
    service.user.environ = environ
