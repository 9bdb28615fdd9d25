"""A recorded log -> the decisions that ``step`` takes on it now, beside the recorded ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from watchdogd.core.commands import Command, Fact, Publish, RemedyRefused
from watchdogd.core.events import Event
from watchdogd.core.machine import step
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.eventlog import Began, Numbered, Retuned, Stepped, without_words


class Unplayable(ValueError):
    """The log lacks what a line of it needs; the sentence names the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One step, taken again."""

    line: int
    target: str
    event: Event
    policy: Policy
    env: Env
    commands: tuple[Command, ...]
    """What is decided now."""
    recorded: tuple[Command, ...]
    """What was decided then, without free text."""
    after: TargetState

    def facts(self) -> tuple[Fact, ...]:
        """What is published now."""
        return tuple(command.fact for command in self.commands if isinstance(command, Publish))

    def differences(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The commands that only the recording has, and those that are only decided now, in plain values
        without free text; all of them, if only the order is another one. Both empty: the same decision."""
        then, now = without_words(self.recorded), without_words(self.commands)
        if then == now:
            return [], []
        only = _without(then, now), _without(now, then)
        return only if any(only) else (then, now)

    def same(self) -> bool:
        """The same commands in the same order."""
        return without_words(self.recorded) == without_words(self.commands)


def replay(lines: Iterable[Numbered]) -> Iterator[Taken]:
    """Each recorded step, taken again from the state that the steps before it lead to. After a difference
    it goes on from what is decided now. Raises ``Unplayable``, and what ``lines`` raises."""
    states: dict[str, TargetState] = {}
    policies: dict[str, Policy] = {}
    for number, line in lines:
        match line:
            case Began():
                states[line.target], policies[line.target] = line.state, line.policy
            case Retuned():
                policies[line.target] = line.policy
            case Stepped():
                name = line.target
                if name not in states:
                    raise Unplayable(f"line {number}: how {name} began is missing before it")
                after, commands = step(states[name], line.event, policies[name], line.env)
                states[name] = after
                yield Taken(
                    line=number,
                    target=name,
                    event=line.event,
                    policy=policies[name],
                    env=line.env,
                    commands=commands,
                    recorded=line.did,
                    after=after,
                )


class News:
    """Holds back a refusal that was told of a target already, until something else happens to it."""

    def __init__(self) -> None:
        self._told: dict[str, set[tuple[str, str]]] = {}

    def of(self, taken: Taken) -> Iterator[Fact]:
        """The facts of one step that are news."""
        told = self._told.setdefault(taken.target, set())
        for fact in taken.facts():
            if isinstance(fact, RemedyRefused):
                refusal = (str(fact.remedy), str(fact.reason))
                if refusal in told:
                    continue
                told.add(refusal)
            else:
                told.clear()
            yield fact


def _without(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    left = list(others)
    found = []
    for one in some:
        if one in left:
            left.remove(one)
        else:
            found.append(one)
    return found
