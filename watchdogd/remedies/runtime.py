"""Remedy ``refresh_token``: find the token that the running runtime takes, and use it from now on.

A container that somebody started by hand makes a new token at each start and writes it into its log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from watchdogd.core.model import Intent
from watchdogd.core.words import Result
from watchdogd.errors import Permanent, Transient
from watchdogd.ports import Deadline, EngineRefused, HttpEnd, Outcome, Reach
from watchdogd.settings import Secret

LOG_LINES = 2000

_IN_LOG = re.compile(rb"[?&]token=([0-9a-f]{48})(?![0-9a-zA-Z])")


def refresh_token(reach: Reach, intent: Intent, deadline: Deadline) -> Outcome:
    """Try our own token, then the last one in the container's log, through the forward.

    Done once one of them is answered with 200 and is the target's current token.
    """
    try:
        for token in _candidates(reach, deadline):
            if not _taken(reach, token, deadline):
                continue
            reach.tokens.learn(token)
            if reach.tokens.current() == token:
                return Outcome(
                    result=Result.DONE, detail="the runtime takes the token that was found"
                )
            return _configured_is_another(reach)
    except EngineRefused as refused:
        return Outcome(result=Result.FAILED, detail=refused.detail, mend=refused.mend)
    return Outcome(
        result=Result.FAILED,
        detail="no token was found that the runtime takes",
        mend=f"put its token into a file of mode 0600 and name it in {_key(reach)}",
    )


def last_token(log: bytes) -> Secret | None:
    """The last token that a Jupyter server printed into this log: each start makes a new one."""
    found = _IN_LOG.findall(log)
    return Secret(found[-1].decode("ascii")) if found else None


def _candidates(reach: Reach, deadline: Deadline) -> Iterator[Secret]:
    """Cheapest first. A token file that cannot be read is no candidate, and no reason to stop."""
    try:
        if reach.tokens.current() is not None:
            yield reach.tokens.pinned()
    except (Transient, Permanent):
        pass
    logged = _logged(reach, deadline)
    if logged is not None:
        yield logged


def _logged(reach: Reach, deadline: Deadline) -> Secret | None:
    wanted = reach.target.runtime.container
    if reach.engine is None or wanted is None:
        return None
    found = reach.engine.look(reach.target.name, wanted, deadline)
    if found.id is None:
        return None
    return last_token(reach.engine.log_tail(found.id, LOG_LINES, deadline))


def _taken(reach: Reach, token: Secret, deadline: Deadline) -> bool:
    if not reach.links.forward().bound:
        return False
    local = reach.target.forward.local
    answer = reach.http(local, "/api/status", token=token, deadline=deadline)
    # only JSON bodies are kept: a 200 of something else is empty here
    return answer.end is HttpEnd.ANSWERED and answer.status == 200 and bool(answer.body)


def _configured_is_another(reach: Reach) -> Outcome:
    return Outcome(
        result=Result.FAILED,
        detail="the runtime takes another token than the configured file holds",
        mend=f"put the runtime's token into that file, or take {_key(reach)} out of the configuration",
    )


def _key(reach: Reach) -> str:
    return f"targets.{reach.target.name}.runtime.token_file"
