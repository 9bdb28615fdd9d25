"""Probes ``runtime_tunnel`` and ``runtime_server``: one question, asked from two places.

``GET /api/status`` with the token proves the way, the server, its loop and the token at once; ``GET
/api``, which needs no token, is asked only to tell why the first was not answered well. What an answer
means is one pure function for both places; only a refused connect differs, since through the tunnel
it is our own listener that refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from watchdogd.core.model import Observation
from watchdogd.core.words import Cause, Kind, Layer, Outcome, ProbeName, Vantage
from watchdogd.errors import Permanent, Transient, one_line
from watchdogd.ports import (
    FORWARD_MEND,
    OWN_ANSWER_HEADER,
    Deadline,
    EngineRefused,
    HttpAnswer,
    HttpEnd,
    HttpGet,
    LinkStatus,
    Reach,
    Reading,
)
from watchdogd.probes.observing import Watch
from watchdogd.settings import Address, Secret, TargetSettings

STATUS = "/api/status"
VERSION = "/api"

Ask = Callable[[str, Secret | None], HttpAnswer]

_TOLD_BY_FORWARD = {
    cause.value: cause
    for cause in (Cause.RUNTIME_REFUSED, Cause.FORWARD_DENIED, Cause.FORWARD_STALLED)
}
"""What our own forward may know of the far side, as it names it in its header."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the answers mean, before it is known where they were asked."""

    outcome: Outcome
    cause: Cause | None = None
    detail: str = ""
    mend: str = ""


REFUSED_HERE = Finding(Outcome.UNKNOWN, detail="our own listener refused the connect")
REFUSED_THERE = Finding(Outcome.FAIL, Cause.RUNTIME_REFUSED, "the port on the server is closed")


def runtime_tunnel(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """Ask through the forward. UNKNOWN without a link, without our own listener, or if the link ended or
    was silent meanwhile: then an answer, or none, says nothing about the runtime."""
    watch = Watch.start(reach.clock, ProbeName.RUNTIME_TUNNEL, Layer.RUNTIME, Vantage.TUNNEL)
    before = reach.links.status()
    # a foreign listener on our port must never be sent the token
    if not reach.links.forward().bound:
        return _reading(watch.unknown("the local port is not ours"))
    if before.link is None or before.silent:
        return _reading(watch.unknown("there is no link that speaks"))
    local = reach.target.forward.local
    finding = _found(reach, local, reach.http, REFUSED_HERE, deadline)
    if finding.outcome is Outcome.FAIL and not _same_link(before, reach.links.status(), watch):
        return _reading(watch.unknown("the link ended or was silent while the request ran"))
    return _reading(_seen(watch, finding, reach.target))


def runtime_server(reach: Reach, deadline: Deadline, so_far: Sequence[Reading]) -> Reading:
    """The same request, executed on the server. UNKNOWN if it cannot be executed there."""
    watch = Watch.start(reach.clock, ProbeName.RUNTIME_SERVER, Layer.RUNTIME, Vantage.SERVER)
    if reach.links.status().link is None:
        return _reading(watch.unknown("there is no link to the server"))
    remote = reach.target.forward.remote
    try:
        finding = _found(reach, remote, reach.ask_on_server, REFUSED_THERE, deadline)
    except EngineRefused as refused:
        return _reading(watch.unknown(refused.detail, refused.mend))
    except (Transient, Permanent) as error:
        return _reading(watch.unknown(error.detail, error.mend))
    return _reading(_seen(watch, finding, reach.target))


def classify(ask: Ask, token: Secret | None, *, refused: Finding, must_know_token: bool) -> Finding:
    """What the runtime's answers mean. ``ask`` may raise; what it raises is passed on.

    ``refused``: what a refused connect means where the question was asked. ``must_know_token``: a
    runtime that wants a token which is not known yet is ``runtime_auth``, as the token can be found;
    otherwise ``GET /api`` alone decides.
    """
    if token is None and not must_know_token:
        return _by_version(ask(VERSION, None), refused)
    first = ask(STATUS, token)
    plain = _without_answer(first, refused)
    if plain is not None:
        return plain
    if first.status == 200 and _object(first, "started") is not None:
        return Finding(Outcome.OK)
    finding = _by_version(ask(VERSION, None), refused)
    if finding.outcome is not Outcome.OK:
        return finding
    if first.status in (401, 403):
        known = "does not take our token" if token else "wants a token, and none is known yet"
        return Finding(Outcome.FAIL, Cause.RUNTIME_AUTH, f"the runtime {known}")
    return Finding(
        Outcome.OK, detail=f"GET {STATUS} answers {_named(first)}, GET {VERSION} is fine"
    )


def _found(
    reach: Reach, address: Address, asking: HttpGet, refused: Finding, deadline: Deadline
) -> Finding:
    """``classify`` with the token of this target; a token that cannot be read is said, not raised."""
    try:
        token = reach.tokens.current()
    except (Transient, Permanent) as error:
        return Finding(Outcome.FAIL, error.cause, error.detail, error.mend)
    until = deadline.at_most(reach.target.probe.timeout)
    return classify(
        lambda path, sent: asking(address, path, token=sent, deadline=until),
        token,
        refused=refused,
        must_know_token=reach.target.runtime.kind is Kind.CONTAINER,
    )


def _by_version(answer: HttpAnswer, refused: Finding) -> Finding:
    """What ``GET /api`` says, which wants no token."""
    plain = _without_answer(answer, refused)
    if plain is not None:
        return plain
    if answer.status == 200 and _object(answer, "version") is not None:
        return Finding(Outcome.OK)
    if answer.status >= 500:
        detail = f"GET {VERSION} answers {_named(answer)}"
        return Finding(Outcome.FAIL, Cause.RUNTIME_ERROR, detail)
    if answer.status == 403 and _object(answer, "message") is not None:
        return Finding(Outcome.FAIL, Cause.BUG, "the runtime does not take our Host header")
    return Finding(Outcome.FAIL, Cause.WRONG_SERVER, f"{_named(answer)} is no Jupyter's answer")


def _without_answer(answer: HttpAnswer, refused: Finding) -> Finding | None:
    """What can be said before the status is looked at: nobody there, no answer, our own answer."""
    if answer.ours:
        return _told_by_forward(answer)
    if answer.end is HttpEnd.REFUSED:
        return refused
    if answer.end is HttpEnd.CLOSED:
        return Finding(Outcome.FAIL, Cause.RUNTIME_REFUSED, "the connection was closed unanswered")
    if answer.end is HttpEnd.SILENT:
        return Finding(Outcome.FAIL, Cause.RUNTIME_HUNG, "connected, but no answer came in time")
    return None


def _told_by_forward(answer: HttpAnswer) -> Finding:
    words = answer.headers.get(OWN_ANSWER_HEADER, "").split()
    cause = _TOLD_BY_FORWARD.get(words[-1]) if words else None
    if cause is None:
        return Finding(Outcome.UNKNOWN, detail="our own forward answered in the runtime's place")
    mend = FORWARD_MEND if cause is Cause.FORWARD_DENIED else ""
    return Finding(
        Outcome.FAIL, cause, f"the server does not open the forward: {cause.value}", mend
    )


def _object(answer: HttpAnswer, key: str) -> Mapping[str, object] | None:
    """The body as a JSON object that has this key. Anything else, however odd, is ``None``."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and key in found else None


def _named(answer: HttpAnswer) -> str:
    """Who answered what, for people."""
    if answer.status == 0:
        return "something that is not HTTP"
    server = one_line(answer.headers.get("server", ""), 40)
    return f"{answer.status} of {server}" if server else str(answer.status)


def _same_link(before: LinkStatus, after: LinkStatus, watch: Watch) -> bool:
    """Only a link that lived and spoke all the while lends a failure its meaning."""
    link = after.link
    if link is None or after.silent or after.number != before.number or not link.alive():
        return False
    return link.facts().last_received_at >= watch.started


def _seen(watch: Watch, finding: Finding, target: TargetSettings) -> Observation:
    if finding.outcome is Outcome.FAIL and finding.cause is not None:
        mend = finding.mend or _mend(finding.cause, target)
        return watch.fail(finding.cause, finding.detail, mend)
    if finding.outcome is Outcome.OK:
        return watch.ok(finding.detail)
    return watch.unknown(finding.detail, finding.mend)


def _mend(cause: Cause, target: TargetSettings) -> str:
    """Of a runtime that is only looked at. What the agent itself starts, it mends itself."""
    if target.runtime.kind is not Kind.EXTERNAL or cause is not Cause.RUNTIME_REFUSED:
        return ""
    return f"start the runtime on the server, or correct targets.{target.name}.forward.remote"


def _reading(seen: Observation) -> Reading:
    return Reading(observations=(seen,))
