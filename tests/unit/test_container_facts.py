"""What the engine's answers mean, and what we ask it to make."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from watchdogd.adapters.container_facts import (
    Binding,
    Ending,
    Row,
    agreed_version,
    bindings,
    clean,
    ending,
    meant,
    moment,
    policy_at_work,
    proper_name,
    rows,
    sight,
)
from watchdogd.adapters.container_recipe import data_volumes, recipe
from watchdogd.core.words import ContainerStatus
from watchdogd.ports import ContainerAmbiguous
from watchdogd.settings import Address, ContainerSettings, Publish

PUBLISH = Publish(address=Address("127.0.0.1", 9000), container_port=8080)
WANTED = ContainerSettings(image="colab", publish=PUBLISH)
ID = "c" * 64


def row(letter: str, status: ContainerStatus) -> Row:
    return Row(id=letter * 64, name=letter, label="", status=status)


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"ID": ID, "Attributes": attributes}}


# ---------------------------------------------------------------- which one

RUNNING = row("a", ContainerStatus.RUNNING)
PAUSED = row("b", ContainerStatus.PAUSED)
EXITED = row("c", ContainerStatus.EXITED)
OLDER = row("d", ContainerStatus.EXITED)
CREATED = row("e", ContainerStatus.CREATED)


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        ([], None, None),
        ([EXITED], None, EXITED),
        ([CREATED], None, CREATED),
        ([CREATED, RUNNING], None, RUNNING),
        ([CREATED, EXITED], None, EXITED),
        ([EXITED, RUNNING, OLDER], None, RUNNING),
        ([EXITED, PAUSED], None, PAUSED),
        ([EXITED, OLDER], OLDER.id, OLDER),
        ([EXITED, RUNNING], EXITED.id, RUNNING),
    ],
)
def test_the_one_that_is_meant(found: list[Row], known: str | None, expected: Row | None) -> None:
    assert meant(found, known) == expected


@pytest.mark.parametrize(
    ("found", "known"),
    [([EXITED, OLDER], None), ([EXITED, OLDER], "f" * 64), ([RUNNING, PAUSED], None)],
)
def test_several_are_named_and_none_is_guessed(found: list[Row], known: str | None) -> None:
    with pytest.raises(ContainerAmbiguous) as several:
        meant(found, known)
    assert several.value.names == tuple(sorted(item.name for item in found))


@pytest.mark.parametrize(
    ("host", "port", "inside", "covers", "equals"),
    [
        ("127.0.0.1", "9000", "8080/tcp", True, True),
        ("0.0.0.0", "9000", "8080/tcp", True, False),
        ("", "9000", "8080/tcp", True, False),
        ("10.0.0.1", "9000", "8080/tcp", False, False),
        ("127.0.0.1", "9001", "8080/tcp", False, False),
        ("127.0.0.1", "9000", "9000/tcp", False, False),
        ("127.0.0.1", "9000", "8080/udp", False, False),
    ],
)
def test_whose_port_it_is(host: str, port: str, inside: str, covers: bool, equals: bool) -> None:
    binding = Binding(host, port, inside)
    assert (binding.covers(PUBLISH), binding.equals(PUBLISH)) == (covers, equals)


@pytest.mark.parametrize(
    "answer",
    [None, "x", {}, [None], [{}], [{"Id": 5}], [{"Id": "../x"}], [{"Id": "ABC" * 20}]],
)
def test_a_list_that_is_garbage_has_no_containers(answer: object) -> None:
    assert rows(answer) == ()


def test_fields_of_the_wrong_shape_are_absent() -> None:
    (found,) = rows([{"Id": ID, "Names": "x", "Labels": [], "State": "flying"}])
    assert found == Row(id=ID, name=ID[:12], label="", status=None)
    assert bindings({"HostConfig": {"PortBindings": {"8080/tcp": [None, "x"], "1/tcp": None}}}) == (
        Binding("", "", "8080/tcp"),
        Binding("", "", "8080/tcp"),
    )


@pytest.mark.parametrize("name", ["/a; rm -rf /", "-rf", "a\nb", "", "/" + "x" * 200, "/../etc"])
def test_a_name_that_no_container_can_have_becomes_the_id(name: str) -> None:
    assert proper_name(name, ID) == ID[:12]


# ---------------------------------------------------------------- how it ended


@pytest.mark.parametrize(
    ("events", "person", "oom"),
    [
        ([], None, False),
        ([event("die")], False, False),
        ([event("kill", signal="15"), event("die"), event("stop")], True, False),
        ([event("kill", signal="9"), event("die")], True, False),
        ([event("kill", signal="2"), event("die")], True, False),
        ([event("kill", signal="SIGTERM"), event("die")], True, False),
        ([event("kill", signal="1"), event("die")], False, False),
        ([event("kill", signal="10"), event("die")], False, False),
        ([event("kill"), event("die")], False, False),
        ([event("oom"), event("die")], False, True),
        ([event("kill", signal="15"), event("oom"), event("die")], False, True),
        ([event("oom"), event("kill", signal="9"), event("die")], True, True),
        ([event("die"), event("destroy")], True, False),
        ([event("destroy")], True, False),
        ([{"Action": 5, "Actor": "x"}], None, False),
    ],
)
def test_who_ended_it(events: list[dict[str, Any]], person: bool | None, oom: bool) -> None:
    assert ending(events) == Ending(by_person=person, oom=oom)


def test_a_removal_by_itself_is_nobodys() -> None:
    events = [event("die"), event("destroy")]
    assert ending(events, removal_is_automatic=True).by_person is False


def inspected(**changes: Any) -> dict[str, Any]:
    state = {
        "Status": "exited",
        "ExitCode": 1,
        "StartedAt": "2026-11-22T00:00:00.5Z",
        "FinishedAt": "2026-11-22T00:01:00Z",
    }
    return {
        "Id": ID,
        "Name": "/colab",
        "State": {**state, **changes.pop("state", {})},
        "HostConfig": {
            "RestartPolicy": {"Name": changes.pop("policy", "no"), "MaximumRetryCount": 0}
        },
        "Config": {"Labels": changes.pop("labels", {})},
        "RestartCount": 0,
        **changes,
    }


FINISHED = moment("2026-11-22T00:01:00Z") or 0.0


@pytest.mark.parametrize(
    ("policy", "code", "person", "after", "at_work"),
    [
        ("no", 1, False, 1.0, False),
        ("always", 1, False, 1.0, True),
        ("unless-stopped", 0, False, 1.0, True),
        ("unless-stopped", 0, None, 1.0, True),
        ("on-failure", 1, False, 1.0, True),
        ("on-failure", 0, False, 1.0, False),
        ("always", 1, True, 1.0, False),
        ("always", 1, False, 60.0, False),
        ("always", 1, False, None, False),
    ],
)
def test_when_the_engine_will_start_it(
    policy: str, code: int, person: bool | None, after: float | None, at_work: bool
) -> None:
    seen = inspected(policy=policy, state={"ExitCode": code})
    now = None if after is None else FINISHED + after
    assert policy_at_work(seen, Ending(by_person=person), now) is at_work


def test_a_policy_that_has_spent_its_tries_is_not_at_work() -> None:
    seen = inspected(RestartCount=3)
    seen["HostConfig"]["RestartPolicy"] = {"Name": "on-failure", "MaximumRetryCount": 3}
    assert not policy_at_work(seen, Ending(), FINISHED + 1)
    seen["RestartCount"] = 2
    assert policy_at_work(seen, Ending(), FINISHED + 1)


def test_restarting_is_the_engine_at_work() -> None:
    assert policy_at_work(inspected(state={"Status": "restarting"}), Ending(), None)


def looked(seen: object, ended: Ending = Ending()) -> Any:  # noqa: B008 - frozen
    return sight(seen, target="a100", wanted=WANTED, read_at=1.0, ended=ended, server_now=None)


@pytest.mark.parametrize(
    ("state", "ended", "oom"),
    [
        ({"OOMKilled": True, "ExitCode": 137}, Ending(by_person=False), True),
        ({"OOMKilled": False, "ExitCode": 137}, Ending(by_person=False, oom=True), True),
        ({"OOMKilled": False, "ExitCode": 137}, Ending(by_person=False), False),
        ({"OOMKilled": False, "ExitCode": 0}, Ending(by_person=False, oom=True), False),
        ({"OOMKilled": True, "ExitCode": 137}, Ending(by_person=True), False),
        ({"OOMKilled": True, "Status": "running"}, Ending(), False),
    ],
)
def test_killed_for_memory_is_read_only_from_one_that_ended(
    state: dict[str, Any], ended: Ending, oom: bool
) -> None:
    assert looked(inspected(state=state), ended).oom is oom


def test_nobody_stopped_what_never_ran() -> None:
    seen = looked(inspected(state={"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}))
    assert (seen.stopped_by_person, seen.started) == (False, "")


def test_the_generation_is_verbatim() -> None:
    stamp = "2026-11-22T00:00:00.123456789Z"
    assert looked(inspected(state={"StartedAt": stamp})).started == stamp
    assert looked(inspected(state={"StartedAt": "$(reboot)"})).started == ""


@pytest.mark.parametrize(
    ("labels", "adopted"),
    [({}, True), ({"watchdogd.target": "b"}, True), ({"watchdogd.target": "a100"}, False)],
)
def test_adopted_is_what_does_not_carry_our_label(labels: dict[str, str], adopted: bool) -> None:
    assert looked(inspected(labels=labels)).adopted is adopted


def test_an_answer_that_is_garbage_is_no_container_that_runs() -> None:
    seen = looked({"State": ["x"], "HostConfig": 5, "Config": None})
    assert (seen.status, seen.publish_as_configured, seen.own_policy_at_work) == (
        None,
        False,
        False,
    )


# ---------------------------------------------------------------- small things


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00.25Z", 60.25),
        ("1970-01-01T00:01:00.123456789Z", 60.123456789),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("0001-01-01T00:00:00Z", None),
        ("1970-13-01T00:01:00Z", None),
        ("", None),
        ("now", None),
    ],
)
def test_time_stamps(stamp: str, seconds: float | None) -> None:
    assert moment(stamp) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [
        ("1.41", "1.12", "1.41"),
        ("1.52", "1.44", "1.44"),
        ("1.40", "1.12", "1.40"),
        ("1.51", "1.24", "1.41"),
        ("", "", "1.41"),
        ("9; x", "1.x", "1.41"),
    ],
)
def test_the_version_that_both_speak(newest: str, oldest: str, spoken: str) -> None:
    assert agreed_version({"ApiVersion": newest, "MinAPIVersion": oldest}) == spoken


def test_texts_are_one_printable_line() -> None:
    assert clean("a\x1b[31m\n b\tc" + "x" * 1000, 8) == "a [31m b"


def test_the_recipe_is_the_documented_command() -> None:
    made = recipe("a100", WANTED, "/home/u/.watchdogd/a100/token")
    host = made["HostConfig"]
    assert made["Image"] == "colab"
    assert "Cmd" not in made
    assert host["DeviceRequests"][0]["Count"] == -1
    assert host["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}]}
    assert "AutoRemove" not in host


@pytest.mark.parametrize(
    ("gpus", "request_"),
    [
        ("none", None),
        ("all", {"Count": -1}),
        (("0", "GPU-1"), {"DeviceIDs": ["0", "GPU-1"]}),
        ("3", {"DeviceIDs": ["3"]}),
    ],
)
def test_gpus(gpus: str | tuple[str, ...], request_: dict[str, Any] | None) -> None:
    devices = recipe("a100", replace(WANTED, gpus=gpus), "/t")["HostConfig"]["DeviceRequests"]
    if request_ is None:
        assert devices == []
    else:
        assert devices[0] == {
            "Driver": "",
            "Capabilities": [["gpu"]],
            "Options": {},
            **request_,
        }


def test_the_token_stands_in_its_file_alone() -> None:
    wanted = replace(WANTED, env={"JUPYTER_TOKEN_FILE": "/elsewhere"})
    assert recipe("a100", wanted, "/t")["Env"] == ["JUPYTER_TOKEN_FILE=/etc/watchdogd-token"]


def test_only_named_volumes_hold_data_that_can_be_lost() -> None:
    volumes = ("colab-content:/content", "/data:/data:ro", "./x:/x", "~/y:/y", "/anonymous")
    assert data_volumes(replace(WANTED, volumes=volumes)) == ("colab-content",)


def test_the_adapter_loads_no_docker_library_before_it_is_used() -> None:
    code = "import sys, watchdogd.adapters.container_engine; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_the_health_flag_is_that_of_what_runs() -> None:
    health = {"Health": {"Status": "unhealthy"}}
    assert looked(inspected(state={"Status": "running", **health})).health == "unhealthy"
    assert looked(inspected(state=health)).health == ""
    assert looked(inspected(state={"Status": "running", "Health": 5})).health == ""
