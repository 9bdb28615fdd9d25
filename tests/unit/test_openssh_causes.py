"""What ``ssh`` writes, as OpenSSH 9.2 was seen to write it, and the cause that is read from it."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from watchdogd.adapters.openssh_causes import end_of_link, failure, overdue
from watchdogd.adapters.openssh_said import Said
from watchdogd.adapters.ssh_resolve import plan_from
from watchdogd.core.words import Cause
from watchdogd.errors import Permanent
from watchdogd.settings import SshSettings

PLAN = plan_from(SshSettings(host="abc.com", port=8027, user="as", engine="openssh"), {})
CONNECTED = (
    "debug1: Connecting to abc.com [192.0.2.7] port 8027.",
    "debug1: Connection established.",
)
GREETED = (*CONNECTED, "debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1")
SHOWN = (*GREETED, "debug1: Server host key: ssh-ed25519 SHA256:rX150Loqva1")
KEYED = (*SHOWN, "debug1: SSH2_MSG_NEWKEYS received")
OFFERED = (*KEYED, "debug1: Offering public key: /home/u/my key ED25519 SHA256:kcgy explicit")
BY_AGENT = (*KEYED, "debug1: Offering public key: work ED25519-SK SHA256:kcgy agent")


def said(*lines: str) -> Said:
    heard = Said()
    for line in lines:
        heard.hear(line)
    return heard


@pytest.mark.parametrize(
    ("lines", "cause", "phase", "permanent", "reached"),
    [
        (("ssh: Could not resolve hostname abc.com: Name or service not known",),
         Cause.DNS, "resolve", False, False),
        (("ssh: connect to host abc.com port 8027: Connection refused",),
         Cause.SSHD_DOWN, "connect", False, False),
        (("ssh: connect to host abc.com port 8027: Broken pipe",),
         Cause.SSHD_REJECTS, "connect", False, True),
        (("ssh: connect to host abc.com port 8027: Network is unreachable",),
         Cause.OFFLINE, "connect", False, False),
        (("ssh: connect to host abc.com port 8027: No route to host",),
         Cause.HOST_UNREACHABLE, "connect", False, False),
        (("ssh: connect to host abc.com port 8027: Connection timed out",),
         Cause.HOST_UNREACHABLE, "connect", False, False),
        ((*CONNECTED, "Connection timed out during banner exchange", "Connection to abc.com port 8027 timed out"),
         Cause.HOST_UNREACHABLE, "banner", False, True),
        ((*CONNECTED, "kex_exchange_identification: Connection closed by remote host",
          "Connection closed by 192.0.2.7 port 8027"), Cause.SSHD_REJECTS, "banner", False, True),
        ((*CONNECTED, "debug1: kex_exchange_identification: banner line 0: Not allowed at this time",
          "kex_exchange_identification: Connection closed by remote host"),
         Cause.SSHD_REJECTS, "banner", False, True),
        ((*GREETED, "Connection closed by 192.0.2.7 port 8027"),
         Cause.HOST_UNREACHABLE, "host_key", False, True),
        ((*GREETED, "Received disconnect from 192.0.2.7 port 8027:11: Not now"),
         Cause.SSHD_REJECTS, "host_key", False, True),
        ((*GREETED, "Unable to negotiate with 192.0.2.7 port 8027: no matching host key type found."),
         Cause.SSHD_REJECTS, "banner", True, True),
        ((*SHOWN, "No ED25519 host key is known for [abc.com]:8027 and you have requested strict checking.",
          "Host key verification failed."), Cause.HOST_KEY, "host_key", True, True),
        ((*SHOWN, "The ED25519 host key for [abc.com]:8027 is marked as revoked.",
          "Host key verification failed."), Cause.HOST_KEY, "host_key", True, True),
        ((*SHOWN, "Host key verification failed."), Cause.HOST_KEY, "host_key", True, True),
        ((*OFFERED, "as@abc.com: Permission denied (publickey)."), Cause.AUTH, "auth", True, True),
        ((*OFFERED, "Received disconnect from 192.0.2.7 port 8027:2: Too many authentication failures"),
         Cause.AUTH, "auth", True, True),
        ((*OFFERED, 'Authenticated using "publickey" with partial success.',
          "as@abc.com: Permission denied (keyboard-interactive)."), Cause.AUTH, "auth", True, True),
        ((*OFFERED, "Connection closed by 192.0.2.7 port 8027"), Cause.AUTH, "auth", True, True),
        ((*KEYED, "Connection closed by 192.0.2.7 port 8027"), Cause.SSHD_REJECTS, "auth", False, True),
        ((*KEYED, "as@abc.com: Permission denied (password)."), Cause.AUTH, "auth", True, True),
        ((*BY_AGENT, 'sign_and_send_pubkey: signing failed for ED25519-SK "work" from agent: agent refused operation',
          "as@abc.com: Permission denied (publickey)."), Cause.AUTH, "auth", True, True),
        (("lookup of the VPN timed out", "ssh: connect to host abc.com port 8027: Connection refused"),
         Cause.SSHD_DOWN, "connect", False, False),  # a `Match exec` said the first
        ((*GREETED, "lookup timed out", "Received disconnect from 192.0.2.7 port 8027:11: Not now"),
         Cause.SSHD_REJECTS, "host_key", False, True),
        ((*KEYED, "Read from remote host abc.com: Operation timed out"),
         Cause.HOST_UNREACHABLE, "auth", False, True),
        ((*GREETED, "ssh_dispatch_run_fatal: Connection to 192.0.2.7 port 8027: Connection timed out"),
         Cause.HOST_UNREACHABLE, "host_key", False, True),
        (("/bin/sh: 1: nc: not found", "kex_exchange_identification: Connection closed by remote host"),
         Cause.HOST_UNREACHABLE, "resolve", False, False),
        ((), Cause.HOST_UNREACHABLE, "resolve", False, False),
    ],
)  # fmt: skip
def test_a_failed_dial(
    lines: tuple[str, ...], cause: Cause, phase: str, permanent: bool, reached: bool
) -> None:
    error = failure(PLAN, said(*lines))
    assert (error.cause, error.phase, error.reached) == (cause, phase, reached)
    assert isinstance(error, Permanent) is permanent


def test_the_first_complaint_is_the_answer_when_a_jump_host_fails() -> None:
    error = failure(
        PLAN,
        said(
            "channel 0: open failed: connect failed: Connection refused",
            "stdio forwarding failed",
            "kex_exchange_identification: Connection closed by remote host",
        ),
    )
    assert (error.cause, error.reached) == (Cause.SSHD_DOWN, False)
    denied = failure(
        PLAN,
        said("bob@bastion: Permission denied (publickey).", "kex_exchange_identification: x"),
    )
    assert denied.cause is Cause.AUTH
    assert "bob@bastion" in denied.detail
    shut = failure(PLAN, said("channel 0: open failed: administratively prohibited: open failed"))
    assert shut.cause is Cause.FORWARD_DENIED


def test_a_changed_host_key_names_both_and_the_command() -> None:
    lines = (
        *SHOWN,
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
        "SHA256:rX150Loqva1.",
        "Offending ED25519 key in /home/u/known hosts:3",
        "Host key for [abc.com]:8027 has changed and you have requested strict checking.",
        "Host key verification failed.",
    )
    error = failure(PLAN, said(*lines))
    assert "ssh-ed25519 SHA256:rX150Loqva1" in error.detail
    assert error.mend.startswith("ask whoever runs the server")
    assert error.mend.endswith("ssh-keygen -R '[abc.com]:8027' -f '/home/u/known hosts'")


def test_a_jump_host_s_changed_key_is_the_jump_host_s() -> None:
    lines = (
        "SHA256:abc.",
        "Offending ED25519 key in /k:1",
        "Host key for bastion has changed and you have requested strict checking.",
    )
    error = failure(replace(PLAN, first_hop="bastion"), said(*lines))
    assert "bastion changed: it shows SHA256:abc, and" in error.detail
    assert error.mend.endswith("ssh-keygen -R bastion -f /k")


EVIL = "x';touch${IFS}/tmp/pwned;'"
CHANGED = f"Host key for {EVIL} has changed and you have requested strict checking."


@pytest.mark.parametrize(
    "lines",
    [
        (f"Received disconnect from 192.0.2.7 port 8027:2: {CHANGED}",),
        ("Received disconnect from 192.0.2.7 port 8027:2: hello", CHANGED),
        ("Received disconnect from 192.0.2.7 port 8027:2: as@evil: Permission denied (publickey).",),
        ("Received disconnect from 192.0.2.7 port 8027:2: a", "as@evil: Permission denied (publickey)."),
        ("Received disconnect from 192.0.2.7 port 8027:2: ssh: Could not resolve hostname x",),
        ("Unable to negotiate with 192.0.2.7 port 8027: no match. Their offer: a", CHANGED),
        ("debug1: Remote: a", CHANGED, "Connection closed by 192.0.2.7 port 8027"),
        ('debug1: Server host certificate: x SHA256:x, serial 0 ID "a', CHANGED, "Connection closed by x"),
        (f"debug1: kex_exchange_identification: banner line 0: {CHANGED}",),
        ("debug1: kex_exchange_identification: banner line 0: as@evil: Permission denied (x)",),
        (f"Connection closed by {CHANGED}",),
        (f"Disconnected from {CHANGED}",),
    ],
)  # fmt: skip
def test_a_server_s_own_words_are_no_complaint_of_ssh(lines: tuple[str, ...]) -> None:
    error = failure(PLAN, said(*GREETED, *lines))
    assert error.cause in (Cause.SSHD_REJECTS, Cause.HOST_UNREACHABLE)
    assert error.mend == ""


def test_a_server_that_spoke_before_it_proved_itself_shows_no_fingerprint() -> None:
    words = ("debug1: Remote: a", "debug1: Server host key: ssh-ed25519 SHA256:faked", CHANGED)
    error = failure(PLAN, said(*GREETED, *words, *SHOWN[-1:], "Host key verification failed."))
    assert (error.cause, error.mend) == (Cause.HOST_KEY, "")
    assert "SHA256" not in error.detail


@pytest.mark.parametrize(
    "lie",
    [
        "ssh: connect to host 127.0.0.1 port 22: Connection refused",
        "as@evil: Permission denied (publickey).",
        CHANGED,
    ],
)
def test_a_server_that_pretends_to_be_verified_does_not_hide_its_key(lie: str) -> None:
    words = ("debug1: Remote: a", "debug1: SSH2_MSG_NEWKEYS received", lie)
    error = failure(PLAN, said(*GREETED, *words, *SHOWN, "Host key verification failed."))
    assert (error.cause, error.mend) == (Cause.HOST_KEY, "")
    assert "not verified" in error.detail
    assert "SHA256:faked" not in error.detail


def test_a_login_banner_cannot_doubt_the_host_key() -> None:
    back = "debug1: Connecting to abc.com [192.0.2.7] port 8027."
    error = failure(PLAN, said(*KEYED, back, CHANGED, "Host key verification failed."))
    assert (error.cause, error.phase) == (Cause.SSHD_REJECTS, "auth")


@pytest.mark.parametrize("name", [EVIL, "-oProxyCommand=x", "$(id)", "`id`", "a;b"])
def test_no_odd_name_stands_in_a_command(name: str) -> None:
    changed = failure(PLAN, said(CHANGED.replace(EVIL, name)))
    assert (changed.cause, changed.mend) == (
        Cause.HOST_KEY,
        "ask whoever runs the server for its new fingerprint",
    )
    for login in (f"as@{name}", f"{name}@bastion", name):
        denied = failure(PLAN, said(f"{login}: Permission denied (publickey)."))
        assert (denied.cause, denied.mend) == (Cause.AUTH, "")
    known = failure(replace(PLAN, host_key_alias=name), said(CHANGED.replace(EVIL, name)))
    assert shlex.split(known.mend.partition("shown: ")[2])[:3] == ["ssh-keygen", "-R", name]


def test_behind_a_jump_host_only_ssh_makes_a_host_known() -> None:
    unknown = "No ED25519 host key is known for abc.com and you have requested strict checking."
    plan = replace(PLAN, first_hop="bastion", alias="gpu")
    error = failure(plan, said(*SHOWN, unknown))
    assert error.mend == "ssh -o StrictHostKeyChecking=ask -p 8027 as@gpu true"
    refused = failure(plan, said(*OFFERED, "as@abc.com: Permission denied (publickey)."))
    assert refused.mend == "ssh-copy-id -i '/home/u/my key'.pub -p 8027 as@gpu"


@pytest.mark.parametrize(
    ("lines", "cause", "phase", "word"),
    [
        ((), Cause.HOST_UNREACHABLE, "resolve", "no connection to abc.com:8027 in time"),
        (CONNECTED, Cause.HOST_UNREACHABLE, "banner", "said nothing"),
        (GREETED, Cause.HOST_UNREACHABLE, "host_key", "key exchange"),
        (OFFERED, Cause.HOST_UNREACHABLE, "auth", "not answered"),
        ((*BY_AGENT, "debug1: Server accepts key: work ED25519-SK SHA256:kcgy agent"),
         Cause.AUTH, "auth", "the agent did not sign with work"),
        ((*OFFERED, "debug1: Server accepts key: /home/u/my key ED25519-SK SHA256:kcgy explicit",
          "Confirm user presence for key ED25519-SK SHA256:kcgy"), Cause.AUTH, "auth", "nobody touched"),
        ((*OFFERED, "debug1: Server accepts key: /home/u/my key ED25519 SHA256:kcgy explicit"),
         Cause.HOST_UNREACHABLE, "auth", "not answered"),
    ],
)  # fmt: skip
def test_a_dial_that_does_not_end(
    lines: tuple[str, ...], cause: Cause, phase: str, word: str
) -> None:
    error = overdue(PLAN, said(*lines))
    assert (error.cause, error.phase) == (cause, phase)
    assert word in error.detail


def test_refused_channels_are_numbered_with_their_reasons() -> None:
    heard = said('Authenticated to abc.com ([192.0.2.7]:8027) using "publickey".')
    before = heard.refused()
    for line in (
        "debug1: channel_connect_stdio_fwd: 127.0.0.1:9000",
        "debug1: channel 2: new stdio-forward [stdio-forward] (inactive timeout: 0)",
        "debug1: channel 4: new session [client-session] (inactive timeout: 0)",
        "channel 4: open failed: connect failed: open failed",
        "channel 2: open failed: connect failed: Connection refused",
    ):
        heard.hear(line)
    assert heard.refused_since(before, "127.0.0.1:9000") == ("connect failed: Connection refused",)
    assert heard.refused_since(before, "session") == ("connect failed: open failed",)
    assert heard.refused_since(heard.refused(), "session") == ()
    heard.hear("channel 7: open failed: an older ssh does not tell where to")
    assert heard.refused_since(before + 2, "session")
    assert heard.lines == ()
    for _ in range(1000):
        heard.hear("channel 2: open failed: administratively prohibited: open failed")
    assert heard.refused() == 1003
    assert len(heard.refusals) < 100


def test_what_ssh_counts_at_its_end_is_no_reason() -> None:
    counted = (
        "Transferred: sent 3124, received 2872 bytes, in 0.6 seconds",
        "Bytes per second: sent 5472.0, received 1774.3",
    )
    assert end_of_link(said(*counted)) == "the connection ended"
    assert end_of_link(said("Broken pipe", *counted)) == "Broken pipe"


def test_what_is_kept_is_bounded_and_printable() -> None:
    heard = said(*("x" * 100_000 for _ in range(100)), "\x1b[31mred", "Broken pipe")
    assert sum(map(len, heard.lines)) <= 8192
    assert heard.lines[-2:] == ("[31mred", "Broken pipe")
    assert end_of_link(heard) == "Broken pipe"
    assert end_of_link(Said()) == "the connection ended"
