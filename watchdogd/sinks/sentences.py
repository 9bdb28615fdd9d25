"""Facts and link news in plain words: what is written in the log, and with which fields."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from watchdogd.core import commands as c
from watchdogd.core import events as e
from watchdogd.core.words import Hindsight, Refusal, Remedy, Result, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line to be."""

    level: str
    text: str
    fields: dict[str, object] = field(default_factory=dict)
    """What is empty is left out when it is written."""
    repeats: Hashable = None
    """Set if it may come again and again: lines with an equal one count as repeats."""
    ends: str = ""
    """Repeats of this kind are news again after this line."""
    ended_by: tuple[str, ...] = ()
    """The same, once this line was written: who read of a fault reads of its end."""


class Place(NamedTuple):
    """Where a target is, as its configuration says it."""

    local: str
    """Address that the forward listens on; empty = not told."""
    host: str
    """SSH host; empty = not told."""


NOWHERE = Place(local="", host="")
_UP = (State.UP,)
_BACK = ("link_up", "reconnected")
_ENDED = {
    Result.DONE: "is done",
    Result.FAILED: "failed",
    Result.NOTHING: "did nothing",
    Result.UNKNOWN: "ended without a known effect",
}
_HOOK_ENDED = {
    Result.DONE: "ended well",
    Result.FAILED: "failed",
    Result.NOTHING: "was not begun",
    Result.UNKNOWN: "did not end by its deadline and was ended",
}
_HINDSIGHT = {
    Hindsight.RIGHT: "{} would have been right: health did not come back by itself",
    Hindsight.FALSE_ALARM: "{} would have been a false alarm: health came back by itself",
    Hindsight.UNDECIDED: "nobody knows whether {} would have been right: somebody acted",
}
_WATCHED = (Refusal.GRACE, Refusal.COOLDOWN, Refusal.VETO, Refusal.NO_SIGHT, Refusal.OBSERVE)


def fact_line(fact: c.Fact) -> Line:
    """The line for one fact."""
    match fact:
        case c.StateChanged():
            return _state(fact)
        case c.RemedyRefused():
            return Line(
                level="info" if fact.reason in _WATCHED else "warning",
                text=_refusal(fact),
                fields={"remedy": fact.remedy, "reason": fact.reason, "detail": fact.detail},
                repeats=("remedy_refused", fact.remedy, fact.reason),
            )
        case c.Reconnected():
            return Line(
                level="info",
                text=f"connected again after {fact.seconds:.1f} s",
                fields={"cause": fact.cause, "seconds": round(fact.seconds, 3)},
                repeats=("reconnected", fact.cause),
                ends="dial_failed",
            )
        case c.IncidentOpened() | c.IncidentRerooted() | c.IncidentClosed():
            return _incident(fact)
        case c.RemedyIntended() | c.RemedyEnded() | c.RemedyVerified():
            return _remedy(fact)
        case c.PauseBegan() | c.PauseEnded() | c.OperatorSpoke():
            return _operator(fact)
        case c.ShadowOpened() | c.ShadowScored():
            return _shadow(fact)
        case c.KernelsGone():
            return _gone(fact)
        case c.HookBegan() | c.HookEnded():
            return _hook(fact)
        case c.ResumeEnded() | c.ResumeHalted() | c.ResumeWithheld():
            return _resume(fact)


def _shadow(fact: c.ShadowOpened | c.ShadowScored) -> Line:
    fields: dict[str, object] = {
        "remedy": fact.remedy,
        "cause": fact.cause,
        "reason": fact.reason,
    }
    if isinstance(fact, c.ShadowOpened):
        text = f"{fact.remedy} would begin now; hindsight will tell whether that was right"
        return Line(level="info", text=text, fields=fields)
    fields |= {"outcome": fact.outcome, "seconds": round(fact.seconds, 3)}
    return Line(level="info", text=_HINDSIGHT[fact.outcome].format(fact.remedy), fields=fields)


def _gone(fact: c.KernelsGone) -> Line:
    several = len(fact.kernels) > 1
    what = f"{len(fact.kernels)} kernels are gone" if several else "a kernel is gone"
    how = (
        "busy when last asked: what ran there is lost"
        if fact.busy
        else "idle: shut down by somebody, or culled by the runtime's own setting "
        "MappingKernelManager.cull_idle_timeout"
    )
    return Line(
        level="warning" if fact.busy else "info",
        text=f"{what} ({how}); the container is left alone",
        fields={"kernels": list(fact.kernels)},
        repeats=("kernels_gone", fact.busy),
    )


def _hook(fact: c.HookBegan | c.HookEnded) -> Line:
    hook = fact.hook
    fields: dict[str, object] = {"incident": hook.incident, "key": hook.key}
    fields |= {"attempt": hook.attempt, "back": hook.back, "step": hook.step}
    if isinstance(fact, c.HookBegan):
        back = ", one checkpoint further back" if hook.back else ""
        text = f"resume_command begins (attempt {hook.attempt}{back})"
        return Line(level="info", text=text, fields=fields)
    fields |= {"result": fact.result, "seconds": round(fact.seconds, 3), "detail": fact.detail}
    level = "info" if fact.result is Result.DONE else "warning"
    text = f"resume_command {_HOOK_ENDED[fact.result]} after {fact.seconds:.1f} s"
    return Line(level=level, text=text, fields=fields)


def _resume(fact: c.ResumeEnded | c.ResumeHalted | c.ResumeWithheld) -> Line:
    if isinstance(fact, c.ResumeWithheld):
        fields: dict[str, object] = {"incident": fact.incident, "reason": fact.reason}
        level = "warning" if fact.reason is Refusal.HALTED else "info"
        text = f"the training is not resumed: {fact.detail or fact.reason}"
        return Line(level=level, text=text, fields=fields)
    where = f" at step {fact.step:g}" if fact.step is not None else ""
    fields = {"step": fact.step, "failures": fact.failures}
    if isinstance(fact, c.ResumeHalted):
        text = (
            f"the training is not resumed any more: {fact.failures} resumes in a row failed{where}; "
            "find out why, then reset the target"
        )
        return Line(level="error", text=text, fields=fields)
    if fact.moved:
        return Line(level="info", text=f"the training goes on{where}", fields=fields)
    text = f"the resume failed{where}, {fact.failures} in a row: {fact.detail}"
    return Line(level="warning", text=text, fields=fields)


def _operator(fact: c.PauseBegan | c.PauseEnded | c.OperatorSpoke) -> Line:
    if isinstance(fact, c.PauseBegan):
        pause = fact.pause
        until = "" if pause.until_wall is None else f" until {_clock(pause.until_wall)}"
        why = f": {pause.reason}" if pause.reason else ""
        return Line(level="info", text=f"paused{until}{why}", fields={"actor": pause.actor})
    if isinstance(fact, c.PauseEnded):
        by = "" if fact.actor else " (its time is over)"
        return Line(level="info", text=f"no longer paused{by}", fields={"actor": fact.actor})
    what = f"{fact.verb} {fact.remedy}" if fact.remedy else fact.verb
    worth = "" if fact.accepted else f" is worth nothing: {fact.detail}"
    return Line(
        level="info" if fact.accepted else "warning",
        text=f"a person said {what}{worth}",
        fields={"actor": fact.actor, "remedy": fact.remedy},
    )


def _clock(wall: float) -> str:
    return f"{datetime.fromtimestamp(wall, UTC):%Y-%m-%d %H:%M} UTC"


def _refusal(fact: c.RemedyRefused) -> str:
    if fact.reason is Refusal.OBSERVE:
        return f"would do {fact.remedy} (observe only)"
    yet = " yet" if fact.reason in _WATCHED else ""
    return f"{fact.remedy} is not done{yet}: {fact.detail or fact.reason}"


def _state(fact: c.StateChanged) -> Line:
    cause = f": {fact.cause}" if fact.cause else ""
    # Degraded without a cause is the way back to health, not news of trouble.
    bad = fact.new is State.DOWN or (fact.new is State.DEGRADED and fact.cause is not None)
    same = fact.old is fact.new
    return Line(
        level="warning" if bad else "info",
        text=f"still {fact.new}{cause}" if same else f"now {fact.new}{cause} (was {fact.old})",
        fields={
            "state": fact.new,
            "cause": fact.cause,
            "detail": fact.detail,
            "mend": fact.mend,
        },
        ends="remedy_refused" if fact.new in _UP else "",
    )


def _incident(fact: c.IncidentOpened | c.IncidentRerooted | c.IncidentClosed) -> Line:
    fields: dict[str, object] = {"incident": fact.incident.id, "cause": fact.incident.cause}
    if isinstance(fact, c.IncidentOpened):
        fields |= {"detail": fact.detail, "mend": fact.mend}
        fields["detection_seconds"] = round(fact.detection_seconds, 3)
        return Line(level="warning", text=f"incident: {fact.incident.cause}", fields=fields)
    if isinstance(fact, c.IncidentRerooted):
        return Line(
            level="warning",
            text=f"incident is {fact.incident.cause}, not {fact.old}",
            fields=fields,
        )
    fields["remedies"] = [str(remedy) for remedy in fact.incident.remedies]
    fields["duration_seconds"] = round(fact.duration_seconds, 3)
    return Line(
        level="info",
        text=f"incident over: usable again after {fact.duration_seconds:.1f} s",
        fields=fields,
        ends="remedy_refused",
    )


def _remedy(fact: c.RemedyIntended | c.RemedyEnded | c.RemedyVerified) -> Line:
    intent = fact.intent
    fields: dict[str, object] = {
        "incident": intent.incident,
        "cause": intent.cause,
        "remedy": intent.remedy,
        "key": intent.key,
    }
    # Of a long outage each dial is a reconnect that begins and fails, like the one before.
    routine = intent.remedy is Remedy.RECONNECT and not intent.ordered
    each = (intent.incident, intent.cause)
    if isinstance(fact, c.RemedyIntended):
        return Line(
            level="info",
            text=f"{intent.remedy} begins",
            fields=fields,
            repeats=("reconnect", "begins", *each) if routine else None,
        )
    if isinstance(fact, c.RemedyVerified):
        proved = "worked: healthy again" if fact.healthy else "did not bring health in time"
        level = "info" if fact.healthy else "warning"
        return Line(level=level, text=f"{intent.remedy} {proved}", fields=fields)
    fields |= {"result": fact.result, "seconds": round(fact.seconds, 3)}
    fields |= {"detail": fact.detail, "mend": fact.mend}
    done = fact.result is Result.DONE
    return Line(
        level="info" if done else "warning",
        text=f"{intent.remedy} {_ENDED[fact.result]} after {fact.seconds:.1f} s",
        fields=fields,
        repeats=("reconnect", *each, fact.result, fact.detail) if routine and not done else None,
        ends="reconnect" if done else "",
    )


def event_line(event: e.Event, place: Place = NOWHERE) -> Line | None:
    """The line for news of the link, the port or the laptop; ``None`` for what facts tell better."""
    link = f"SSH link to {place.host}" if place.host else "SSH link"
    match event:
        case e.Started(journal_ok=False):
            return Line(level="error", text="the journal cannot be used: only observing")
        case e.Started(observe_seconds=float(wait)):
            text = f"crashed twice within 10 min: only observing for {wait / 60:.0f} min"
            return Line(level="error", text=text)
        case e.LinkUp():
            return Line(
                level="info",
                text=f"{link} is up",
                fields={"link": event.number},
                repeats=("link_up",),
                ends="dial_failed",
            )
        case e.LinkSilent() | e.LinkSpeaking():
            silent = isinstance(event, e.LinkSilent)
            return Line(
                level="warning" if silent else "info",
                text=f"{link} is silent" if silent else f"{link} speaks again",
                fields={"link": event.number},
                repeats=("link_silent" if silent else "link_speaking",),
                ended_by=("link_speaking", *_BACK) if silent else (),
            )
        case e.LinkLost():
            fields = {"link": event.number, "detail": event.detail}
            return Line(
                level="warning",
                text=f"{link} is lost",
                fields=fields,
                repeats=("link_lost",),
                ended_by=_BACK,
            )
        case e.DialFailed():
            return Line(
                level="error" if event.permanent else "warning",
                text=f"no {link}: {event.cause}",
                fields={"cause": event.cause, "detail": event.detail, "mend": event.mend},
                repeats=("dial_failed", event.cause),
                ended_by=_BACK,
            )
        case _:
            return _around(event, place)


def _around(event: e.Event, place: Place) -> Line | None:
    match event:
        case e.PortBound():
            where = f" on {place.local}" if place.local else ""
            return Line(level="info", text=f"forward listens{where}", ends="bind_failed")
        case e.BindFailed():
            port = place.local or "the forward's port"
            return Line(
                level="warning",
                text=f"{port} is held by {event.holder}",
                fields={"cause": "port_conflict"},
                repeats=("bind_failed", event.holder),
            )
        case e.Resumed():
            return Line(level="info", text=f"awake again after {event.slept:.0f} s")
        case e.NetworkChanged(routed=routed):
            told = "another network" if routed else "no way to the server from here"
            return Line(level="info", text=told, repeats=("network_changed", str(routed)))
        case e.ClockStepped():
            return Line(level="info", text=f"the clock was set by {event.by:+.1f} s")
        case e.FilesChanged():
            return Line(level="info", text="known_hosts or a key file changed")
        case _:
            return None
