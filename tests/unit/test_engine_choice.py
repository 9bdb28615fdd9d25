"""Which engine a host gets, with a stand-in for ``ssh`` that prints a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.engine_choice import choose, why
from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.errors import ConfigError
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings

Chosen = Callable[..., SshPlan]


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chosen:
    """``chosen(lines, engine)``: the plan where ``ssh -G`` prints these lines."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    known = tmp_path / "known_hosts"
    known.touch()

    def plan(lines: str, engine: str = "auto") -> SshPlan:
        (tmp_path / "lines").write_text(lines)
        program = tmp_path / "ssh"
        # without a configuration, and for a jump host by its name, it prints other things
        program.write_text(
            '#!/bin/sh\ncase "$*" in *"-F none"*) echo "ciphers a,b"; exit ;; '
            f'*"-- bastion") echo "hostname 192.0.2.1\nuserknownhostsfile /known/b\n'
            f'identityfile /key/b"; exit ;; esac\ncat {tmp_path}/lines\n'
        )
        program.chmod(0o755)
        settings = SshSettings(host="gpu", engine=engine, known_hosts=str(known))
        return choose(settings, Deadline.after(SystemClock(), 10))

    return plan


def test_without_a_need_it_is_sshtunnel(chosen: Chosen) -> None:
    plan = chosen("hostname abc.com\nciphers a,b\n")
    assert (plan.engine, why(plan), plan.first_hop) == ("sshtunnel", "sshtunnel", "")


def test_who_insists_gets_openssh(chosen: Chosen) -> None:
    plan = chosen("hostname abc.com\nciphers a,b\n", "openssh")
    assert (plan.engine, why(plan)) == ("openssh", "openssh (configured)")
    assert not plan.own_ciphers
    assert chosen("ciphers b\n", "openssh").own_ciphers


@pytest.mark.parametrize(
    ("line", "hop"),
    [
        ("proxyjump bastion", "192.0.2.1"),
        ("proxyjump me@bastion:2222,other", "192.0.2.1"),
        ("proxyjump ssh://me@bastion:2222", "192.0.2.1"),
        ("proxycommand nc %h %p", "127.0.0.1"),
        ("hostkeyalias abc", ""),
        ("identityagent /run/other.sock", ""),
        ("pkcs11provider /lib/p11.so", ""),
    ],
)
def test_each_need_is_named(chosen: Chosen, line: str, hop: str) -> None:
    plan = chosen(f"hostname abc.com\n{line}\n")
    shown = line.replace("nc %h %p", "nc ...")
    assert (plan.engine, why(plan), plan.first_hop) == ("openssh", f"openssh ({shown})", hop)
    with pytest.raises(ConfigError, match=line.split()[0]):
        chosen(f"hostname abc.com\n{line}\n", "sshtunnel")


def test_the_files_that_a_jump_host_is_known_by_are_the_targets_own(chosen: Chosen) -> None:
    plan = chosen("hostname abc.com\nproxyjump bastion\n")
    assert {"/known/b", "/key/b"} <= set(plan.hop_files)
    assert chosen("hostname abc.com\n", "openssh").hop_files == ()


def test_without_the_program_openssh_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="openssh-client"):
        choose(SshSettings(host="a", engine="openssh"), Deadline.after(SystemClock(), 5))
