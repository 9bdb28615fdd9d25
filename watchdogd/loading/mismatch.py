"""Settings that are each allowed and do not fit each other: a warning each, as a server may be special."""

from __future__ import annotations

import re
from collections.abc import Iterator

from watchdogd.core.words import Kind
from watchdogd.settings import Settings, TargetSettings

_JUPYTER = re.compile(r"\bjupyter(?:-|\s)")
_JUPYTER_PORT = 8888
"""Its own default."""
_PORT = re.compile(r"--(?:\w+\.)?port[=\s]\s*['\"]?(\d{1,5})")
_TOKEN = re.compile(r"--(?:\w+\.)?(?:token|password)[=\s]")


def mismatches(settings: Settings) -> tuple[str, ...]:
    """One sentence each, with the keys to change; empty if all fits."""
    found: list[str] = []
    for target in settings.targets.values():
        found.extend(f"targets.{target.name}: {text}" for text in _alone(target))
    return (*found, *_together(settings))


def _alone(target: TargetSettings) -> Iterator[str]:
    if target.runtime.kind is Kind.SESSION:
        yield from _command(target)
    probe, heal = target.probe, target.heal
    if probe.suspect_interval > probe.interval:
        yield (
            "probe.suspect_interval is longer than probe.interval: a fault would be looked at less "
            "often than health; lower it"
        )
    if heal.destructive_per_6h > heal.destructive_per_24h:
        yield (
            f"heal.destructive_per_6h {heal.destructive_per_6h} is more than "
            f"heal.destructive_per_24h {heal.destructive_per_24h} allows; the lower one counts"
        )


def _command(target: TargetSettings) -> Iterator[str]:
    """Of ``runtime.session.command``: where it listens, and whose token it has."""
    command, remote = target.runtime.session.command, target.forward.remote
    ports = {int(port) for port in _PORT.findall(command)}
    if ports and remote.port not in ports:
        said = ", ".join(str(port) for port in sorted(ports))
        yield (
            f"runtime.session.command says port {said}, and the forward leads to {remote.port}: "
            f"nothing would answer there; write --port={remote.port}, or change forward.remote"
        )
    elif not ports and _JUPYTER.search(command) and remote.port != _JUPYTER_PORT:
        yield (
            f"runtime.session.command names no port, so Jupyter takes {_JUPYTER_PORT}, and the "
            f"forward leads to {remote.port}; add --port={remote.port} --ServerApp.port_retries=0"
        )
    if _TOKEN.search(command):
        yield (
            "runtime.session.command sets a token or password, which stands in the file and in the "
            "server's process list; leave it out: the agent makes one, or takes runtime.token_file"
        )


def _together(settings: Settings) -> Iterator[str]:
    """Two targets that would repair one and the same thing."""
    owners: dict[tuple[object, ...], str] = {}
    for target in settings.targets.values():
        for key, what in _claims(target):
            first = owners.setdefault(key, target.name)
            if first != target.name:
                yield f"targets.{target.name}: {what} is that of targets.{first}, on the same server"


def _claims(target: TargetSettings) -> Iterator[tuple[tuple[object, ...], str]]:
    """What is the target's own on its server, and the keys that say so."""
    server = (target.ssh.host, target.ssh.port, target.ssh.user)
    remote, runtime = target.forward.remote, target.runtime
    if runtime.kind is Kind.EXTERNAL:
        return  # it is only looked at
    yield (*server, "port", remote), f"forward.remote {remote}"
    if runtime.session.name:
        name = runtime.session.name
        yield (*server, "session", name), f'runtime.session.name "{name}"'
    if runtime.container is not None and runtime.container.name:
        name = runtime.container.name
        yield (*server, "container", name), f'runtime.container.name "{name}"'
