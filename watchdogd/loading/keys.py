"""Every key of the configuration as data: what parses it, and the sentence that says what is allowed.

A key that is documented but that nothing reads yet stands here too, so that it is refused by name
instead of being read and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watchdogd.core.words import Kind, Mode
from watchdogd.loading import values as v
from watchdogd.loading.canaries import ALLOWED, canaries
from watchdogd.loading.paths import FileRule
from watchdogd.loading.urls import HEARTBEAT, heartbeat


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its parser, what it allows in words, and the rule for the file it names."""

    parse: v.Parser
    allowed: str
    file: FileRule | None = None


SHORTEST_PACE = 0.1
"""Seconds. Below it rounds follow each other without a rest, and no measurement ends in time."""


def _duration() -> Key:
    return Key(v.duration, v.DURATION)


def _pace() -> Key:
    return Key(v.duration_from(SHORTEST_PACE), v.DURATION)


def _loopback() -> Key:
    return Key(
        v.address(loopback=True), 'a loopback address and a port from 1 to 65535: "127.0.0.1:9000"'
    )


def _server_path() -> Key:
    return Key(
        v.matching(r"/[^\x00-\x1f\x7f]{0,1023}", empty=True),
        'an absolute path on the server or in the container: "/content/progress.json"',
    )


def _file(rule: FileRule) -> Key:
    return Key(v.matching(r".{0,4095}"), rule.value, rule)


AGENT: dict[str, Key] = {
    "listen": Key(
        v.address(loopback=False, any_port=True),
        'a literal address and port: "127.0.0.1:9788"; anything but loopback needs allow_remote = true',
    ),
    "allow_remote": Key(v.flag, "true or false"),
    "allowed_hosts": Key(
        v.each(r"[A-Za-z0-9\[][A-Za-z0-9.:\]_-]{0,254}"), "a list of host names without a path"
    ),
    "canaries": Key(canaries, ALLOWED),
    "state_dir": _file(FileRule.FOLDER),
    "log_format": Key(v.choice("auto", "console", "json"), '"auto", "console" or "json"'),
    "log_level": Key(
        v.choice("debug", "info", "warning", "error"), '"debug", "info", "warning" or "error"'
    ),
}

TARGET: dict[str, Key] = {
    "mode": Key(
        v.choice(*Mode),
        '"auto", "ask" or "observe"',
    ),
    "ssh.host": Key(
        v.host,
        "a host name, an address or a Host alias of ssh_config, without user and port",
    ),
    "ssh.port": Key(v.whole(1, 65535), "a port, 1 to 65535"),
    "ssh.user": Key(
        v.matching(r"[A-Za-z0-9_][A-Za-z0-9_.@+$-]{0,99}", empty=True), "a login name on the server"
    ),
    "ssh.identity_file": _file(FileRule.READABLE),
    "ssh.known_hosts": _file(FileRule.MAYBE),
    "ssh.engine": Key(
        v.choice("auto", "sshtunnel", "openssh"),
        '"auto", "sshtunnel" or "openssh"',
    ),
    "ssh.keepalive": _duration(),
    "forward.local": _loopback(),
    "forward.remote": Key(
        v.address(loopback=False), 'an address and port as seen on the server: "127.0.0.1:9000"'
    ),
    "forward.hold": _duration(),
    "forward.objective": _duration(),
    "runtime.kind": Key(v.choice(*Kind), '"container", "session" or "external"'),
    "runtime.token_file": _file(FileRule.SECRET),
    "runtime.compatibility": Key(
        v.choice("jupyter", unbuilt={"colab": "asking what Colab's front end asks"}), '"jupyter"'
    ),
    "runtime.container.name": Key(
        v.matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", empty=True),
        "a container name: two or more of letters, digits, _ . -, first a letter or digit",
    ),
    "runtime.container.image": Key(
        v.matching(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}"), 'an image name: "my-image:tag"'
    ),
    "runtime.container.publish": Key(
        v.publish, 'a loopback address, port and the container\'s port: "127.0.0.1:9000:8080"'
    ),
    "runtime.container.gpus": Key(v.gpus, '"all", "none" or a list of device ids'),
    "runtime.container.volumes": Key(
        v.each(r"[A-Za-z0-9/][^:]{0,511}:/[^:]{0,511}(:[a-zA-Z,]{1,40})?"),
        'a list of "source:/destination" or "source:/destination:ro"',
    ),
    "runtime.container.command": Key(v.texts, "a list of texts"),
    "runtime.container.shm_size": Key(v.size, v.SIZE),
    "runtime.session.name": Key(
        v.matching(r"([A-Za-z0-9_][A-Za-z0-9_-]{0,63})?"),
        "a tmux session name: letters, digits, _ and -, at most 64 (no . and no :)",
    ),
    "runtime.session.command": Key(v.text, "a command line for the server's shell"),
    "probe.interval": _pace(),
    "probe.suspect_interval": _pace(),
    "probe.timeout": _pace(),
    "heal.hung_after": _duration(),
    "heal.destructive_per_6h": Key(v.whole(0, 100), "a whole number, 0 to 100"),
    "heal.destructive_per_24h": Key(v.whole(0, 400), "a whole number, 0 to 400"),
    "heal.cooldown": _duration(),
    "heal.start_grace": _duration(),
    "training.progress_file": _server_path(),
    "training.checkpoints": _server_path(),
    "training.log_file": _server_path(),
    "training.stall_after": _duration(),
    "training.resume_command": Key(v.texts, FileRule.PROGRAM.value, FileRule.PROGRAM),
}

ENV = "runtime.container.env"
"""The one open table of a target: its keys are names of environment variables."""
ENV_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
ENV_TOKEN = frozenset({"JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"})
"""The agent pins the token itself; a second one here would win or lose silently."""

NOTIFY: dict[str, Key] = {
    "urls_file": _file(FileRule.SECRET),
    "urls_command": Key(v.texts, FileRule.PROGRAM.value, FileRule.PROGRAM),
    "heartbeat_url": Key(heartbeat, HEARTBEAT),
}

TARGET_NAME = r"[a-z0-9][a-z0-9_-]{0,31}"


def sections(keys: Mapping[str, Key]) -> frozenset[str]:
    """The dotted names of the tables that these keys stand in."""
    dotted = [*keys, f"{ENV}."] if keys is TARGET else list(keys)
    found = set[str]()
    for name in dotted:
        parts = name.split(".")[:-1]
        found.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return frozenset(found)
