"""What a new configuration asks for: only what changed is touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watchdogd.adapters.ssh_resolve import SshPlan
from watchdogd.app.changes import Changes, compare, impossible
from watchdogd.core.words import Kind, Mode
from watchdogd.settings import (
    Address,
    AgentSettings,
    ForwardSettings,
    HealSettings,
    NotifySettings,
    ProbeSettings,
    RuntimeSettings,
    Secret,
    Settings,
    SshSettings,
    TargetSettings,
)

PLAN = SshPlan(
    alias="a",
    host="a",
    port=22,
    user="u",
    identity_files=(),
    identity_required=False,
    identities_only=False,
    use_agent=True,
    known_hosts=(),
)
TARGET = TargetSettings(
    name="a", ssh=SshSettings(host="a"), runtime=RuntimeSettings(kind=Kind.EXTERNAL)
)
OTHER = replace(TARGET, name="b", forward=ForwardSettings(local=Address("127.0.0.1", 9001)))
BEFORE = Settings(agent=AgentSettings(), targets={"a": TARGET, "b": OTHER})


def changes(after: Settings, plans: dict[str, SshPlan] | None = None) -> Changes:
    both = {name: PLAN for name in (*BEFORE.targets, *after.targets)}
    return compare(BEFORE, after, both, both | (plans or {}))


def with_a(**fields: object) -> Settings:
    return replace(BEFORE, targets={"a": replace(TARGET, **fields), "b": OTHER})  # type: ignore[arg-type]


def test_other_people_to_tell_is_a_change_of_its_own() -> None:
    told = replace(BEFORE, notify=NotifySettings(heartbeat_url=Secret("https://x/secret")))
    assert changes(told) == Changes(notify=True)
    assert str(changes(told)) == "whom to tell"


def test_the_same_is_no_change() -> None:
    assert not changes(replace(BEFORE, files=("elsewhere.toml",)))
    assert str(changes(BEFORE)) == "nothing that matters here"


@pytest.mark.parametrize(
    "fields",
    [
        {"ssh": SshSettings(host="elsewhere")},
        {"ssh": SshSettings(host="a", keepalive=1.0)},
        {"forward": ForwardSettings(local=Address("127.0.0.1", 9009))},
        {"forward": ForwardSettings(remote=Address("127.0.0.1", 9009))},
        {"runtime": RuntimeSettings(kind=Kind.CONTAINER)},  # more sessions of the link
    ],
)
def test_another_tunnel_is_built_anew_and_no_other(fields: dict[str, object]) -> None:
    assert changes(with_a(**fields)) == Changes(rebuilt=("a",))


def test_another_answer_of_ssh_is_another_tunnel() -> None:
    assert changes(BEFORE, {"b": replace(PLAN, port=2222)}) == Changes(rebuilt=("b",))


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": Mode.OBSERVE},
        {"forward": ForwardSettings(hold=1.0)},
        {"forward": ForwardSettings(objective=60.0)},
        {"probe": ProbeSettings(interval=60.0)},
        {"heal": HealSettings(cooldown=60.0)},
    ],
)
def test_other_numbers_leave_the_tunnel(fields: dict[str, object]) -> None:
    assert changes(with_a(**fields)) == Changes(retuned=("a",))


def test_another_runtime_leaves_the_tunnel() -> None:
    runtime = RuntimeSettings(kind=Kind.SESSION)
    assert changes(with_a(runtime=runtime, mode=Mode.OBSERVE)) == Changes(redefined=("a",))


def test_targets_come_and_go() -> None:
    new = replace(OTHER, name="c")
    found = changes(replace(BEFORE, targets={"a": TARGET, "c": new}))
    assert found == Changes(added=("c",), removed=("b",))
    assert str(found) == "added: c; removed: b"


def test_the_agents_own_settings() -> None:
    listen = replace(BEFORE, agent=AgentSettings(listen=Address("127.0.0.1", 1)))
    hosts = replace(BEFORE, agent=AgentSettings(allowed_hosts=("laptop",)))
    level = replace(BEFORE, agent=AgentSettings(log_level="debug"))
    assert (changes(listen), changes(hosts)) == (Changes(listen=True), Changes(listen=True))
    assert changes(level) == Changes(agent=True)
    assert (impossible(BEFORE, listen), impossible(BEFORE, level)) == ((), ())


def test_the_state_folder_cannot_be_changed_under_a_running_agent() -> None:
    moved = replace(BEFORE, agent=AgentSettings(state_dir="/elsewhere"), files=("c.toml",))
    (problem,) = impossible(BEFORE, moved)
    assert (problem.file, problem.key) == ("c.toml", "agent.state_dir")
    assert "restart" in problem.allowed
