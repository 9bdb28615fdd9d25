"""What ``status --why`` prints around the answer: one clock, and only what was looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import CliRunner

from tests.core.world import World, healthy
from watchdogd.cli import status
from watchdogd.control.ladder import ladder
from watchdogd.control.why import why_answer
from watchdogd.core.events import Paused
from watchdogd.core.model import Policy
from watchdogd.core.words import Cause, Mode

Printed = Callable[..., str]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """The words of what is printed about a world, with single spaces."""

    def show(world: World, *options: str, **more: object) -> str:
        state, env = world.state, world.env()
        target = {
            "name": "a100",
            "state": str(state.shown),
            "since": "2020-01-01T00:00:00Z",
            "cause": str(state.verdict.cause) if state.verdict.cause else None,
            "phase": str(state.phase),
            "pause": {"until": None} if state.pause else None,
            "layers": ladder(state.verdict, state.observations, now=env.run),
            "why": why_answer(state, world.policy, env, target="a100"),
            "mode": str(world.policy.mode),
            **more,
        }
        monkeypatch.setattr(
            status,
            "ask_agent",
            lambda verb, name: {"config": {"files": ["/etc/w.toml"]}, "targets": [target]},
        )
        argv = ["a100", "--why", *options]
        return " ".join(CliRunner().invoke(status.status, argv).output.split())

    return show


def hung(seconds: float, **truth: object) -> World:
    world = healthy(**truth)
    world.runtime = Cause.RUNTIME_HUNG
    return world.play(seconds)


def test_the_first_line_counts_as_the_answer_does(printed: Printed) -> None:
    text = printed(hung(200))
    assert text.startswith("a100 is down: runtime_hung, seen failing for 2m 55s why: ")
    assert "it was seen failing for 2m 55s of the 10m that are needed (13 of 20 looks)" in text


def test_commands_are_told_with_the_configuration_that_it_was_asked_with(printed: Printed) -> None:
    assert " watchdogd pause a100 (" in printed(hung(200))
    text = printed(hung(200), "--config", "/my w.toml")
    assert " watchdogd --config '/my w.toml' pause a100 (" in text
    assert " watchdogd --config '/my w.toml' heal a100 --remedy restart_container (" in text


def test_what_is_done_about_a_link_is_told_before_the_fault_is_confirmed(printed: Printed) -> None:
    world = healthy(dial_seconds=25.0).freeze_link()
    assert world.state.verdict.cause is None
    text = printed(world)
    assert "why: the SSH link is silent (link_lost); it is being dialed" in text
    assert "by itself: yes: it is dialed again and again" in text


def test_the_first_dial_is_told_as_no_loss(printed: Printed) -> None:
    world = World(dial_seconds=25.0).start()
    assert "why: there is no SSH link; it is being dialed" in printed(world)


def test_what_was_seen_once_has_no_length_yet(printed: Printed) -> None:
    world = hung(200)  # its cause changes: the next one is counted anew
    streak = replace(world.state.streak, fails=1, observed_seconds=0.0)
    world.state = replace(world.state, streak=streak)
    assert "runtime_hung, seen failing just now why: " in printed(world)


def test_a_hazard_list_names_only_what_was_read(printed: Printed) -> None:
    assert "(disk, load, a fresh boot, GPU driver): none seen" in printed(hung(200))
    assert "(disk, load, a fresh boot): none seen" in printed(hung(3600, gpu_readable=False))
    assert "hazard on the server: the server is overloaded" in printed(hung(3600, load=9.0))


def test_a_layer_that_was_not_looked_at_has_no_vantage_and_no_age(printed: Printed) -> None:
    text = printed(hung(200))
    assert "? kernel unknown not looked at, because runtime fails" in text
    assert "+ host ok (from the server, " in text


def test_a_state_that_is_its_own_cause_is_told_once(printed: Printed) -> None:
    world = healthy()
    world.network, world.dial = False, Cause.OFFLINE
    assert printed(world.kill_link().play(600)).startswith("a100 is offline for ")


def test_a_paused_target_is_told_as_of_its_last_look(printed: Printed) -> None:
    world = healthy()
    world.take(Paused())
    world.play(5)
    world.runtime = Cause.RUNTIME_HUNG
    assert "signs of work (as of 1m 4s ago): " in printed(world.play(3600))


def test_a_remedy_that_the_server_refused_was_tried_and_says_so(printed: Printed) -> None:
    remedies = ["reconnect", "restart_container"]
    incident = {"id": "1", "cause": "runtime_hung", "remedies": remedies}
    refused = printed(hung(200), incident={**incident, "refused": "restart_container"})
    said = "tried in this incident: reconnect, restart_container"
    assert f"{said} (the last time refused on the server)" in refused
    assert f"{said} looks in a row" in printed(hung(200), incident=incident)
    assert "incident: nothing yet" in printed(hung(200), incident={**incident, "remedies": []})


def test_whoever_is_to_change_the_mode_is_told_where(printed: Printed) -> None:
    world = healthy(policy=Policy(mode=Mode.OBSERVE))
    world.runtime = Cause.RUNTIME_HUNG
    assert "the configuration: /etc/w.toml" in printed(world.play(3600))
    assert "/etc/w.toml" not in printed(hung(200))
