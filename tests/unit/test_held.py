"""What must not be written: every token that the agent knows, from the very next line on."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.fakes_clock import FakeClock
from watchdogd.adapters.tokens import TokenFile
from watchdogd.app.held import LOOKED_SECONDS, HeldSecrets, InForce
from watchdogd.settings import AgentSettings, Secret, Settings

SETTINGS = Settings(agent=AgentSettings(), targets={})
ONE, TWO, NEW = Secret("the-first-token"), Secret("the-second-token"), Secret("a-new-token")


class Scene:
    """Two targets, each with a token file of its own."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.folder = folder
        self.others: tuple[Secret, ...] = ()
        self.held = HeldSecrets(lambda: self.in_force, self.clock, lambda: self.others)
        self.tokens = {
            name: TokenFile(str(folder / "none"), str(folder / name), self.held.noted)
            for name in ("one", "two")
        }
        self.in_force: InForce = (SETTINGS, MappingProxyType(self.tokens))
        self.write("one", ONE)
        self.write("two", TWO)
        self.held()  # what a look finds for the first time is news, too

    def write(self, name: str, token: Secret) -> None:
        fresh = self.folder / "fresh"
        fresh.write_text(token.reveal())
        fresh.chmod(0o600)
        os.replace(fresh, self.folder / name)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_every_file_is_looked_at_for_a_line_of_the_log(scene: Scene) -> None:
    assert set(scene.held()) == {ONE, TWO}
    scene.write("two", NEW)
    assert set(scene.held()) == {ONE, NEW}


def test_a_line_about_a_target_knows_that_ones_token_as_it_is_now(scene: Scene) -> None:
    assert set(scene.held.at_step("one")) == {ONE, TWO}
    scene.write("one", NEW)
    assert NEW in scene.held.at_step("one")


def test_what_the_agent_came_to_know_is_known_to_the_next_line_of_any_target(scene: Scene) -> None:
    scene.held.at_step("one")
    scene.write("two", NEW)
    assert scene.tokens["two"].current() == NEW  # as a probe of the other target does
    assert NEW in scene.held.at_step("one")


def test_a_token_that_is_made_or_learned_is_known_to_the_next_line(scene: Scene) -> None:
    own = TokenFile(str(scene.folder / "own"), None, scene.held.noted)
    scene.in_force = (SETTINGS, {**scene.tokens, "own": own})
    scene.held.at_step("one")
    made = own.pinned()
    assert made in scene.held.at_step("one")
    scene.held()
    own.learn(NEW)
    assert NEW in scene.held.at_step("one")
    scene.held()
    own.learn(made)  # the other one is forgotten, and ours is in use again
    assert made in scene.held.at_step("one")


def test_what_nobody_has_read_is_found_a_second_later(scene: Scene) -> None:
    scene.held.at_step("one")
    scene.write("two", NEW)
    scene.clock.pass_by(LOOKED_SECONDS)
    assert NEW in scene.held.at_step("one")


def test_another_configuration_is_heeded_at_once(scene: Scene) -> None:
    scene.held.at_step("one")
    scene.write("third", NEW)
    third = TokenFile(str(scene.folder / "none"), str(scene.folder / "third"))
    assert third.current() == NEW
    scene.in_force = (SETTINGS, {**scene.tokens, "third": third})
    assert NEW in scene.held.at_step("one")


def test_a_token_that_cannot_be_read_hides_no_other(scene: Scene) -> None:
    (scene.folder / "one").chmod(0o644)
    assert scene.held() == scene.held.at_step("one") == (TWO,)


def test_of_the_others_no_file_is_looked_at_for_each_line(scene: Scene) -> None:
    asked: list[str] = []

    class Counted:
        def __init__(self, name: str) -> None:
            self.name = name

        def current(self) -> Secret:
            asked.append(self.name)
            return Secret(f"token-of-{self.name}")

        def pinned(self) -> Secret:
            return self.current()

        def learn(self, token: Secret) -> None:
            raise NotImplementedError

    scene.in_force = (SETTINGS, {name: Counted(name) for name in ("one", "two", "three")})
    first = scene.held.at_step("one")
    asked.clear()
    assert all(scene.held.at_step("one") is first for _ in range(10))
    assert asked == ["one"] * 10


def test_what_else_is_secret_is_known_from_the_next_line_on(scene: Scene) -> None:
    assert NEW not in scene.held.at_step("one")
    scene.others = (NEW,)
    assert NEW in scene.held.at_step("one")
    assert NEW in scene.held()
