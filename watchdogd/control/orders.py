"""The operator's verbs: ``pause``, ``resume``, ``approve``, ``heal``, ``reset`` become events.

An order is checked against what is known now, and handed to the decision loop, which alone carries it out;
what became of it is among the target's recent facts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from watchdogd.core.events import Approved, Event, Ordered, Paused, Reset, Unpaused
from watchdogd.core.ladders import remedies_of, unbuilt
from watchdogd.core.life import signs
from watchdogd.core.model import Env, Policy, TargetState, View
from watchdogd.core.operating import asked, impossible
from watchdogd.core.words import HARM, Remedy
from watchdogd.errors import one_line

SCHEMA = "watchdogd.order/1"
VERBS = ("pause", "resume", "approve", "heal", "reset")
LONGEST_PAUSE = 366 * 86_400.0


class Orders:
    """Callable with a request whose verb is one of ``VERBS`` and whose target is known."""

    def __init__(
        self,
        view: Callable[[], View],
        policies: Mapping[str, Policy],
        post: Callable[[str, Event], None],
        env: Callable[[], Env],
    ) -> None:
        """``post`` hands an event of a target to the decision loop."""
        self._view = view
        self._policies = policies
        self._post = post
        self._env = env

    def __call__(self, verb: str, target: str, request: Mapping[str, object]) -> dict[str, object]:
        """The answer: what was handed over and when; or ``{"error": ...}`` with ``code`` ``bad_request``
        (``refused``: it cannot be done now)."""
        state, env = self._view().targets.get(target), self._env()
        if state is None:
            return _error("refused", f"{target} has just been taken up; ask again")
        actor = one_line(str(request.get("actor", "")), 100)
        try:
            event, told = self._event(verb, target, state, request, actor)
        except ValueError as error:
            return _error("bad_request", str(error))
        except PermissionError as error:
            return _error("refused", str(error))
        answer: dict[str, object] = {
            "schema": SCHEMA,
            "verb": verb,
            "target": target,
            "at": datetime.fromtimestamp(env.wall, UTC).isoformat(timespec="milliseconds"),
            "done": event is not None,
            **told,
        }
        if event is not None:
            self._post(target, event)
        return answer

    def _event(
        self,
        verb: str,
        target: str,
        state: TargetState,
        request: Mapping[str, object],
        actor: str,
    ) -> tuple[Event | None, Mapping[str, object]]:
        match verb:
            case "pause":
                until = self._until(request.get("seconds"))
                reason = one_line(str(request.get("reason") or ""), 200)
                return Paused(until_wall=until, actor=actor, reason=reason), {"until": until}
            case "resume":
                if state.pause is None:
                    raise PermissionError(f"{target} is not paused")
                return Unpaused(actor=actor), {}
            case "approve":
                remedy = asked(state)
                if remedy is None:
                    raise PermissionError(f"nothing of {target} waits for an approval")
                return Approved(actor=actor), {"remedy": str(remedy)}
            case "reset":
                return Reset(actor=actor), {}
            case _:
                return self._heal(target, state, request, actor)

    def _until(self, seconds: object) -> float | None:
        if seconds is None:
            return None
        if not isinstance(seconds, int | float) or not math.isfinite(seconds):
            raise ValueError("seconds is a number")
        if not 0 < seconds <= LONGEST_PAUSE:
            raise ValueError("a pause is longer than nothing and shorter than a year")
        return self._env().wall + seconds

    def _heal(
        self, target: str, state: TargetState, request: Mapping[str, object], actor: str
    ) -> tuple[Event | None, Mapping[str, object]]:
        policy = self._policies[target]
        known = remedies_of(policy.kind)
        remedy = _remedy(request.get("remedy"), known)
        why = impossible(state, remedy)
        told = {
            "remedy": str(remedy),
            "harm": HARM[remedy].name.lower(),
            "container": state.generation.container,
            "started": state.generation.started,
            "signs": [sign.what for sign in signs(state, policy, self._env().run)],
            "impossible": why,
        }
        if request.get("dry_run"):
            return None, told | {"impossible": why or _unsendable(state, remedy)}
        if why:
            raise PermissionError(f"{remedy} cannot be done now: {why}")
        return Ordered(remedy=remedy, actor=actor), told


def _unsendable(state: TargetState, remedy: Remedy) -> str:
    """Why the order would come to nothing now: only a new link needs none."""
    link = state.dialing
    if remedy is Remedy.RECONNECT or (link.up is not None and not link.silent):
        return ""
    return "there is no SSH link to the server, so nothing can be sent; it dials by itself"


def _remedy(name: object, known: Sequence[Remedy]) -> Remedy:
    for remedy in known:
        if remedy.value == name:
            return remedy
    names = ", ".join(remedy.value for remedy in known)
    if any(remedy.value == name and unbuilt(remedy) for remedy in Remedy):
        raise ValueError(f"{name} is not built yet; there are: {names}")
    raise ValueError(f"no such remedy for this target: {str(name)[:40]!r}; known: {names}")


def _error(code: str, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message}}
