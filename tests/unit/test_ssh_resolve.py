"""From ssh's own view of a host to a plan, and what is refused by name."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.ssh_needs import is_hardware_key
from watchdogd.adapters.ssh_resolve import (
    ask_ssh,
    expand,
    parse,
    plan_from,
    resolve,
    resolve_argv,
)
from watchdogd.errors import ConfigError
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings

CLOCK = SystemClock()


def test_the_argv_never_takes_a_host_for_an_option() -> None:
    argv = resolve_argv(SshSettings(host="-oProxyCommand=evil", port=8027, user="as"))
    assert argv == ["ssh", "-G", "-p", "8027", "-l", "as", "--", "-oProxyCommand=evil"]
    assert resolve_argv(SshSettings(host="abc.com")) == ["ssh", "-G", "--", "abc.com"]


def asking(monkeypatch: pytest.MonkeyPatch, folder: Path, *lines: str) -> list[str]:
    """A command in the place of ``ssh -G``, that leaves a process with its stderr."""
    program = folder / "ssh"
    program.write_text("\n".join(("#!/bin/sh", "sleep 20 >/dev/null & echo $! > left", *lines)))
    program.chmod(0o700)
    monkeypatch.chdir(folder)
    return [str(program)]


@pytest.fixture
def left(tmp_path: Path) -> Iterator[None]:
    yield
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)


@pytest.mark.usefixtures("left")
def test_what_a_match_exec_leaves_running_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    noise = "i=0; while [ $i -lt 2000 ]; do echo noise >&2; i=$((i+1)); done"
    argv = asking(monkeypatch, tmp_path, noise, "echo hostname abc.com")
    assert ask_ssh(argv, Deadline.after(CLOCK, 5)) == {"hostname": ("abc.com",)}


@pytest.mark.usefixtures("left")
def test_its_last_complaint_is_told_as_ssh_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    argv = asking(monkeypatch, tmp_path, "echo one >&2", "echo bad option >&2", "exit 255")
    with pytest.raises(ConfigError) as raised:
        ask_ssh(argv, Deadline.after(CLOCK, 5))
    assert raised.value.problems[0].found == "refused: bad option"


def test_options_may_repeat() -> None:
    text = "hostname abc.com\nIdentityFile ~/a\nidentityfile ~/b c\nodd\n"
    assert parse(text) == {"hostname": ("abc.com",), "identityfile": ("~/a", "~/b c")}


def test_settings_win_over_ssh_config() -> None:
    settings = SshSettings(host="a", port=8027, user="as", identity_file="/k", known_hosts="/known")
    options = parse("hostname abc.com\nport 22\nuser root\nidentityfile /other\n")
    plan = plan_from(settings, options)
    assert (plan.host, plan.port, plan.user) == ("abc.com", 8027, "as")
    assert plan.identity_files == ("/k",)
    assert plan.identity_required
    assert plan.identities_only
    assert plan.known_hosts == ("/known",)
    assert plan.known_name == "[abc.com]:8027"


def test_ssh_config_fills_what_is_not_set() -> None:
    options = parse(
        "hostname ABC.com\nport 22\nuser as\nidentityfile ~/.ssh/%h.%r\nidentitiesonly yes\n"
        "identityagent none\naddressfamily inet\nuserknownhostsfile /u1 /u2\n"
        "globalknownhostsfile none\n"
    )
    plan = plan_from(SshSettings(host="alias"), options)
    assert (plan.alias, plan.known_name, plan.user) == ("alias", "abc.com", "as")
    assert plan.identity_files == (str(Path.home() / ".ssh/ABC.com.as"),)
    assert not plan.identity_required
    assert plan.identities_only
    assert not plan.use_agent
    assert plan.address_family == "inet"
    assert plan.known_hosts == ("/u1", "/u2")


def test_a_file_name_with_blanks_is_one_name(tmp_path: Path) -> None:
    file = tmp_path / "known hosts"
    file.touch()
    options = {"userknownhostsfile": (str(file),), "globalknownhostsfile": ("none",)}
    assert plan_from(SshSettings(host="a"), options).known_hosts == (str(file),)


def test_tokens() -> None:
    tokens = {"%h": "host"}
    assert expand("%d/%h/%%h/%x", tokens) == f"{Path.home()}/host/%h/%x"


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("proxyjump", "bastion", "bastion"),
        ("proxycommand", "nc --proxy-auth me:hunter2 %h %p", "nc ..."),
        ("hostkeyalias", "other", "other"),
        ("certificatefile", "~/my cert", "~/my cert"),
        ("pkcs11provider", "/lib/p11.so", "/lib/p11.so"),
        ("knownhostscommand", "/bin/keys", "/bin/keys"),
        ("knownhostscommand", "/bin/keys hunter2", "/bin/keys ..."),
        ("identityagent", "/run/other.sock", "/run/other.sock"),
        ("bindinterface", "tun0", "tun0"),
    ],
)
def test_what_needs_another_engine_is_refused_by_name(option: str, value: str, shown: str) -> None:
    """And no password in its arguments is told."""
    with pytest.raises(ConfigError) as raised:
        plan_from(SshSettings(host="a", engine="sshtunnel"), {option: (value,)})
    (problem,) = raised.value.problems
    assert (problem.key, problem.found) == (option, shown)
    assert "openssh" in problem.allowed


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        plan_from(
            SshSettings(host="a", engine="sshtunnel"),
            {"proxyjump": ("b",), "hostkeyalias": ("c",)},
        )
    assert len(raised.value.problems) == 2


@pytest.mark.parametrize("value", ["none"])
def test_an_option_that_is_off_is_no_problem(value: str) -> None:
    plan_from(SshSettings(host="a"), {"proxyjump": (value,), "proxycommand": (value,)})


def hardware_key(file: Path) -> Path:
    body = base64.b64encode(b"openssh-key-v1\0...sk-ssh-ed25519@openssh.com...").decode()
    file.write_text(
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
    )
    return file


def test_a_security_key_is_refused(tmp_path: Path) -> None:
    key = hardware_key(tmp_path / "sk")
    assert is_hardware_key(str(key))
    with pytest.raises(ConfigError, match="security key"):
        plan_from(SshSettings(host="a", engine="sshtunnel", identity_file=str(key)), {})


def test_a_security_key_beside_a_usable_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("plain")
    files = (str(hardware_key(tmp_path / "sk")), str(tmp_path / "plain"))
    assert plan_from(SshSettings(host="a"), {"identityfile": files}).identity_files == files


def test_a_certificate_beside_the_key_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    (tmp_path / "key-cert.pub").touch()
    with pytest.raises(ConfigError, match="certificatefile"):
        plan_from(SshSettings(host="a", engine="sshtunnel", identity_file=str(key)), {})


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for ``ssh`` on PATH."""
    file = folder / "ssh"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_ssh_s_own_complaint_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "echo 'config: line 3: Bad configuration option' >&2; exit 255", monkeypatch)
    with pytest.raises(ConfigError, match="line 3"):
        resolve(SshSettings(host="a"), Deadline.after(CLOCK, 5))


def test_without_ssh_the_settings_alone_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    plan = resolve(SshSettings(host="abc.com", port=8027, user="as"), Deadline.after(CLOCK, 5))
    assert (plan.host, plan.port, plan.user) == ("abc.com", 8027, "as")
    assert plan.known_hosts[0] == str(Path.home() / ".ssh/known_hosts")
