"""Remedies for the container: ``start_container``, ``create_container``, ``restart_container``.

Each looks once more right before it acts, because a decision is seconds old when it arrives, and does
nothing if the world is another one by then. Each proves itself: a new start of the container, and the
runtime's answer to a request made on the server. What is not proved by the deadline is UNKNOWN.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace

from watchdogd.core.model import Intent
from watchdogd.core.sight import ContainerSight, Generation
from watchdogd.core.words import Cause, ContainerStatus, Refusal, Result
from watchdogd.errors import Permanent, Transient, one_line
from watchdogd.ports import (
    ContainerAmbiguous,
    ContainerEngine,
    Deadline,
    EngineRefused,
    HttpAnswer,
    HttpEnd,
    Outcome,
    Reach,
)
from watchdogd.remedies.guarded import end_it, order
from watchdogd.remedies.last_look import LastLook
from watchdogd.remedies.pinning import authentication_is_off, pin_token
from watchdogd.remedies.runtime import last_token
from watchdogd.settings import ContainerSettings, Secret

PROOF_SHARE = 0.75
"""Of the time for a restart, at most so much is for the act."""
_LOG_LINES = 2000
_WORDS_LINES, _WORDS_LIMIT = 20, 160
_POLL_SECONDS = 1.0
_ASK_SECONDS = 3.0
_SETTLE_SECONDS = 1.0
_TOKEN_SECONDS = 15.0
"""For a runtime that answers already to print its token as well."""
_CHANGED = "the container is not the one that was judged any more"

_LIVE = (ContainerStatus.RUNNING, ContainerStatus.PAUSED, ContainerStatus.RESTARTING)


def start_container(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """Start the container that ended. Nothing, if it is another one or runs by now, if a person
    stopped it, or if the engine's own restart policy is at work."""

    def act(job: _Job) -> Outcome:
        seen = job.look()
        forbidden = _may_not_start(seen, intent) or job.outdated()
        if forbidden is not None or seen.id is None:
            return forbidden or _nothing(_CHANGED)
        job.engine.start(seen.id, deadline)
        return job.prove(seen.id, seen.started)

    return _carefully(reach, deadline, act)


def create_container(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """Create and start the configured container with our token pinned. Nothing, if one that could be
    meant exists in any state, or if a person removed the former one."""

    def act(job: _Job) -> Outcome:
        forbidden = _may_not_create(job.look(), job.wanted, wanted_by_person=_wanted(intent))
        if forbidden is not None:
            return forbidden
        path = pin_token(reach, deadline)
        if outdated := job.outdated():
            return outdated
        made = job.engine.create(reach.target.name, job.wanted, path, deadline)
        job.engine.start(made, deadline)
        return job.prove(made, "")

    return _carefully(reach, deadline, act)


def restart_container(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """End what runs in the container, and start it again. Destructive.

    Nothing, unless the very run of the very container that was judged is still there and the runtime
    still gives no good answer on the server: looked at from here, and then by the guard, which acts.
    """

    def act(job: _Job) -> Outcome:
        answered = job.ask("/api", None)
        seen = job.look()  # last, so that nothing lies between it and the act
        forbidden = _may_not_restart(seen, intent, answered) or job.outdated()
        if forbidden is not None or seen.id is None:
            return forbidden or _nothing(_CHANGED)
        wanted = order(reach, intent, seen.started, container=seen.id)
        return end_it(reach, wanted, job.to_act()) or job.prove(seen.id, seen.started)

    return _carefully(reach, deadline, act)


# ---------------------------------------------------------------- the last look


def _wanted(intent: Intent) -> bool:
    """Did a person ask for it?"""
    return intent.ordered or intent.approved


def _may_not_start(seen: ContainerSight, intent: Intent) -> Outcome | None:
    if seen.id is None or _is_another(seen, intent):
        return _nothing(_CHANGED)
    if seen.status in _LIVE or seen.status is ContainerStatus.REMOVING:
        return _nothing(f"the container is {seen.status} by now")
    if seen.stopped_by_person and not _wanted(intent):
        return _nothing("a person stopped it", Refusal.OPERATOR)
    if seen.own_policy_at_work:
        return _nothing("the engine's own restart policy is at work", Refusal.COOLDOWN)
    return None


def _may_not_create(
    seen: ContainerSight, wanted: ContainerSettings, *, wanted_by_person: bool
) -> Outcome | None:
    if seen.id is not None:
        return _nothing(f"the container {seen.name} exists by now")
    if seen.stopped_by_person and not wanted_by_person:
        return _nothing("a person removed it", Refusal.OPERATOR)
    if seen.volumes_present is False and not wanted_by_person:
        return _nothing("a data volume of the lost container is gone", Refusal.FAILED_START)
    if seen.image_present is False:
        return Outcome(
            result=Result.FAILED,
            detail=f"the image {wanted.image} is not on the server",
            mend=f"on the server: docker pull {shlex.quote(wanted.image)}",
        )
    return None


def _may_not_restart(seen: ContainerSight, intent: Intent, answered: HttpAnswer) -> Outcome | None:
    known = intent.generation.container is not None and intent.generation.started is not None
    if not known or seen.id is None or not seen.started:
        return _nothing("it is not certain which run of the container was judged", Refusal.NO_SIGHT)
    if _is_another(seen, intent):
        return _nothing(_CHANGED)
    if seen.status is not ContainerStatus.RUNNING:
        return _nothing("the container does not run by now")
    if _is_good(answered) and not intent.ordered:
        return _nothing("the runtime answers on the server")
    if intent.ordered:
        return None
    if seen.publish_as_configured is False:
        return _nothing("its published port is not as configured", Refusal.VETO)
    return None


def _is_another(seen: ContainerSight, intent: Intent) -> bool:
    now = Generation(container=seen.id, started=seen.started or None)
    return now.differs(intent.generation)


def _is_good(answered: HttpAnswer) -> bool:
    """Any answer is a sign of life, but the front proxy's own when the runtime behind it is gone."""
    return answered.end is HttpEnd.ANSWERED and 0 < answered.status < 500


def _nothing(detail: str, reason: Refusal | None = None) -> Outcome:
    return Outcome(result=Result.NOTHING, detail=detail, reason=reason)


# ---------------------------------------------------------------- acting


def _carefully(reach: Reach, deadline: Deadline, act: Callable[[_Job], Outcome]) -> Outcome:
    """Run ``act``; what it cannot see or do becomes an outcome that says so."""
    engine, wanted = reach.engine, reach.target.runtime.container
    if engine is None or wanted is None:
        return _nothing("this target has no container")
    try:
        look = LastLook.begin(reach.clock, deadline)
        return act(_Job(reach, engine, wanted, deadline, look))
    except ContainerAmbiguous as several:
        return _nothing(f"several containers could be meant: {several}", Refusal.NO_SIGHT)
    except EngineRefused as refused:
        return replace(_nothing(refused.detail, Refusal.NO_SIGHT), mend=refused.mend)
    except Transient as error:
        if error.cause is Cause.LINK_LOST:
            raise
        # out of time, it may have been done all the same
        wedged = error.cause is Cause.REMOTE_WEDGED
        result = Result.UNKNOWN if wedged else Result.FAILED
        return Outcome(result=result, detail=error.detail, mend=error.mend)


@dataclass(frozen=True, slots=True)
class _Job:
    """One remedy at work on one target's container."""

    reach: Reach
    engine: ContainerEngine
    wanted: ContainerSettings
    deadline: Deadline
    last_look: LastLook

    def outdated(self) -> Outcome | None:
        """Nothing, if what was seen is no ground to act on any more."""
        why = self.last_look.outdated()
        return _nothing(why, Refusal.NO_SIGHT) if why else None

    def to_act(self) -> Deadline:
        """For the act alone; what is left then is for its proof."""
        return self.deadline.at_most(PROOF_SHARE * self.deadline.remaining())

    def look(self) -> ContainerSight:
        return self.engine.look(self.reach.target.name, self.wanted, self.deadline)

    def ask(self, path: str, token: Secret | None) -> HttpAnswer:
        """On the server, at the address that the forward leads to."""
        address, end = self.reach.target.forward.remote, self.deadline.at_most(_ASK_SECONDS)
        return self.reach.ask_on_server(address, path, token=token, deadline=end)

    def prove(self, container_id: str, before: str) -> Outcome:
        """Done once this container runs with another start than ``before`` and its runtime answers.
        FAILED if it ended again. It was acted upon, so not seeing is UNKNOWN, not FAILED."""
        try:
            return self._await_answer(container_id, before)
        except (EngineRefused, Transient) as error:
            return Outcome(result=Result.UNKNOWN, detail=error.detail, mend=error.mend)

    def _await_answer(self, container_id: str, before: str) -> Outcome:
        until = self.deadline.at_most(self.deadline.remaining() - _SETTLE_SECONDS - _ASK_SECONDS)
        while True:
            seen = self.look()
            if seen.id == container_id and seen.status in (
                ContainerStatus.EXITED,
                ContainerStatus.DEAD,
            ):
                return _ended_again(seen, self._last_words(container_id))
            running = seen.id == container_id and seen.status is ContainerStatus.RUNNING
            if running and seen.started != before and self.ask("/api", None).status == 200:
                return self._settle(container_id, seen.name)
            if until.passed():
                return Outcome(
                    result=Result.UNKNOWN, detail="it was started, but does not answer yet"
                )
            self.reach.clock.wait(min(_POLL_SECONDS, until.remaining()))

    def _settle(self, container_id: str, name: str) -> Outcome:
        """The runtime answers: which token does it take?"""
        if authentication_is_off(self.reach, self.deadline.at_most(_ASK_SECONDS)):
            return Outcome(
                result=Result.DONE,
                detail="the runtime answers, but to anybody: its authentication is off",
                mend=f"take the empty token out of the container's command: docker inspect {name}",
            )
        if self._takes(self.reach.tokens.current()) or self._learn(container_id):
            return Outcome(result=Result.DONE, detail=f"{name} runs and answers on the server")
        return Outcome(
            result=Result.DONE, detail=f"{name} runs and answers; its token is not known yet"
        )

    def _learn(self, container_id: str) -> bool:
        """A runtime whose token is not pinned makes a new one at each start, and prints it."""
        until = self.deadline.at_most(min(_TOKEN_SECONDS, self.deadline.remaining() - _ASK_SECONDS))
        while not until.passed():
            token = last_token(self.engine.log_tail(container_id, _LOG_LINES, self.deadline))
            if token is not None and self._takes(token):
                self.reach.tokens.learn(token)
                return True
            self.reach.clock.wait(min(_POLL_SECONDS, until.remaining()))
        return False

    def _last_words(self, container_id: str) -> str:
        """The last line of its log, for people; empty if it cannot be read, or could hold a token."""
        try:
            log = self.engine.log_tail(container_id, _WORDS_LINES, self.deadline)
        except (EngineRefused, Transient, Permanent):
            return ""
        lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
        return one_line(lines[-1], _WORDS_LIMIT) if lines and "token" not in lines[-1] else ""

    def _takes(self, token: Secret | None) -> bool:
        return token is not None and self.ask("/api/status", token).status == 200


def _ended_again(seen: ContainerSight, last_words: str) -> Outcome:
    why = seen.error or f"status {seen.exit_code}"
    if last_words:
        why += f"; its last words: {last_words}"
    return Outcome(
        result=Result.FAILED,
        detail=f"{seen.name} ended right after its start: {why}",
        mend=f"on the server: docker logs --tail 50 {seen.name}",
    )
