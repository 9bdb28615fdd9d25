"""The demo's own configuration file: private places, free ports, shortened durations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from watchdogd.core.words import Kind
from watchdogd.demo.sight import LOOPBACK

TARGET = "demo"

SHORTENED: Mapping[str, tuple[str, str]] = {
    "ssh.keepalive": ("1s", "5s"),
    "probe.interval": ("2s", "15s"),
    "probe.suspect_interval": ("500ms", "5s"),
    "probe.timeout": ("1500ms", "10s"),
    "heal.hung_after": ("6s", "10m"),
    "heal.cooldown": ("5s", "30m"),
    "heal.start_grace": ("30s", "5m"),
}
"""Key -> (value here, default). Everything else that waits in the agent follows from these."""

ENDURANCE: Mapping[str, tuple[int, int]] = {
    "heal.destructive_per_6h": (100, 2),
    "heal.destructive_per_24h": (400, 3),
}
"""With ``--for``: the budget of destructive repairs would end the play after two of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What the file has to name."""

    state_dir: str
    metrics_port: int
    local_port: int
    remote_port: int
    ssh_port: int
    user: str
    identity_file: str
    known_hosts: str
    token_file: str
    kind: Kind
    session: str = ""
    command: str = ""
    endurance: bool = False


def text(places: Places) -> str:
    """The whole TOML file."""
    target: dict[str, object] = {
        "ssh.host": LOOPBACK,
        "ssh.port": places.ssh_port,
        "ssh.user": places.user,
        "ssh.identity_file": places.identity_file,
        "ssh.known_hosts": places.known_hosts,
        "forward.local": f"{LOOPBACK}:{places.local_port}",
        "forward.remote": f"{LOOPBACK}:{places.remote_port}",
        "runtime.kind": str(places.kind),
        "runtime.token_file": places.token_file,
    }
    if places.kind is Kind.SESSION:
        target |= {
            "runtime.session.name": places.session,
            "runtime.session.command": places.command,
        }
    target |= {key: here for key, (here, _) in SHORTENED.items()}
    if places.endurance:
        target |= {key: here for key, (here, _) in ENDURANCE.items()}
    agent = {
        "listen": f"{LOOPBACK}:{places.metrics_port}",
        "state_dir": places.state_dir,
        "log_format": "json",
    }
    head = "# Made by `watchdogd demo`. Durations are far too short for real work.\n"
    return head + _table("agent", agent) + _table(f"targets.{TARGET}", target)


def _table(name: str, values: Mapping[str, object]) -> str:
    # What JSON writes for a string or a number is TOML as well.
    lines = (f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "\n".join((f"\n[{name}]", *lines, ""))


def spoken(*, endurance: bool) -> str:
    """One sentence for people: what differs from the defaults."""
    pairs = [f"{key} {here} (default {usual})" for key, (here, usual) in SHORTENED.items()]
    if endurance:
        pairs += [f"{key} {here} (default {usual})" for key, (here, usual) in ENDURANCE.items()]
    return "Shortened for this demonstration: " + ", ".join(pairs)
