"""People who are told of a small world, and what an outbox would hold for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from watchdogd.core.commands import Command, Publish
from watchdogd.core.events import Event
from watchdogd.core.model import Env, Policy, TargetState
from watchdogd.core.notices import CALM, Following, News, Notice, Told, follow
from watchdogd.core.words import HARM, Harm
from watchdogd.core.words import Remedy as R
from watchdogd.ports import Left, Posted, Reached


@dataclass
class People:
    """Implements ``ports.Recorder``: each step of the world is followed, as a sink does."""

    known: Following = CALM
    notices: list[Notice] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    """``run`` clock of each."""

    def stepped(
        self,
        target: str,
        before: TargetState,
        event: Event,
        policy: Policy,
        env: Env,
        after: TargetState,
        commands: Sequence[Command],
    ) -> None:
        """Decide, and take note."""
        facts = [one.fact for one in commands if isinstance(one, Publish)]
        self.known, due = follow(self.known, target, facts, after, policy, env)
        self.notices += due
        self.at += [env.run] * len(due)

    def restarted(self) -> None:
        """Another agent goes on from what was kept."""
        self.known = Following(told=self.known.told)

    def news(self) -> list[News]:
        """What they were told, in order."""
        return [one.news for one in self.notices]

    def broken(self, applied: Sequence[R] = ()) -> list[str]:
        """What must hold of all that was told, whatever happened."""
        told = [
            f"a key twice: {key}"
            for key, n in Counter(n.key for n in self.notices).items()
            if n > 1
        ]
        opened: set[str] = set()
        ended: set[str] = set()
        for one in self.notices:
            if one.opens and one.incident in opened:
                told.append(f"opened twice: {one.incident}")
            if one.opens:
                opened.add(one.incident)
            if one.news is News.RESOLVED and one.incident not in opened - ended:
                told.append(f"resolved and never opened: {one.incident}")
            if one.news is News.RESOLVED:
                ended.add(one.incident)
            if one.news in (News.OPENED, News.REMINDER) and one.incident not in opened - ended:
                told.append(f"{one.news} outside of an incident: {one.incident}")
        per = Counter((one.incident, one.news) for one in self.notices if one.incident)
        told += [f"{n} times {news} in {name}" for (name, news), n in per.items()
                 if n > 1 and news in (News.OPENED, News.PERSON, News.RESOLVED)]  # fmt: skip
        begun = sum(HARM[one] is Harm.DESTRUCTIVE for one in applied)
        if self.news().count(News.INTENDED) != begun:
            told.append("a destructive remedy that was not told")
        if self.news().count(News.OUTCOME) > begun:
            told.append("more outcomes than destructive remedies")
        return told


class Forgetful:
    """Implements ``ports.Outbox``: nothing survives."""

    def left(self) -> Left:
        """Nothing."""
        return Left()

    def post(self, told: Mapping[str, Told], lines: Sequence[Posted], oldest: int) -> None:
        """Gone."""

    def reach(self, reached: Mapping[str, Reached]) -> None:
        """Gone."""
