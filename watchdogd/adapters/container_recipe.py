"""The container that ``create_container`` makes: the documented ``docker run``, as the engine's JSON.

``docker run --gpus=all -p 127.0.0.1:9000:8080 IMAGE`` plus what weeks without a person need: a name, a
label, the engine's restart policy, a pinned token, bounded logs. Pure.
"""

from __future__ import annotations

from typing import Any

from watchdogd.adapters.container_facts import LABEL
from watchdogd.settings import ContainerSettings

TOKEN_INSIDE = "/etc/watchdogd-token"  # noqa: S105 - the path of the file
LOG_OPTIONS = {"max-size": "50m", "max-file": "3"}
"""Probes and cells write for weeks."""


def recipe(target: str, wanted: ContainerSettings, token_path: str) -> dict[str, Any]:
    """The body of the engine's create request. ``token_path``: absolute, on the server."""
    inside = f"{wanted.publish.container_port}/tcp"
    env = {**wanted.env, "JUPYTER_TOKEN_FILE": TOKEN_INSIDE}
    config: dict[str, Any] = {
        "Image": wanted.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {LABEL: target},
        "ExposedPorts": {inside: {}},
        "HostConfig": _host(wanted, inside, token_path),
    }
    if wanted.command:
        config["Cmd"] = list(wanted.command)
    return config


def _host(wanted: ContainerSettings, inside: str, token_path: str) -> dict[str, Any]:
    address = wanted.publish.address
    return {
        "PortBindings": {inside: [{"HostIp": address.host, "HostPort": str(address.port)}]},
        # Not on-failure: the image's front proxy ends with status 0 also when it crashes.
        "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        "LogConfig": {"Type": "json-file", "Config": dict(LOG_OPTIONS)},
        "ShmSize": wanted.shm_size,
        "Binds": list(wanted.volumes),
        "Mounts": [_token_mount(token_path)],
        "DeviceRequests": _devices(wanted.gpus),
    }


def _token_mount(token_path: str) -> dict[str, Any]:
    """As ``--mount``, which refuses a missing file; ``-v`` would make a folder of that name."""
    return {"Type": "bind", "Source": token_path, "Target": TOKEN_INSIDE, "ReadOnly": True}


def _devices(gpus: str | tuple[str, ...]) -> list[dict[str, Any]]:
    """As ``--gpus``."""
    if gpus == "none":
        return []
    request: dict[str, Any] = {"Driver": "", "Capabilities": [["gpu"]], "Options": {}}
    if gpus == "all":
        return [{**request, "Count": -1}]
    return [{**request, "DeviceIDs": [gpus] if isinstance(gpus, str) else list(gpus)}]


def data_volumes(wanted: ContainerSettings) -> tuple[str, ...]:
    """The named volumes; a source that is a path belongs to the server's own files."""
    sources = (volume.partition(":")[0] for volume in wanted.volumes if ":" in volume)
    return tuple(source for source in sources if source and not source.startswith(("/", ".", "~")))
