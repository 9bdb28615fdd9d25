"""The answers to ``status`` and ``url``: their shape, their times, and that no token is in the first."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from watchdogd.adapters.tokens import TokenFile
from watchdogd.control import StatusAnswers
from watchdogd.control.status import _link
from watchdogd.core.commands import StateChanged
from watchdogd.core.events import LinkLost
from watchdogd.core.link import Dialing
from watchdogd.core.model import (
    Env,
    Incident,
    Intent,
    Observation,
    Policy,
    TargetState,
    Verdict,
    View,
)
from watchdogd.core.shadow import Open, Score, Shadow, WouldHave
from watchdogd.core.sight import Generation
from watchdogd.core.words import (
    Cause,
    Kind,
    Layer,
    Outcome,
    Phase,
    ProbeName,
    Refusal,
    Remedy,
    State,
    Vantage,
)
from watchdogd.ports import ForwardFacts
from watchdogd.settings import (
    Address,
    AgentSettings,
    ForwardSettings,
    RuntimeSettings,
    Secret,
    Settings,
    SshSettings,
    TargetSettings,
)
from watchdogd.sinks.recent import RecentFacts

TOKEN = "t0ken/with+odd&chars"


class StillClock:
    """Implements ``ports.Clock``; stands."""

    def run(self) -> float:
        return 1000.0

    def boot(self) -> float:
        return 5000.0

    def wall(self) -> float:
        return 1_790_000_000.0

    def boot_id(self) -> str:
        return "b"

    def chance(self) -> float:
        return 0.5

    def wait(self, seconds: float) -> None:
        raise AssertionError


class KnownToken:
    """Implements ``ports.Tokens``."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def current(self) -> Secret | None:
        return None if self._token is None else Secret(self._token)

    def pinned(self) -> Secret:
        raise AssertionError

    def learn(self, token: Secret) -> None:
        raise AssertionError


def target(name: str, port: int) -> TargetSettings:
    return TargetSettings(
        name=name,
        ssh=SshSettings(host="h"),
        forward=ForwardSettings(local=Address("127.0.0.1", port)),
        runtime=RuntimeSettings(kind=Kind.EXTERNAL),
    )


def seen(layer: Layer, outcome: Outcome, vantage: Vantage, **more: object) -> Observation:
    base = Observation(
        probe=ProbeName.RUNTIME_TUNNEL,
        layer=layer,
        vantage=vantage,
        outcome=outcome,
        started=980.0,
        ended=990.0,
    )
    return Observation(
        **{**{name: getattr(base, name) for name in base.__dataclass_fields__}, **more}
    )


BUSY = TargetState(
    phase=Phase.ACTING,
    shown=State.HEALING,
    shown_since_boot=4940.0,
    verdict=Verdict(
        outcome=Outcome.FAIL,
        cause=Cause.RUNTIME_HUNG,
        layer=Layer.RUNTIME,
        usable=False,
        served=False,
        layers=((Layer.RUNTIME, Outcome.FAIL), (Layer.SSH, Outcome.OK), (Layer.KERNEL, Outcome.UNKNOWN)),
        detail=f"a server's text with {TOKEN} in it",
        mend="mend it",
    ),
    observations=(
        seen(Layer.RUNTIME, Outcome.OK, Vantage.SERVER),
        seen(Layer.RUNTIME, Outcome.FAIL, Vantage.TUNNEL, cause=Cause.RUNTIME_HUNG, detail="silent", ended=995.0),
        seen(Layer.SSH, Outcome.OK, Vantage.LAPTOP),
    ),
    refusals=((Remedy.RESTART_CONTAINER, Refusal.VETO),),
    incident=Incident(id="a-1", cause=Cause.RUNTIME_HUNG, opened_wall=1_789_999_900.0,
                      first_failure_boot=0.5, remedies=(Remedy.RECONNECT,)),
    intent=Intent(key="k", remedy=Remedy.RESTART_CONTAINER, incident="a-1", cause=Cause.RUNTIME_HUNG,
                  generation=Generation(), decided=997.0, deadline_seconds=60.0, charged=True),
    dialing=Dialing(lost_at=970.0, attempt=3, next_at=1004.5, failure=Cause.SSHD_DOWN, port_holder="python (pid 7)"),
)  # fmt: skip


OURS = ForwardFacts(bound=True, holder="", open_connections=2, sent_bytes=10, received_bytes=20)


def answers(
    view: View, tokens: dict[str, KnownToken], *names: str, forward: ForwardFacts = OURS
) -> StatusAnswers:
    settings = Settings(
        agent=AgentSettings(state_dir="/s"),
        targets={name: target(name, 9000 + number) for number, name in enumerate(names)},
    )
    recent = RecentFacts()
    facts = [StateChanged(old=State.UP, new=State.DOWN, cause=None, detail=f"x {TOKEN}")]
    env = Env(run=1.0, boot=1.0, wall=1_789_999_999.0, boot_id="b", chance=0.0)
    recent.told("a", LinkLost(number=1), facts, TargetState(), env)
    return StatusAnswers(
        lambda: view,
        settings,
        tokens,
        recent,
        {"a": lambda: forward},
        StillClock(),
        policies={name: Policy() for name in names},
    )


VIEW = View(targets={"a": BUSY}, started_wall=1_789_990_000.0, last_round_wall=1_789_999_995.0)


def test_status_is_whole() -> None:
    answer = json.loads(
        json.dumps(answers(VIEW, {"a": KnownToken(TOKEN)}, "a", "b")({"verb": "status"}))
    )
    assert answer["schema"] == "watchdogd.status/1"
    assert re.fullmatch(r"\d+\.\d+\.\d+", answer["version"])
    assert answer["pid"] > 0
    assert answer["started"] == "2026-09-21T11:26:40.000Z"
    a, b = answer["targets"]
    assert (a["name"], a["state"], a["cause"], a["phase"]) == (
        "a",
        "healing",
        "runtime_hung",
        "acting",
    )
    assert a["since"] == "2026-09-21T14:12:20.000Z"
    assert a["usable"] is False
    assert a["incident"]["id"] == "a-1"
    assert a["incident"]["remedies"] == ["reconnect"]
    assert (a["remedy"]["remedy"], a["remedy"]["age"]) == ("restart_container", 3.0)
    assert a["refusals"] == [{"remedy": "restart_container", "reason": "veto"}]
    assert a["link"]["up"] is False
    assert (a["link"]["attempt"], a["link"]["next_dial_in"]) == (3, 4.5)
    assert a["link"]["since"] == "2026-09-21T14:12:50.000Z"
    assert a["link"]["port_holder"] == "python (pid 7)"
    assert (a["forward"]["local"], a["forward"]["open_connections"]) == ("127.0.0.1:9000", 2)
    assert [entry["kind"] for entry in a["recent"]] == ["link_lost", "state_changed"]
    assert (b["name"], b["state"], b["since"], b["forward"]) == ("b", "unknown", None, None)


def test_the_ladder_is_lowest_first_and_shows_the_telling_observation() -> None:
    answer = json.loads(json.dumps(answers(VIEW, {}, "a").status("a")))
    layers = answer["targets"][0]["layers"]
    assert [(layer["layer"], layer["outcome"]) for layer in layers] == [
        ("ssh", "ok"), ("runtime", "fail"), ("kernel", "unknown")]  # fmt: skip
    runtime = layers[1]
    assert (runtime["vantage"], runtime["age"], runtime["detail"]) == ("tunnel", 5.0, "silent")
    assert [each["vantage"] for each in runtime["observations"]] == ["tunnel", "server"]
    assert layers[2]["vantage"] is None


def test_what_would_have_been_done_is_told_with_its_score() -> None:
    would = WouldHave(
        remedy=Remedy.RESTART_CONTAINER,
        cause=Cause.RUNTIME_HUNG,
        reason=Refusal.OBSERVE,
        incident="a-1",
        generation=Generation(),
        wall=1.0,
        boot=1.0,
        boot_id="b",
    )
    scores = (Score(remedy=Remedy.RESTART_CONTAINER, right=3, false_alarms=6),)
    state = replace(
        BUSY,
        would=Open(would=would, run=990.0, looked=980.0, seconds=12.5),
        shadow=Shadow(recent=(would,), scores=scores),
    )
    answer = json.loads(json.dumps(answers(View(targets={"a": state}), {}, "a", "b").status()))
    a, b = answer["targets"]
    assert a["shadow"] == {
        "open": {
            "remedy": "restart_container",
            "cause": "runtime_hung",
            "reason": "observe",
            "observed_seconds": 12.5,
        },
        "scores": [{"remedy": "restart_container", "right": 3, "false_alarms": 6}],
    }
    assert b["shadow"] == {"open": None, "scores": []}


def test_no_token_is_in_a_status() -> None:
    found = answers(VIEW, {"a": KnownToken(TOKEN)}, "a")
    assert TOKEN not in json.dumps(found({"verb": "status"}))
    assert "text with *** in it" in json.dumps(found({"verb": "status"}))


def test_url_is_the_forwards_port_with_the_token_quoted() -> None:
    found = answers(VIEW, {"a": KnownToken(TOKEN), "b": KnownToken(None)}, "a", "b")
    assert found({"verb": "url", "target": "a"}) == {
        "schema": "watchdogd.url/1",
        "target": "a",
        "url": "http://localhost:9000/?token=t0ken%2Fwith%2Bodd%26chars",
    }


def test_the_token_of_a_runtime_that_is_only_looked_at_is_a_person_s_to_name() -> None:
    settings = Settings(
        agent=AgentSettings(),
        targets={"a": replace(target("a", 9000), runtime=RuntimeSettings(kind=Kind.EXTERNAL))},
    )
    found = StatusAnswers(
        lambda: VIEW,
        settings,
        {"a": KnownToken(None)},
        RecentFacts(),
        {"a": lambda: OURS},
        StillClock(),
        policies={},
    )({"verb": "url", "target": "a"})
    assert "targets.a.runtime.token_file" in str(found["error"])
    assert "starts the session" not in str(found["error"])


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"verb": "url"}, "which_target"),
        ({"verb": "url", "target": "b"}, "no_token"),
        ({"verb": "status", "target": "aa"}, "no_such_target"),
        ({"verb": "url", "target": 5}, "no_such_target"),
        ({"verb": "status", "target": ["a"]}, "no_such_target"),
        ({"verb": "heal"}, "no_such_verb"),
        ({}, "no_such_verb"),
    ],
)
def test_what_cannot_be_answered_has_a_code(request_: dict[str, object], code: str) -> None:
    found = answers(VIEW, {"a": KnownToken(TOKEN)}, "a", "b")(request_)
    error = found["error"]
    assert isinstance(error, dict)
    assert error["code"] == code
    assert TOKEN not in json.dumps(found)


def test_the_only_target_needs_no_name() -> None:
    assert "url" in answers(VIEW, {"a": KnownToken("x")}, "a")({"verb": "url"})


@pytest.mark.parametrize(("silent", "seconds"), [(False, 60.0), (True, 8.0)])
def test_a_link_is_up_or_silent_since_it_is_that(silent: bool, seconds: float) -> None:
    run, wall = StillClock().run(), StillClock().wall()
    known = Dialing(up=1, silent=silent, up_since=run - 60.0, lost_at=run - 8.0 if silent else None)
    link = _link(TargetState(dialing=known), run, wall)
    assert datetime.fromisoformat(str(link["since"])).timestamp() == pytest.approx(wall - seconds)


def test_no_next_dial_at_all_is_no_number_that_json_lacks() -> None:
    stopped = TargetState(dialing=Dialing(next_at=float("inf"), stopped_by=Cause.HOST_KEY))
    view = View(targets={"a100": stopped}, started_wall=1.0, last_round_wall=1.0)
    settings = Settings(agent=AgentSettings(), targets={"a100": target("a100", 9000)})
    answer = StatusAnswers(lambda: view, settings, {}, RecentFacts(), {}, StillClock(), policies={})
    shown = json.loads(json.dumps(answer({"verb": "status"}), allow_nan=False))
    link = shown["targets"][0]["link"]
    assert (link["next_dial_in"], link["stopped_by"]) == (None, "host_key")


@pytest.mark.parametrize(
    ("holder", "said"),
    [("nc (pid 7)", "held by nc (pid 7), which would be given the token"), ("", "not bound yet")],
)
def test_no_url_leads_to_a_port_that_is_not_ours(holder: str, said: str) -> None:
    facts = replace(OURS, bound=False, holder=holder)
    found = answers(VIEW, {"a": KnownToken(TOKEN)}, "a", forward=facts)({"verb": "url"})
    error = found["error"]
    assert isinstance(error, dict)
    assert error["code"] == "port_not_ours"
    assert said in error["message"]
    assert "9000" in error["message"]
    assert TOKEN not in json.dumps(found)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.CONTAINER, "shows it in its log, which is read at the next look"),
        (Kind.SESSION, "set targets.a.runtime.token_file to a file of mode 0600"),
        (Kind.EXTERNAL, "set targets.a.runtime.token_file to a file of mode 0600"),
    ],
)
def test_an_unknown_token_says_where_it_will_come_from(kind: Kind, said: str) -> None:
    known = replace(target("a", 9000), runtime=RuntimeSettings(kind=kind))
    settings = Settings(agent=AgentSettings(), targets={"a": known})
    tokens = {"a": KnownToken(None)}
    answer = StatusAnswers(
        lambda: VIEW, settings, tokens, RecentFacts(), {}, StillClock(), policies={}
    )
    assert said in str(answer({"verb": "url"}))


def test_a_token_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret-token")
    file.chmod(0o644)
    runtime = RuntimeSettings(kind=Kind.EXTERNAL, token_file=str(file))
    settings = Settings(
        agent=AgentSettings(), targets={"a": replace(target("a", 9000), runtime=runtime)}
    )
    tokens = {"a": TokenFile(str(tmp_path / "made"), str(file))}
    answer = StatusAnswers(
        lambda: VIEW, settings, tokens, RecentFacts(), {}, StillClock(), policies={}
    )
    assert f"chmod 600 {file}" in str(answer({"verb": "url"}))
