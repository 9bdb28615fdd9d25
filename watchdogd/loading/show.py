"""The way back: a whole configuration as TOML, defaults included, secrets never."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from watchdogd.loading.urls import secrets_of
from watchdogd.loading.values import duration_text, size_text
from watchdogd.settings import ContainerSettings, Secret, Settings, TargetSettings

_SECRET_NAME = re.compile(r"token|secret|passw|key|credential|auth", re.IGNORECASE)

_SECRET_ARGUMENT = re.compile(r"((?:token|secret|passw\w*|api_?key)=)[^\s'\"]+", re.IGNORECASE)
"""As in ``jupyter lab --IdentityProvider.token=...``."""


def config_secrets(settings: Settings) -> tuple[Secret, ...]:
    """Texts of the configuration that must not reach a log: values of variables with a telling name, and the
    address of the heartbeat."""
    containers = [target.runtime.container for target in settings.targets.values()]
    beat = settings.notify.heartbeat_url
    return tuple(
        Secret(value)
        for container in containers
        if container is not None
        for name, value in container.env.items()
        if value and _SECRET_NAME.search(name)
    ) + (secrets_of(beat) if beat is not None else ())


def as_toml(settings: Settings) -> str:
    """The effective configuration. It can be loaded again, but for masked values of variables
    and arguments, and the address of the heartbeat."""
    agent = settings.agent
    lines = [
        "[agent]",
        _line("listen", str(agent.listen)),
        _line("allow_remote", agent.allow_remote),
        _line("allowed_hosts", agent.allowed_hosts),
        _line("canaries", tuple(str(page) for page in agent.canaries)),
        _line("state_dir", agent.state_dir),
        _line("log_format", agent.log_format),
        _line("log_level", agent.log_level),
    ]
    notify = settings.notify
    lines += [
        "",
        "[notify]",
        _line("urls_file", notify.urls_file or ""),
        _line("urls_command", tuple(_masked(word) for word in notify.urls_command)),
        _line("heartbeat_url", "***" if notify.heartbeat_url is not None else ""),
    ]
    for target in settings.targets.values():
        lines.extend(_target(target))
    return "\n".join(lines) + "\n"


def _target(target: TargetSettings) -> Iterator[str]:
    ssh, forward, runtime = target.ssh, target.forward, target.runtime
    table = f"targets.{target.name}"
    yield from ("", f"[{table}]", _line("mode", str(target.mode)))
    yield from ("", f"[{table}.ssh]", _line("host", ssh.host))
    for name in ("port", "user", "identity_file", "known_hosts"):
        value = getattr(ssh, name)
        yield f"# {name}: as ssh itself has it" if value is None else _line(name, value)
    yield _line("engine", ssh.engine)
    yield _time("keepalive", ssh.keepalive)
    yield from ("", f"[{table}.forward]", _line("local", str(forward.local)))
    yield from (_line("remote", str(forward.remote)), _time("hold", forward.hold))
    yield _time("objective", forward.objective)
    yield from ("", f"[{table}.runtime]", _line("kind", str(runtime.kind)))
    yield _line("token_file", runtime.token_file or "")
    yield _line("compatibility", "jupyter")
    if runtime.container is not None:
        yield from _container(f"{table}.runtime.container", runtime.container)
    if runtime.kind != "external":
        yield from ("", f"[{table}.runtime.session]", _line("name", runtime.session.name))
        yield _line("command", _masked(runtime.session.command))
    yield from _times(target)


def _container(table: str, container: ContainerSettings) -> Iterator[str]:
    yield from ("", f"[{table}]", _line("name", container.name) if container.name else _NO_NAME)
    yield from (_line("image", container.image), _line("publish", str(container.publish)))
    yield from (_line("gpus", container.gpus), _line("volumes", container.volumes))
    yield from (
        _line("command", tuple(_masked(word) for word in container.command)),
        _line("shm_size", size_text(container.shm_size)),
    )
    if container.env:
        yield from ("", f"[{table}.env]")
    for name, value in sorted(container.env.items()):
        yield _line(name, "***" if _SECRET_NAME.search(name) else value)


def _masked(command: str) -> str:
    return _SECRET_ARGUMENT.sub(r"\1***", command)


_NO_NAME = "# name: watchdogd-TARGET when one must be created"


def _times(target: TargetSettings) -> Iterator[str]:
    probe, heal = target.probe, target.heal
    yield from ("", f"[targets.{target.name}.probe]", _time("interval", probe.interval))
    yield from (_time("suspect_interval", probe.suspect_interval), _time("timeout", probe.timeout))
    yield from ("", f"[targets.{target.name}.heal]", _time("hung_after", heal.hung_after))
    yield _line("destructive_per_6h", heal.destructive_per_6h)
    yield _line("destructive_per_24h", heal.destructive_per_24h)
    yield from (_time("cooldown", heal.cooldown), _time("start_grace", heal.start_grace))
    training = target.training
    yield from ("", f"[targets.{target.name}.training]")
    yield _line("progress_file", training.progress_file)
    yield from (_line("checkpoints", training.checkpoints), _line("log_file", training.log_file))
    yield _time("stall_after", training.stall_after)
    yield _line("resume_command", tuple(_masked(word) for word in training.resume_command))


def _time(name: str, seconds: float) -> str:
    return _line(name, duration_text(seconds))


def _line(name: str, value: str | int | tuple[str, ...]) -> str:
    # A JSON string, list, number or boolean without control characters is the same in TOML.
    shown = list(value) if isinstance(value, tuple) else value
    return f"{name} = {json.dumps(shown, ensure_ascii=False)}"
