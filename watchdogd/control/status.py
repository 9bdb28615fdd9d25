"""What the running agent knows, as plain JSON values: the answers on its control socket."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Protocol
from urllib.parse import quote

from watchdogd.adapters.clock import SystemClock
from watchdogd.control.ladder import ladder
from watchdogd.control.orders import VERBS as ORDERS
from watchdogd.control.orders import Orders
from watchdogd.control.shadow import shadow_answer
from watchdogd.control.why import why_answer
from watchdogd.core.budget import destructive_lately
from watchdogd.core.choose import only_observes
from watchdogd.core.model import Env, Policy, TargetState, View
from watchdogd.core.seeing import impaired
from watchdogd.core.words import Kind
from watchdogd.errors import WatchdogdError
from watchdogd.ports import Clock, ForwardFacts, Tokens
from watchdogd.settings import Settings

STATUS_SCHEMA = "watchdogd.status/1"
URL_SCHEMA = "watchdogd.url/1"


class Recent(Protocol):
    """The last facts of a target; ``sinks.recent.RecentFacts`` is one."""

    def of(self, target: str) -> Sequence[Mapping[str, object]]: ...


class StatusAnswers:
    """Callable with a request, as ``ControlServer`` wants it. Reads the View; changes nothing. Made from
    what is in force at the moment of the request."""

    def __init__(
        self,
        view: Callable[[], View],
        settings: Settings,
        tokens: Mapping[str, Tokens],
        recent: Recent,
        forwards: Mapping[str, Callable[[], ForwardFacts]],
        clock: Clock | None = None,
        *,
        policies: Mapping[str, Policy],
        orders: Orders | None = None,
        config_problems: Sequence[str] = (),
    ) -> None:
        """``policies`` are those in force, ``orders`` takes the operator's verbs. ``config_problems``: why the configuration as it stands in the files is not in force."""
        self._view = view
        self._settings = settings
        self._tokens = tokens
        self._recent = recent
        self._forwards = forwards
        self._clock = clock or SystemClock()
        self._policies = policies
        self._orders = orders
        self._config_problems = config_problems
        self._version = version("watchdogd")

    def __call__(self, request: Mapping[str, object]) -> dict[str, object]:
        """``{"verb": "status" | "url", "target": name or null}`` -> the answer, or ``{"error": ...}``
        with ``code`` (``no_such_target``, ``no_token``, ``port_not_ours``, ``which_target``,
        ``no_such_verb``, and those of ``Orders``)."""
        verb, target = request.get("verb"), request.get("target")
        name = target if isinstance(target, str) else None
        if target is not None and name not in self._settings.targets:
            return self._unknown(str(target)[:64])
        if verb == "status":
            return self.status(name)
        if verb == "url":
            return self._url(name)
        if self._orders is not None and verb in ORDERS:
            if name is None:
                return _error("which_target", "name one of: " + ", ".join(self._settings.targets))
            return self._orders(str(verb), name, request)
        return _error("no_such_verb", f"this agent answers status, url, {', '.join(ORDERS)}")

    def status(self, target: str | None = None) -> dict[str, object]:
        """Schema ``watchdogd.status/1``, of one target or of all. No token is in it."""
        view = self._view()
        names = [target] if target else list(self._settings.targets)
        answer: dict[str, object] = {
            "schema": STATUS_SCHEMA,
            "version": self._version,
            "pid": os.getpid(),
            "started": _iso(view.started_wall),
            "last_round": _iso(view.last_round_wall),
            "config": {
                "files": list(self._settings.files),
                "problems": list(self._config_problems),
            },
            "targets": [self._target(name, view.targets.get(name)) for name in names],
        }
        return _without(answer, [token for name in self._tokens if (token := self._token(name))])

    def _target(self, name: str, known: TargetState | None) -> dict[str, object]:
        state = known or TargetState()
        run, boot, wall = self._clock.run(), self._clock.boot(), self._clock.wall()
        verdict = state.verdict
        since = wall - (boot - state.shown_since_boot) if state.shown_since_boot else 0.0
        return {
            "name": name,
            "state": str(state.shown),
            "since": _iso(since),
            "cause": _word(verdict.cause),
            "detail": verdict.detail or impaired(state),
            "mend": verdict.mend,
            "phase": str(state.phase),
            "usable": verdict.usable,
            "served": verdict.served,
            "incident": _incident(state),
            "remedy": _remedy(state, run),
            "refusals": [{"remedy": str(r), "reason": str(why)} for r, why in state.refusals],
            "mode": str(self._policies[name].mode) if name in self._policies else None,
            "observing": only_observes(state, run),
            "pause": _pause(state),
            "shadow": shadow_answer(state),
            "resume": _resume(state, run),
            "why": self._why(name, state),
            "layers": ladder(verdict, state.observations, now=run),
            "link": _link(state, run, wall),
            "forward": self._forward(name),
            "recent": [dict(entry) for entry in self._recent.of(name)],
        }

    def _why(self, name: str, state: TargetState) -> Mapping[str, object] | None:
        policy = self._policies.get(name)
        return None if policy is None else why_answer(state, policy, self._env(), target=name)

    def _env(self) -> Env:
        clock = self._clock
        now = Env(
            run=clock.run(),
            boot=clock.boot(),
            wall=clock.wall(),
            boot_id=clock.boot_id(),
            chance=0.0,
        )
        return replace(now, fleet=destructive_lately(self._view().targets.values(), now))

    def _forward(self, name: str) -> dict[str, object] | None:
        ask = self._forwards.get(name)
        target = self._settings.targets[name].forward
        if ask is None:
            return None
        facts = ask()
        return {
            "local": str(target.local),
            "remote": str(target.remote),
            "bound": facts.bound,
            "holder": facts.holder,
            "open_connections": facts.open_connections,
            "sent_bytes": facts.sent_bytes,
            "received_bytes": facts.received_bytes,
        }

    def _url(self, target: str | None) -> dict[str, object]:
        names = list(self._settings.targets)
        if target is None and len(names) != 1:
            return _error("which_target", "name one of: " + ", ".join(names))
        name = target or names[0]
        token = self._token(name)
        if not token:
            return _error("no_token", self._no_token(name))
        if stranger := self._not_ours(name):
            return _error("port_not_ours", stranger)
        port = self._settings.targets[name].forward.local.port
        return {
            "schema": URL_SCHEMA,
            "target": name,
            "url": f"http://localhost:{port}/?token={quote(token, safe='')}",
        }

    def _not_ours(self, name: str) -> str:
        """Why nobody may be sent to the local port now: who listens there would be given the token."""
        ask, local = self._forwards.get(name), self._settings.targets[name].forward.local
        facts = ask() if ask is not None else None
        if facts is not None and facts.bound:
            return ""
        if facts is not None and facts.holder:
            return (
                f"{local} is held by {facts.holder}, which would be given the token; free it, or "
                f"set another port in targets.{name}.forward.local"
            )
        return f"{local} is not bound yet, so the address leads nowhere; ask again"

    def _no_token(self, name: str) -> str:
        """What makes the token known, by the kind of the runtime."""
        runtime = self._settings.targets[name].runtime
        unknown, key = f"the token of {name} is not known", f"targets.{name}.runtime.token_file"
        if runtime.token_file is not None:
            return f"{unknown}: {key} cannot be used: {self._token_trouble(name)}"
        if runtime.kind is Kind.CONTAINER:
            return (
                f"{unknown} yet: a container that the agent did not make shows it in its log, which "
                f"is read at the next look; ask again, or set {key} to a file of mode 0600 that "
                "holds it"
            )
        if runtime.kind is Kind.EXTERNAL:
            return f"{unknown}: set {key} to a file of mode 0600 that holds the runtime's own token"
        return (
            f"{unknown} yet: the agent makes one when it starts the session, for which it has to be "
            f"connected (see watchdogd status {name}); of a session that somebody else started, set "
            f"{key} to a file of mode 0600 that holds the runtime's own token"
        )

    def _token_trouble(self, name: str) -> str:
        try:
            self._tokens[name].current()
        except (WatchdogdError, OSError, KeyError) as error:
            mend = getattr(error, "mend", "")
            return f"{error}; try: {mend}" if mend else str(error)
        return "it was mended just now; ask again"

    def _token(self, name: str) -> str:
        """Empty if none is known, or if its file cannot be read now."""
        tokens = self._tokens.get(name)
        with suppress(WatchdogdError, OSError):
            token = tokens.current() if tokens is not None else None
            return token.reveal() if token is not None else ""
        return ""

    def _unknown(self, target: str) -> dict[str, object]:
        names = list(self._settings.targets)
        answer = _error("no_such_target", f"no target is called {target!r}")
        answer["near"] = difflib.get_close_matches(target, names, n=3) or names[:8]
        return answer


def _error(code: str, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message}}


def _incident(state: TargetState) -> dict[str, object] | None:
    incident = state.incident
    if incident is None:
        return None
    return {
        "id": incident.id,
        "cause": str(incident.cause),
        "opened": _iso(incident.opened_wall),
        "remedies": [str(remedy) for remedy in incident.remedies],
        "failed": [str(remedy) for remedy in incident.failed],
        "refused": None if state.last_look is None else str(state.last_look[0]),
        "usable_again": incident.usable_again_boot is not None,
    }


def _pause(state: TargetState) -> dict[str, object] | None:
    pause = state.pause
    if pause is None:
        return None
    return {
        "since": _iso(pause.since_wall),
        "until": None if pause.until_wall is None else _iso(pause.until_wall),
        "actor": pause.actor,
        "reason": pause.reason,
    }


def _resume(state: TargetState, run: float) -> dict[str, object] | None:
    known, hook = state.resume, state.hook
    if known is None:
        return None
    return {
        "running": None if hook is None else round(max(0.0, run - hook.decided), 3),
        "trial": str(known.trial),
        "step": known.step,
        "failures": known.failures,
        "halted": known.halted,
    }


def _remedy(state: TargetState, run: float) -> dict[str, object] | None:
    intent = state.intent
    if intent is None:
        return None
    return {
        "remedy": str(intent.remedy),
        "cause": _word(intent.cause),
        "key": intent.key,
        "age": round(max(0.0, run - intent.decided), 3),
        "deadline": intent.deadline_seconds,
        "verifying": state.done,
    }


def _link(state: TargetState, run: float, wall: float) -> dict[str, object]:
    dialing = state.dialing
    up = dialing.up is not None
    begun = dialing.up_since if up and not dialing.silent else dialing.lost_at
    # No next dial at all (infinity, which JSON does not know) is told by ``stopped_by`` alone.
    waits = not up and dialing.dialing is None and run < dialing.next_at < float("inf")
    return {
        "up": up,
        "silent": dialing.silent,
        "since": _iso(wall - (run - begun)) if begun else None,
        "dialing": dialing.dialing is not None,
        "attempt": dialing.attempt,
        "next_dial_in": round(dialing.next_at - run, 3) if waits else None,
        "failure": _word(dialing.failure),
        "failure_detail": dialing.failure_detail,
        "failure_mend": dialing.failure_mend,
        "stopped_by": _word(dialing.stopped_by),
        "port_holder": dialing.port_holder,
    }


def _word(word: object) -> str | None:
    return None if word is None else str(word)


def _iso(wall: float) -> str | None:
    if wall <= 0:
        return None
    text = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _without(answer: dict[str, object], held: Sequence[str]) -> dict[str, object]:
    """The answer with the very tokens masked, should a server's text have carried one into a detail."""
    return {key: _masked(value, held) for key, value in answer.items()}


def _masked(value: object, held: Sequence[str]) -> object:
    if isinstance(value, str):
        for token in held:
            value = value.replace(token, "***")
        return value
    if isinstance(value, Mapping):
        return {key: _masked(inner, held) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, held) for inner in value]
    return value
