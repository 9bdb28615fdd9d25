"""Causes that no remedy helps against, in sentences: what that means, what ends it, what a person can do.

In the flow: ``answer`` tells these where the ladder of a cause is empty. Without their first capital and
full stop.
"""

from __future__ import annotations

from typing import NamedTuple

from watchdogd.core.words import Cause


class Unaided(NamedTuple):
    """The three sentences of one cause."""

    says: str
    then: str
    yours: str


_LOOKS = "it goes on looking"
_NO_NETWORK = Unaided(
    "this laptop has no network: nothing is known of the server, and nothing there is touched",
    "yes, as soon as the network is back: it connects again, and judges anew",
    "see to the network of this laptop (Wi-Fi, cable, VPN)",
)
UNAIDED: dict[Cause, Unaided] = {
    Cause.OFFLINE: _NO_NETWORK,
    Cause.CAPTIVE_PORTAL: Unaided(
        "this Wi-Fi answers in everybody's place until somebody logs in to it (a captive portal): nothing "
        "is known of the server, nothing there is touched, and no key that was shown here is believed",
        "yes, once the portal lets this laptop through: that is looked for every 15 s; then it connects "
        "again, and judges anew",
        "open a browser and log in to this Wi-Fi, or take another network",
    ),
    Cause.HOST_KEY: Unaided(
        "the server's SSH host key is not one that this laptop trusts, so watchdogd does not connect, "
        "and the runtime was not looked at",
        "never: a person has to settle the host key; it connects once known_hosts or the "
        "configuration was changed",
        "ask whoever runs the server for its fingerprint, and compare it with the one shown before you "
        "accept it: it may be another machine",
    ),
    Cause.FORWARD_DENIED: Unaided(
        "the server's sshd forbids to forward to the runtime's port",
        f"never: a person has to allow it; {_LOOKS}, and works once that is done",
        "allow it on the server, or ask whoever runs it",
    ),
    Cause.PORT_CONFLICT: Unaided(
        "the local port of the forward is another program's, which is left alone",
        "yes, once that port is free: it is tried again and again",
        "set another port (forward.local) in the configuration, or end that program, if it is not the "
        "runtime itself",
    ),
    Cause.WRONG_SERVER: Unaided(
        "what answers there is not the configured runtime, and is left alone",
        f"never, while that answers; {_LOOKS}",
        "see what runs on that port of the server, or correct forward.remote in the configuration",
    ),
    Cause.CONTAINER_AMBIGUOUS: Unaided(
        "several containers could be meant, and none is touched on a guess",
        f"never, while there are several; {_LOOKS}",
        "name the one that is meant in the configuration, or remove the others",
    ),
    Cause.CONTAINER_ENGINE_DOWN: Unaided(
        "the container engine on the server does not answer, and watchdogd never starts it",
        "yes, once the engine is back: then it looks at the container, and judges anew",
        "start the engine on the server, or ask whoever runs it",
    ),
    Cause.CONTAINER_PAUSED: Unaided(
        "the container is paused (docker pause), and watchdogd does not undo that",
        f"never: who paused it has to go on with it; {_LOOKS}",
        "ask who paused it, or unpause it on the server",
    ),
    Cause.CONTAINER_RESTARTING: Unaided(
        "the container engine is restarting the container by its own policy, and is left to that",
        f"yes, if the engine succeeds; {_LOOKS}",
        "find out why it ends again and again, from the container's log (docker logs)",
    ),
    Cause.DISK_FULL: Unaided(
        "the server's disk is full, and watchdogd deletes nothing",
        f"yes, once there is room on it, whoever makes it; {_LOOKS}",
        "free disk space on the server",
    ),
    Cause.TRAINING_STALLED: Unaided(
        "the runtime works, but the training makes no progress; that alone ends nothing",
        f"never: a person decides; {_LOOKS}",
        "look at the training: its log, its progress file, its GPU",
    ),
}


def unaided(cause: Cause | None, detail: str, mend: str) -> Unaided:
    """Of any cause, with what was found (``detail``) and whether a command is known that mends it."""
    known = UNAIDED.get(cause) if cause is not None else None
    if known is None:
        known = Unaided(
            f"watchdogd has no remedy for {cause}",
            f"never by an act of watchdogd; {_LOOKS}, and goes on once the cause is gone",
            "find and mend the cause: what was seen of it stands below",
        )
    found = f" ({detail})" if detail else ""
    return Unaided(
        known.says + found, known.then, known.yours + ("; the command stands below" if mend else "")
    )
