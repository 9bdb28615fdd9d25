"""Which key cannot be used, and what mends it without making anything worse."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.sshd import keygen
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.login_keys import LoginKeys
from watchdogd.adapters.ssh_resolve import plan_from
from watchdogd.errors import Permanent
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def refusal(*files: Path, required: bool = True) -> Permanent:
    plan = plan_from(SshSettings(host="h", user="u", port=8022, identity_file="/x"), {})
    names = tuple(str(file) for file in files)
    plan = replace(plan, identity_files=names, identity_required=required)
    with pytest.raises(Permanent) as raised:
        LoginKeys(plan, Deadline.after(SystemClock(), 5.0))
    return raised.value


def test_a_locked_key_wants_an_agent_that_watchdogd_sees(tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", passphrase="open sesame")
    found = refusal(Path(key))
    assert found.mend == f'eval "$(ssh-agent)" && ssh-add {shlex.quote(str(key))}'
    assert "started in the shell that knows one (SSH_AUTH_SOCK)" in found.detail


def test_a_public_key_is_told_from_a_private_one_by_what_is_in_it(tmp_path: Path) -> None:
    key = Path(keygen(tmp_path / "key"))
    found = refusal(Path(f"{key}.pub"))
    assert "is the public key" in found.detail
    assert found.mend == f"name the private key in ssh.identity_file: {key}"
    renamed = Path(f"{key}.pub").rename(tmp_path / "renamed")
    assert "is the public key" in refusal(renamed).detail


def test_a_file_that_is_no_key_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("something that somebody needs\n")
    file.chmod(0o600)
    found = refusal(file)
    assert found.mend == f"ssh-keygen -y -f {shlex.quote(str(file))}"
    assert "another file name" in found.detail


def test_without_any_key_one_is_made_where_ssh_looks_for_it(tmp_path: Path) -> None:
    found = refusal(tmp_path / "id_rsa", required=False)
    assert found.mend == "ssh-keygen -t ed25519 && ssh-copy-id -p 8022 u@h"
