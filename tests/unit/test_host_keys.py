"""Lines of known_hosts, and the verdict on a server's key."""

from __future__ import annotations

import base64
import os
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes_clock import FakeClock
from tests.lab import needs
from watchdogd.adapters.clock import SystemClock
from watchdogd.adapters.host_keys import (
    KnownHosts,
    KnownKey,
    add_command,
    find_argv,
    fingerprint,
    parse_lines,
    preferred_kinds,
    verify,
)
from watchdogd.adapters.ssh_resolve import SshPlan, plan_from
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline
from watchdogd.settings import SshSettings

KEY, OTHER = b"the key", b"another key"


@pytest.fixture
def plan() -> SshPlan:
    return plan_from(
        SshSettings(host="abc.com", port=8027, user="me", known_hosts="/home/u/known hosts"), {}
    )


def known(blob: bytes = KEY, marker: str = "", kind: str = "ssh-ed25519") -> KnownKey:
    return KnownKey(file="/f", marker=marker, kind=kind, blob=blob)


def test_the_search() -> None:
    assert find_argv("[abc.com]:8027", "/f") == ["ssh-keygen", "-F", "[abc.com]:8027", "-f", "/f"]


def test_lines_with_markers_comments_and_rubbish() -> None:
    good = base64.b64encode(KEY).decode()
    text = (
        "# Host [abc.com]:8027 found: line 1\n"
        f"|1|salt=|hash= ssh-ed25519 {good} a comment\n"
        f"@revoked  *.com\tssh-rsa   {good}\n"
        f"@cert-authority * ssh-ed25519 {good}\n"
        "abc.com ssh-ed25519 no!base64\n"
        "abc.com\n\n"
    )
    assert parse_lines(text, "/f") == (
        known(),
        known(marker="@revoked", kind="ssh-rsa"),
        known(marker="@cert-authority"),
    )


def test_kinds_that_are_known_are_asked_for_first() -> None:
    offered = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    assert preferred_kinds([known(kind="ssh-rsa")], offered) == (
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
    )
    assert preferred_kinds([known(marker="@revoked", kind="ssh-rsa")], offered) == offered


def test_a_known_key_passes_also_among_others_of_its_kind(plan: SshPlan) -> None:
    verify(plan, (known(OTHER), known(KEY)), "ssh-ed25519", KEY)


ASKS = (
    "mkdir -p -m 700 /home/u && ssh -o StrictHostKeyChecking=ask "
    "-o 'UserKnownHostsFile=\"/home/u/known hosts\"' -p 8027 me@abc.com true"
)


def test_a_file_that_ssh_takes_anyway_is_not_named(plan: SshPlan) -> None:
    told = add_command(replace(plan, known_hosts_given=False, alias="gpu"))
    assert told == "ssh -o StrictHostKeyChecking=ask -p 8027 me@gpu true"


@pytest.mark.parametrize(
    ("lines", "word", "mend"),
    [
        ((), "unknown", ASKS),
        ((known(OTHER),), "changed", "ssh-keygen -R '[abc.com]:8027' -f /f"),
        ((known(), known(marker="@revoked")), "revoked", ""),
        (
            (known(OTHER, marker="@cert-authority"),),
            "openssh",
            'set ssh.engine = "openssh"',
        ),
    ],
)
def test_any_other_key_is_refused_for_good(
    plan: SshPlan, lines: tuple[KnownKey, ...], word: str, mend: str
) -> None:
    with pytest.raises(Permanent) as raised:
        verify(plan, lines, "ssh-ed25519", KEY)
    assert raised.value.cause is Cause.HOST_KEY
    assert raised.value.reached
    assert word in raised.value.detail
    assert fingerprint(KEY) in raised.value.detail or word == "openssh"
    assert raised.value.mend.endswith(mend)
    assert raised.value.mend.startswith("ask whoever runs" if word == "changed" else mend)


# ---------------------------------------------------------------- read again only when it changed


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the real ``ssh-keygen`` was asked."""
    needs.programs("ssh-keygen")
    log, program = tmp_path / "asked", tmp_path / "bin" / "ssh-keygen"
    program.parent.mkdir()
    rest = os.environ["PATH"]
    program.write_text(f'#!/bin/sh\necho >> {log}\nPATH="{rest}" exec ssh-keygen "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{rest}")
    return lambda: log.read_text().count("\n") if log.exists() else 0


def line(blob: bytes) -> str:
    """Of an Ed25519 key that ssh-keygen takes for one."""
    kind, key = b"ssh-ed25519", blob.ljust(32, b".")
    packed = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(key)) + key
    return f"[abc.com]:8027 ssh-ed25519 {base64.b64encode(packed).decode()}\n"


@pytest.mark.parametrize(("settled", "times"), [(True, 1), (False, 2)])
def test_a_file_is_read_again_if_it_changed_or_is_too_new_to_tell(
    tmp_path: Path, asked: Callable[[], int], settled: bool, times: int
) -> None:
    file, clock = tmp_path / "known_hosts", FakeClock()
    clock.wall_now = time.time() + (60.0 if settled else -60.0)
    plan = plan_from(SshSettings(host="abc.com", port=8027, known_hosts=str(file)), {})
    hosts = KnownHosts(plan, clock)

    def blobs() -> list[bytes]:
        found = hosts.look_up(Deadline.after(SystemClock(), 20.0))
        return [key.blob[-32:].rstrip(b".") for key in found]

    assert blobs() == []
    assert asked() == 0
    file.write_text(line(KEY))
    assert blobs() == [KEY]
    assert blobs() == [KEY]
    assert asked() == times
    file.write_text(line(KEY[::-1]))  # as long as before
    os.utime(file, ns=(0, 0))
    assert blobs() == [KEY[::-1]]
    file.unlink()
    assert blobs() == []


@pytest.mark.parametrize("end", ["kill -9 $$", "exit 255", "exit 127"])
def test_an_ssh_keygen_that_broke_is_no_file_without_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    needs.programs("ssh-keygen")
    plain, revoked = tmp_path / "plain", tmp_path / "revoked"
    plain.write_text(line(KEY))
    revoked.write_text(f"@revoked {line(KEY)}")
    program, broken, rest = tmp_path / "bin" / "ssh-keygen", tmp_path / "broken", os.environ["PATH"]
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncase "$4" in {revoked}) [ ! -e {broken} ] || {{ {end}; }};; esac\n'
        f'PATH="{rest}" exec ssh-keygen "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{rest}")
    clock = FakeClock()
    clock.wall_now = time.time() + 60.0  # what is read may be kept
    plan = replace(
        plan_from(SshSettings(host="abc.com", port=8027), {}),
        known_hosts=(str(plain), str(revoked)),
    )
    hosts = KnownHosts(plan, clock)
    broken.touch()
    with pytest.raises(Transient, match=f"could not read {revoked}") as raised:
        hosts.look_up(Deadline.after(SystemClock(), 20.0))
    assert raised.value.cause is Cause.AGENT
    broken.unlink()
    known = hosts.look_up(Deadline.after(SystemClock(), 20.0))
    with pytest.raises(Permanent, match="revoked"):
        verify(plan, known, "ssh-ed25519", known[0].blob)
