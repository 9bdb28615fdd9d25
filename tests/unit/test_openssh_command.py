"""The command line of engine ``openssh``, and what real ``ssh`` makes of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.control_path import new_control_path, remove_control
from watchdogd.adapters.openssh_command import dial_argv, environment
from watchdogd.adapters.openssh_hops import Hop, hop_command, parse_hops
from watchdogd.adapters.ssh_needs import Options
from watchdogd.adapters.ssh_resolve import ask_ssh, plan_from
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings

SETTINGS = SshSettings(host="abc.com", port=8027, user="as", engine="openssh")
PLAN = plan_from(SETTINGS, {})


def understood(argv: list[str]) -> Options:
    """As ssh itself reads that command line."""
    at = argv.index("--")
    found = ask_ssh([*argv[:at], "-G", *argv[at:]], Deadline.after(SystemClock(), 5))
    assert found is not None
    return found


def expanded(command: str) -> str:
    """As ssh replaces its tokens."""
    tokens = {"%h": "abc.com", "%p": "8027", "%%": "%"}
    return re.sub("%.", lambda found: tokens[found[0]], command)


def test_it_asks_nobody_binds_nothing_and_trusts_nobody_new() -> None:
    options = understood(dial_argv(PLAN, "/run/x.ctl", use_agent=True))
    for option, value in {
        "hostname": "abc.com", "port": "8027", "user": "as", "batchmode": "yes", "requesttty": "false",
        "clearallforwardings": "yes", "permitlocalcommand": "no", "forwardagent": "no", "forwardx11": "no",
        "stricthostkeychecking": "true", "controlmaster": "true", "controlpersist": "no", "tunnel": "false",
        "updatehostkeys": "false", "controlpath": "/run/x.ctl", "connecttimeout": "10", "connectionattempts": "1",
        "nohostauthenticationforlocalhost": "no", "stdinnull": "yes", "sessiontype": "none",
    }.items():  # fmt: skip
        assert options[option] == (value,), option
    assert "remotecommand" not in options
    assert options["ciphers"][0].startswith("aes128-gcm@openssh.com,")


@pytest.mark.parametrize(("many", "seconds"), [(1, "10"), (2, "10"), (3, "6"), (20, "5")])
def test_dead_addresses_of_a_name_leave_the_others_their_turn(many: int, seconds: str) -> None:
    argv = dial_argv(PLAN, "/c", use_agent=True, addresses=many)
    assert understood(argv)["connecttimeout"] == (seconds,)


def test_a_user_s_ciphers_stay() -> None:
    argv = dial_argv(replace(PLAN, own_ciphers=True), "/c", use_agent=True)
    assert not [word for word in argv if word.startswith("Ciphers")]


def test_a_configured_key_and_file_are_the_only_ones(tmp_path: Path) -> None:
    odd = tmp_path / 'a "b" %h'
    settings = replace(SETTINGS, identity_file=str(odd), known_hosts=str(odd))
    options = understood(dial_argv(plan_from(settings, {}), "/c", use_agent=False))
    assert options["identitiesonly"] == ("yes",)
    assert options["identityfile"][0].replace("%%", "%") == str(odd)
    assert options["userknownhostsfile"][0].replace("%%", "%") == str(odd)
    assert options["globalknownhostsfile"] == ("/dev/null",)
    assert options["identityagent"] == ("none",)


def test_an_ssh_is_told_not_to_fork_only_where_it_would() -> None:
    plan = plan_from(SETTINGS, {"forkafterauthentication": ("yes",)})
    options = understood(dial_argv(plan, "/c", use_agent=True))
    assert options["forkafterauthentication"] == ("no",)
    older = dial_argv(plan_from(SETTINGS, {}), "/c", use_agent=True)
    assert not [word for word in older if word.startswith("ForkAfter")]


def test_a_host_is_never_an_option() -> None:
    argv = dial_argv(replace(PLAN, alias="-oProxyCommand=evil"), "/c", use_agent=True)
    assert argv[-2:] == ["--", "-oProxyCommand=evil"]


def test_a_jump_host_is_gone_over_without_a_shared_connection() -> None:
    plan = replace(PLAN, jumps=parse_hops("ssh://me@outer:2200,[fe80::1%eth0]:22"))
    (command,) = understood(dial_argv(plan, "/c", use_agent=True))["proxycommand"]
    inner = shlex.split(expanded(command))
    assert inner[-6:] == ["-p", "22", "-W", "[abc.com]:8027", "--", "fe80::1%eth0"]
    options = understood(inner)
    assert "controlpath" not in options
    assert (options["batchmode"], options["stricthostkeychecking"]) == (("yes",), ("true",))
    outer = shlex.split(options["proxycommand"][0])
    assert outer[-8:] == ["-l", "me", "-p", "2200", "-W", "[%h]:%p", "--", "outer"]


@pytest.mark.parametrize("odd", ["x';id;'", "$(id)", "-oProxyCommand=id", "a b", "%h"])
def test_a_hop_s_name_is_never_more_than_a_name(odd: str) -> None:
    for hop in (Hop(odd), Hop("bastion", user=odd)):
        for hops, depth in (((hop,), 1), ((hop, Hop("last")), 2)):
            words = ["-o", f"ProxyCommand={hop_command(hops)}"]
            for _ in range(depth):
                (command,) = (word for word in words if word.startswith("ProxyCommand=ssh "))
                words = shlex.split(expanded(command.removeprefix("ProxyCommand=")))
            assert odd in words


def test_hops_take_longer() -> None:
    argv = dial_argv(replace(PLAN, first_hop="bastion"), "/c", use_agent=True)
    assert "ConnectTimeout=20" in argv


def test_no_question_reaches_a_screen() -> None:
    given = {"SSH_ASKPASS": "/bin/ask", "HOME": "/home/u"}
    assert environment(given) == {"HOME": "/home/u", "SSH_ASKPASS_REQUIRE": "never"}


def test_the_control_socket_is_short_and_private(tmp_path: Path) -> None:
    short = Path("/tmp") / tmp_path.name
    path = new_control_path(short)
    assert Path(path).parent == short
    assert short.stat().st_mode & 0o777 == 0o700
    assert new_control_path(short) != path
    short.rmdir()
    for unfit in (tmp_path / ("x" * 100), tmp_path / "%h"):
        other = Path(new_control_path(unfit))
        assert not unfit.exists()
        assert len(str(other)) < 60
        assert other.parent.stat().st_mode & 0o777 == 0o700
        remove_control(str(other))
        assert not other.parent.exists()
