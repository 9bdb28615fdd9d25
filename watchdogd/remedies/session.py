"""Remedies for what lives in tmux: ``open_session``, ``start_session``, ``restart_session``.

For ``kind = "container"`` the session is a view of the container's log and owns nothing; it may be
opened, never ended. For ``kind = "session"`` it is the runtime's own home.
"""

from __future__ import annotations

import re

from watchdogd.core.model import Intent
from watchdogd.core.sight import SessionSight
from watchdogd.core.words import ContainerStatus, Refusal, Result
from watchdogd.ports import Deadline, EngineRefused, HttpAnswer, HttpEnd, Outcome, Reach, Sessions
from watchdogd.remedies.guarded import end_it, order
from watchdogd.remedies.last_look import LastLook
from watchdogd.remedies.pinning import authentication_is_off, pin_token
from watchdogd.settings import SessionSettings

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}")
GUARD_SHARE = 0.75
"""Of the time for a restart, at most so much is for ending what was there."""
_POLL_SECONDS = 0.5
_ASK_SECONDS = 3.0

_VIEW = 'while :; do docker logs -f --tail 200 "$1"; sleep 5; done'


def open_session(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """Open the view on the container's log. Done once tmux shows the session."""
    name = reach.target.runtime.session.name
    wanted = reach.target.runtime.container
    if reach.sessions is None or reach.engine is None or wanted is None:
        return Outcome(result=Result.NOTHING, detail="this target has no container to view")
    try:
        found = reach.engine.look(reach.target.name, wanted, deadline)
        if found.status is not ContainerStatus.RUNNING or not found.name:
            return Outcome(result=Result.NOTHING, detail="no container runs that could be viewed")
        if reach.sessions.look(name, deadline).exists:
            return Outcome(result=Result.DONE, detail=f"session {name} is there already")
        reach.sessions.open(name, view_argv(found.name), {}, deadline)
        sight = reach.sessions.look(name, deadline)
    except EngineRefused as refused:
        return Outcome(result=Result.FAILED, detail=refused.detail, mend=refused.mend)
    if sight.exists and sight.command_running:
        return Outcome(result=Result.DONE, detail=f"session {name} shows the log of {found.name}")
    return Outcome(result=Result.FAILED, detail=f"session {name} ended as soon as it was opened")


def start_session(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """Start the runtime's command in its session, with our token pinned.

    Does nothing if the command runs. Done once the runtime answers on the server; UNKNOWN if its
    command runs at the deadline and has not answered yet.
    """
    sessions, name = reach.sessions, reach.target.runtime.session.name
    if sessions is None:
        return Outcome(result=Result.NOTHING, detail="this target has no session")
    last_look = LastLook.begin(reach.clock, deadline)
    try:
        sight = sessions.look(name, deadline)
    except EngineRefused as refused:
        return _no_sight(refused)
    if sight.command_running:
        return Outcome(result=Result.NOTHING, detail=f"the command in {name} runs already")
    path = pin_token(reach, deadline)
    if why := last_look.outdated():
        return _too_late(why)
    # what is left of a command that ended is a dead pane, kept for its exit status
    return _open(reach, sessions, deadline, path, kill=bool(sight.exists))


def restart_session(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """End the session and what runs in it, and start it again. Destructive.

    The last look comes first: nothing is done if the session is another one than was judged, or if
    the runtime answers on the server now. The guard looks again, and ends it.
    """
    sessions, name = reach.sessions, reach.target.runtime.session.name
    if sessions is None:
        return Outcome(result=Result.NOTHING, detail="this target has no session")
    last_look = LastLook.begin(reach.clock, deadline)
    try:
        answer = _ask(reach, deadline)
        forbidden = _may_not_restart(sessions.look(name, deadline), intent, answer)
    except EngineRefused as refused:
        return _no_sight(refused)
    if forbidden:
        return Outcome(result=Result.NOTHING, detail=forbidden)
    path = pin_token(reach, deadline)  # first: without it nothing is ended
    if why := last_look.outdated():
        return _too_late(why)
    wanted = order(reach, intent, intent.generation.container or "", session=name)
    ended = end_it(reach, wanted, deadline.at_most(GUARD_SHARE * deadline.remaining()))
    return ended or _open(reach, sessions, deadline, path)


def view_argv(container: str) -> list[str]:
    """The command of the view. The name comes from the server, so it is an argument, never shell text,
    and must look like a container's name; raises ``EngineRefused`` otherwise."""
    if _NAME.fullmatch(container) is None:
        raise EngineRefused("the container's name is not one that a container can have")
    return ["sh", "-c", _VIEW, "sh", container]


def _may_not_restart(sight: SessionSight, intent: Intent, answer: HttpAnswer) -> str:
    """Why nothing may be done now; empty if the act may go on."""
    if not sight.exists or sight.generation is None:
        return "the session is not there any more"
    if sight.generation != intent.generation.container:
        return "the session is another one than was judged"
    if answer.end is HttpEnd.ANSWERED and 0 < answer.status < 500 and not intent.ordered:
        return "the runtime answers on the server"
    return ""


def _no_sight(refused: EngineRefused) -> Outcome:
    return Outcome(
        result=Result.NOTHING,
        detail=refused.detail,
        mend=refused.mend,
        reason=Refusal.NO_SIGHT,
    )


def _too_late(why: str) -> Outcome:
    return Outcome(result=Result.NOTHING, detail=why, reason=Refusal.NO_SIGHT)


def _open(
    reach: Reach, sessions: Sessions, deadline: Deadline, path: str, *, kill: bool = False
) -> Outcome:
    session = reach.target.runtime.session
    try:
        if kill:
            sessions.kill(session.name, deadline)
        env = {"JUPYTER_TOKEN_FILE": path}
        sessions.open(session.name, [session.command], env, deadline, keep=True)
    except EngineRefused as refused:
        return Outcome(result=Result.FAILED, detail=refused.detail, mend=refused.mend)
    try:
        return _await_answer(reach, sessions, deadline)
    except EngineRefused as refused:  # it was started; only the proof could not be had
        return Outcome(result=Result.UNKNOWN, detail=refused.detail, mend=refused.mend)


def _await_answer(reach: Reach, sessions: Sessions, deadline: Deadline) -> Outcome:
    """Ask until the runtime answers, its command ends, or the time is over."""
    name = reach.target.runtime.session.name
    # what is kept back lets the last look end before the deadline does
    until = deadline.at_most(max(0.0, deadline.remaining() - _ASK_SECONDS))
    while not until.passed():
        answer = _ask(reach, deadline)
        if answer.end is HttpEnd.ANSWERED and answer.status == 200:
            return _proved(reach, deadline)
        if not sessions.look(name, deadline).command_running:
            return _ended(reach.target.runtime.session)
        reach.clock.wait(min(_POLL_SECONDS, until.remaining()))
    return Outcome(
        result=Result.UNKNOWN, detail=f"the command in {name} runs, but does not answer yet"
    )


def _proved(reach: Reach, deadline: Deadline) -> Outcome:
    if authentication_is_off(reach, deadline):
        return Outcome(
            result=Result.DONE,
            detail="the runtime answers, but to anybody: its authentication is off",
            mend=f"take the empty token out of targets.{reach.target.name}.runtime.session.command",
        )
    return Outcome(result=Result.DONE, detail="the runtime answers on the server")


def _ended(session: SessionSettings) -> Outcome:
    return Outcome(
        result=Result.FAILED,
        detail=f"the command in session {session.name} ended at once",
        mend=session.last_words,
    )


def _ask(reach: Reach, deadline: Deadline) -> HttpAnswer:
    address = reach.target.forward.remote
    return reach.ask_on_server(address, "/api", token=None, deadline=deadline.at_most(_ASK_SECONDS))
