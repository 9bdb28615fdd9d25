"""What people are told of a target, and when. Beside ``step``: fed with its facts and the state it made.

In the flow: a sink hands in what the loop told it; nothing flows back. What is told next follows from what
was told last (``Told``, which survives the agent), so no crash and no lost fact leaves an opening without its
end, or opens one incident twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from watchdogd.core.commands import (
    Fact,
    IncidentClosed,
    RemedyEnded,
    RemedyIntended,
    RemedyRefused,
    RemedyVerified,
)
from watchdogd.core.hand import HAND_REFUSALS, needs_hand, waits_for_hand
from watchdogd.core.model import Env, Incident, Intent, Policy, TargetState
from watchdogd.core.words import HARM, Cause, Harm, Remedy, Result, State

REMINDER_SECONDS = 4 * 3600.0
UNUSABLE = (State.DOWN, State.HEALING)
USABLE = (State.UP, State.DEGRADED)
FRUITLESS = (Result.FAILED, Result.NOTHING)
"""No proof of health follows."""


class News(StrEnum):
    """What a notice is about."""

    OPENED = "opened"
    """Not usable for ``Policy.told_after``."""
    INTENDED = "intended"
    """A destructive remedy begins."""
    OUTCOME = "outcome"
    """What became of it."""
    PERSON = "person"
    """Only a person can help."""
    REMINDER = "reminder"
    RESOLVED = "resolved"
    UNWATCHED = "unwatched"
    """The configuration has no such target any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell people."""

    news: News
    key: str
    """Never occurs twice."""
    incident: str
    """Its id; empty: of none."""
    opens: bool = False
    """The first of this incident."""
    wait: float = 0.0
    """Seconds that it may wait for other news."""
    wall: float
    cause: Cause | None = None
    remedy: Remedy | None = None
    good: bool | None = None
    """Of an outcome: health was proved; ``None``: nobody knows."""
    seconds: float = 0.0
    """How long the trouble lasts, or lasted."""
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was last told of a target. Survives the agent."""

    incident: str = ""
    """The one that was opened and not resolved yet, for those who are told."""
    cause: Cause | None = None
    since_wall: float = 0.0
    last_wall: float = 0.0
    reminders: int = 0
    person: str = ""
    """The incident in which a person was asked for."""
    halted: bool = False
    """A person was asked for because resumes are halted."""
    act: str = ""
    """Key of the destructive remedy that was told, and whose outcome was not."""
    remedy: Remedy | None = None
    """That one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What is to be known of a target from one event to the next."""

    told: Told = field(default_factory=Told)
    down_since: float | None = None
    """``run`` clock, since when it is not usable."""


CALM = Following()
"""Nothing was told, and nothing is wrong."""


def follow(
    before: Following,
    target: str,
    facts: Sequence[Fact],
    state: TargetState,
    policy: Policy,
    env: Env,
) -> tuple[Following, tuple[Notice, ...]]:
    """What is due after one event: its ``facts``, and the ``state`` that it led to.

    ``before``: what this returned for the target's last event; for the first one ``CALM``, or what a former
    agent told."""
    if before is CALM and state.incident is None and not facts and state.resume is None:
        return before, ()
    writing = _Writing(before.told, target, state, policy, env)
    since = _down_since(before, state, env)
    writing.resolve(facts)
    writing.acts(facts)
    if state.pause is None:
        writing.ask(facts)
        if since is not None and env.run - since >= policy.told_after:
            writing.open()
        writing.remind()
    if not (writing.told.incident or writing.told.act or writing.told.halted):
        writing.told = Told()  # nothing is owed to anybody
    if not writing.notices and writing.told == before.told and since == before.down_since:
        return before, ()
    after = Following(told=writing.told, down_since=since)
    return (CALM if after == CALM else after), tuple(writing.notices)


def unwatched(told: Told, target: str, wall: float) -> Notice | None:
    """The end of what was told of a target that is no longer in the configuration; ``None``: nothing was."""
    if not told.incident:
        return None
    return Notice(
        news=News.UNWATCHED,
        key=f"{target}:{told.incident}:{News.RESOLVED}",
        incident=told.incident,
        wall=wall,
        cause=told.cause,
        seconds=max(0.0, wall - told.since_wall),
    )


def _down_since(before: Following, state: TargetState, env: Env) -> float | None:
    """No sight is no health: a target that could not be looked at for a while was not usable in it."""
    if state.shown in UNUSABLE:
        return env.run if before.down_since is None else before.down_since
    return before.down_since if state.shown is State.UNKNOWN else None


@dataclass(slots=True)
class _Writing:
    """The notices of one event, and what was told by them."""

    told: Told
    target: str
    state: TargetState
    policy: Policy
    env: Env
    notices: list[Notice] = field(default_factory=list)

    def resolve(self, facts: Sequence[Fact]) -> None:
        """What was opened is over once the target is usable; another incident in its place goes on with it."""
        told, incident, wall = self.told, self.state.incident, self.env.wall
        if not told.incident or (incident is not None and incident.id == told.incident):
            return
        if self.state.shown not in USABLE:
            if incident is not None:  # the same trouble, to people: an end would be a lie
                self.told = replace(told, incident=incident.id)
            return
        lasted = [
            fact.duration_seconds
            for fact in facts
            if isinstance(fact, IncidentClosed) and fact.incident.id == told.incident
        ]
        self._add(
            News.RESOLVED,
            told.incident,
            cause=told.cause,
            seconds=lasted[0] if lasted else max(0.0, wall - told.since_wall),
            wait=self.policy.told_together,
        )
        self.told = Told(halted=told.halted, act=told.act, remedy=told.remedy)

    def acts(self, facts: Sequence[Fact]) -> None:
        """Destructive remedies, at once; and what became of the one that was told."""
        for fact in facts:
            match fact:
                case RemedyIntended(intent=intent) if HARM[intent.remedy] is Harm.DESTRUCTIVE:
                    self._begins(intent)
                case RemedyEnded(intent=intent, result=result) if result in FRUITLESS:
                    self._ended(intent.key, good=False, detail=fact.detail, mend=fact.mend)
                case RemedyVerified(intent=intent, healthy=healthy):
                    self._ended(intent.key, good=healthy)
                case _:
                    pass
        intent_now = self.state.intent
        if intent_now is None or intent_now.key != self.told.act:
            self._ended(self.told.act, good=None)

    def _begins(self, intent: Intent) -> None:
        incident = self.state.incident
        opens = incident is not None and self._opening(incident)
        self._add(
            News.INTENDED,
            intent.incident,
            key=intent.key,
            opens=opens,
            cause=intent.cause,
            remedy=intent.remedy,
        )
        self.told = replace(self.told, act=intent.key, remedy=intent.remedy)

    def _ended(self, key: str, *, good: bool | None, detail: str = "", mend: str = "") -> None:
        told = self.told
        if not told.act or told.act != key:
            return
        self._add(
            News.OUTCOME,
            told.incident,
            key=key,
            remedy=told.remedy,
            good=good,
            detail=detail,
            mend=mend,
            wait=self.policy.told_together,
        )
        self.told = replace(self.told, act="", remedy=None)

    def ask(self, facts: Sequence[Fact]) -> None:
        """Once an incident, and once when resumes are halted: only a person can help."""
        resume, incident = self.state.resume, self.state.incident
        halted = resume is not None and resume.halted
        if halted and not self.told.halted:
            key = f"{int(self.env.wall * 1000):x}:resume"
            detail = "the training is not resumed any more: it was lost again and again"
            self._add(
                News.PERSON, "", key=key, detail=detail, mend=f"watchdogd reset {self.target}"
            )
        self.told = self.told if halted is self.told.halted else replace(self.told, halted=halted)
        if incident is not None and self.told.person != incident.id and waits_for_hand(self.state):
            self._person(incident, facts)

    def _person(self, incident: Incident, facts: Sequence[Fact]) -> None:
        refused = [
            fact
            for fact in facts
            if isinstance(fact, RemedyRefused) and fact.reason in HAND_REFUSALS
        ]
        verdict = self.state.verdict
        opens = self._opening(incident)
        self._add(
            News.PERSON,
            incident.id,
            opens=opens,
            cause=incident.cause,
            remedy=refused[0].remedy if refused else None,
            detail=refused[0].detail if refused else verdict.detail,
            mend=verdict.mend,
            seconds=self._lasts(),
        )
        self.told = replace(self.told, person=incident.id)

    def open(self) -> None:
        """The first message of an incident, unless another one was."""
        incident, verdict = self.state.incident, self.state.verdict
        if incident is None or self.state.shown not in UNUSABLE or not self._opening(incident):
            return
        self._add(
            News.OPENED,
            incident.id,
            opens=True,
            cause=incident.cause,
            detail=verdict.detail,
            mend=verdict.mend,
            seconds=self._lasts(),
            wait=self.policy.told_together,
        )

    def remind(self) -> None:
        """Again every 4 hours while it lasts."""
        told, incident, wall = self.told, self.state.incident, self.env.wall
        if incident is None or incident.id != told.incident:
            return
        if told.last_wall > wall:  # the clock was set back
            self.told = replace(told, last_wall=wall)
        lasts = self.state.shown in UNUSABLE or needs_hand(self.state)
        if not lasts or wall - told.last_wall < REMINDER_SECONDS:
            return
        number = told.reminders + 1
        self._add(
            News.REMINDER,
            incident.id,
            key=f"{incident.id}:{number}",
            cause=incident.cause,
            detail=self.state.verdict.detail,
            mend=self.state.verdict.mend,
            seconds=self._lasts(),
            wait=self.policy.told_together,
        )
        self.told = replace(self.told, reminders=number)

    def _opening(self, incident: Incident) -> bool:
        """Takes note that this incident is told; False if it was already."""
        if self.told.incident == incident.id:
            return False
        self.told = replace(
            self.told,
            incident=incident.id,
            cause=incident.cause,
            since_wall=incident.opened_wall,
            reminders=0,
        )
        return True

    def _lasts(self) -> float:
        incident = self.state.incident
        return 0.0 if incident is None else max(0.0, self.env.boot - incident.first_failure_boot)

    def _add(self, news: News, incident: str, *, key: str = "", **fields: object) -> None:
        name = f"{self.target}:{key or incident}:{news}"
        self.notices.append(
            Notice(news=news, key=name, incident=incident, wall=self.env.wall, **fields)  # type: ignore[arg-type] # named as the fields
        )
        self.told = replace(self.told, last_wall=self.env.wall)
