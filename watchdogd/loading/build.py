"""From values to frozen settings, and the rules that tie several keys together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from watchdogd.core.words import Kind, Mode
from watchdogd.errors import Problem
from watchdogd.loading.keys import ENV
from watchdogd.loading.paths import state_folder
from watchdogd.loading.table import Table
from watchdogd.settings import (
    Address,
    AgentSettings,
    ContainerSettings,
    ForwardSettings,
    HealSettings,
    NotifySettings,
    ProbeSettings,
    Publish,
    RuntimeSettings,
    SessionSettings,
    SshSettings,
    TargetSettings,
    TrainingSettings,
)

_Record = TypeVar("_Record")
_IMAGE = 'an image name: "my-image:tag"'


def agent_settings(
    table: Table, environ: Mapping[str, str], problems: list[Problem]
) -> AgentSettings:
    """``[agent]``; a listener that others can reach needs ``allow_remote``."""
    values = dict(table.values)
    values["state_dir"] = values.get("state_dir") or state_folder(environ)
    agent = AgentSettings(**values)  # type: ignore[arg-type] # the table of keys names the fields
    if not agent.allow_remote and not _loopback(agent.listen):
        problems.append(
            _problem(
                table,
                "listen",
                ("agent",),
                f"{agent.listen}, which other machines can reach",
                "a loopback address, or allow_remote = true beside it",
            )
        )
    return agent


def notify_settings(table: Table, problems: list[Problem]) -> NotifySettings:
    """``[notify]``; the addresses stand in one place."""
    values = {name: value for name, value in table.values.items() if value is not None}
    notify = NotifySettings(**values)  # type: ignore[arg-type] # the table of keys names the fields
    if notify.urls_file and notify.urls_command:
        found, allowed = "a command beside urls_file", "one of the two"
        problems.append(_problem(table, "urls_command", ("notify",), found, allowed))
    return notify


def target_settings(
    name: str, file: str, table: Table, problems: list[Problem]
) -> TargetSettings | None:
    """``[targets.NAME]`` with ``[defaults]`` below it; ``None`` if what is required is missing."""
    at = ("targets", name)
    before = len(problems)
    kind = Kind(str(table.values.get("runtime.kind", Kind.CONTAINER)))
    if "runtime.kind" not in table.refused:
        _kind_rules(table, kind, at, file, problems)
    if "ssh.host" not in table.values and "ssh.host" not in table.refused:
        allowed = (
            'required: a host name, an address or a Host alias of ssh_config: "gpu.example.org"'
        )
        problems.append(Problem(file, f"targets.{name}.ssh.host", "nothing", allowed))
    if "ssh.host" not in table.values or (
        kind is Kind.CONTAINER and "runtime.container.image" not in table.values
    ):
        return None
    target = TargetSettings(
        name=name,
        mode=Mode(str(table.values.get("mode", Mode.AUTO))),
        ssh=_section(SshSettings, "ssh", table),
        forward=_section(ForwardSettings, "forward", table),
        runtime=_runtime(kind, table),
        probe=_section(ProbeSettings, "probe", table),
        heal=_section(HealSettings, "heal", table),
        training=_section(TrainingSettings, "training", table),
    )
    _publish_rule(target, table, at, problems)
    return target if len(problems) == before else None


def _section(record: type[_Record], section: str, table: Table) -> _Record:
    fields: dict[str, Any] = {}
    for name, value in table.values.items():
        parent, _, key = name.rpartition(".")
        if parent == section and value is not None and key != "compatibility":
            fields[key] = value
    return record(**fields)


def _runtime(kind: Kind, table: Table) -> RuntimeSettings:
    token_file = table.values.get("runtime.token_file")
    return RuntimeSettings(
        kind=kind,
        token_file=str(token_file) if token_file else None,
        container=_container(table) if kind is Kind.CONTAINER else None,
        session=_section(SessionSettings, "runtime.session", table),
    )


def _container(table: Table) -> ContainerSettings:
    remote = _section(ForwardSettings, "forward", table).remote
    env = {
        name.removeprefix(f"{ENV}."): str(value)
        for name, value in table.values.items()
        if name.startswith(f"{ENV}.")
    }
    values = {"runtime.container.env": env, **table.values}
    # The container's port follows the forward unless it is said otherwise.
    follows = Publish(address=Address("127.0.0.1", remote.port), container_port=8080)
    values.setdefault("runtime.container.publish", follows)
    return _section(ContainerSettings, "runtime.container", Table(values=values))


def _kind_rules(
    table: Table, kind: Kind, at: tuple[str, ...], file: str, problems: list[Problem]
) -> None:
    prefix = ".".join(at)
    image, command, session = (
        "runtime.container.image",
        "runtime.session.command",
        "runtime.session.name",
    )
    if kind is Kind.CONTAINER and image not in table.values and image not in table.refused:
        problems.append(Problem(file, f"{prefix}.{image}", "nothing", f"required: {_IMAGE}"))
    if kind is Kind.SESSION and not table.values.get(command) and command not in table.refused:
        allowed = 'required with kind = "session": the command line that starts the runtime'
        problems.append(Problem(file, f"{prefix}.{command}", "nothing", allowed))
    if kind is Kind.SESSION and table.values.get(session) == "":
        problems.append(_problem(table, session, at, "nothing", 'a name, with kind = "session"'))
    if kind is Kind.CONTAINER and table.values.get(command):
        problems.append(
            _problem(table, command, at, "a command", 'only with runtime.kind = "session"')
        )
    useless = {
        Kind.CONTAINER: (),
        Kind.SESSION: ("runtime.container.",),
        Kind.EXTERNAL: ("runtime.container.", "runtime.session."),
    }[kind]
    # What [defaults] says is for the targets that have a use for it; what a target says itself is meant.
    allowed = f'nothing here: runtime.kind is "{kind}" and reads no such key'
    problems.extend(
        _problem(table, name, at, "a value", allowed)
        for name in sorted(table.own & set(table.values))
        if name.startswith(useless)
    )


def _publish_rule(
    target: TargetSettings, table: Table, at: tuple[str, ...], problems: list[Problem]
) -> None:
    container, remote = target.runtime.container, target.forward.remote
    key = "runtime.container.publish"
    if container is None or {key, "forward.remote"} & table.refused:
        return
    if container.publish.address.port != remote.port:
        problems.append(
            _problem(
                table,
                key,
                at,
                f"port {container.publish.address.port}",
                f"port {remote.port}, as in forward.remote: that is where the forward leads",
            )
        )


def shared_ports(
    tables: Mapping[str, Table], agent: AgentSettings, problems: list[Problem]
) -> None:
    """Each local port has one owner: two targets, or a target and the agent's own page, cannot share."""
    owners: dict[Address, str] = {agent.listen: "agent.listen"}
    for name, table in tables.items():
        if "forward.local" in table.refused:
            continue
        local = _section(ForwardSettings, "forward", table).local
        if local in owners:
            found = f"{local}, which {owners[local]} has already"
            allowed = f'a port of its own: "127.0.0.1:{local.port % 65535 + 1}"'
            problems.append(_problem(table, "forward.local", ("targets", name), found, allowed))
        owners.setdefault(local, f"targets.{name}.forward.local")


def _problem(table: Table, key: str, at: tuple[str, ...], found: str, allowed: str) -> Problem:
    leaf = table.origin.get(key)
    where = ".".join(leaf.path) if leaf else ".".join((*at, key))
    return Problem(leaf.file if leaf else table.file, where, found, allowed)


def _loopback(address: Address) -> bool:
    return address.host == "::1" or address.host.startswith("127.")
