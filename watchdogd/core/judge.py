"""Observations -> verdict: the lowest failing layer, one cause, and what may be said above it.

Two vantage points decide: T, a request through the tunnel, and R, the same request executed on the
server. A fault in a lower layer explains what fails above it, so that is *unknown*, never *failed*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from watchdogd.core.model import Observation, Verdict
from watchdogd.core.words import Cause, Kind, Layer, Outcome, ProbeName

CONTAINER, SESSION = Kind.CONTAINER, ProbeName.SESSION
TUNNEL, SERVER = ProbeName.RUNTIME_TUNNEL, ProbeName.RUNTIME_SERVER
OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN
AGENT = Layer.AGENT
"""What each round is compared with. Named once: Python 3.11 looks a member up slowly."""
BELOW_RUNTIME = (Layer.NETWORK, Layer.SSH, Layer.HOST, Layer.CONTAINER, Layer.FORWARD)
ANSWERS = {OK: True, FAIL: False, UNKNOWN: None}
"""Did what was asked answer? None = not measured."""
WAY = (Layer.NETWORK, Layer.SSH, Layer.FORWARD)
"""The layers between the client and the server: nothing passes while one of them fails."""
ON_SERVER = (Layer.HOST, Layer.CONTAINER)
"""The layers that can be at fault below a runtime that answers."""


def judge(seen: Sequence[Observation], kind: Kind) -> Verdict:
    """One round's observations -> what they mean. ``judge((), kind)`` is UNKNOWN, never up."""
    found = _Found.of(seen, kind)
    agent = found.failed.get(AGENT)
    if agent is not None:
        return Verdict(void=True, cause=agent.cause, detail=agent.detail, mend=agent.mend)
    through, on_server = found.probes.get(TUNNEL), found.probes.get(SERVER)
    passes = None if through is None else ANSWERS[through.outcome]
    served = None if on_server is None else ANSWERS[on_server.outcome]
    root, layer, cause = _root(found, kind, through, on_server, passes=passes, served=served)
    if root is None or layer is None:
        return _rootless(found.sound, passes, served)
    # Measured through the forward; without a measurement, a broken way is an answer too.
    usable = False if passes is None and layer in WAY else passes
    blind = _blind(seen, layer)
    return Verdict(
        outcome=FAIL if cause else OK if usable else UNKNOWN,
        cause=cause,
        layer=layer,
        usable=usable,
        served=served,
        layers=_propagated(found.sound, layer, usable=bool(usable)),
        detail=_sentences(root, blind),
        mend=root.mend or (blind.mend if blind else ""),
    )


@lru_cache(maxsize=64)
def _rootless(sound: frozenset[Layer], passes: bool | None, served: bool | None) -> Verdict:
    """What a round means in which nothing is at fault. Kept, as nearly all rounds are one of a few such."""
    return Verdict(
        outcome=OK if passes else UNKNOWN,
        usable=passes,
        served=served,
        layers=_propagated(sound, None, usable=bool(passes)),
    )


@dataclass(slots=True)
class _Found:
    """One round, looked through once. The first word of a probe counts, and the first FAIL of a layer; a
    missing *view* of a container explains nothing above it, so it is no FAIL of its layer."""

    probes: dict[ProbeName, Observation]
    failed: dict[Layer, Observation]
    sound: frozenset[Layer]
    """All that was seen of them is good."""

    @classmethod
    def of(cls, seen: Sequence[Observation], kind: Kind) -> _Found:
        """Of these observations."""
        probes: dict[ProbeName, Observation] = {}
        failed: dict[Layer, Observation] = {}
        good, other = set(), set()
        view = SESSION if kind is CONTAINER else None
        for one in seen:
            probe, layer, outcome = one.probe, one.layer, one.outcome
            if probe not in probes:
                probes[probe] = one
            if probe is view:
                continue
            if outcome is OK:
                good.add(layer)
                continue
            other.add(layer)
            if outcome is FAIL:
                failed.setdefault(layer, one)
        return cls(probes, failed, frozenset(good - other))


def _blind(seen: Sequence[Observation], root: Layer) -> Observation | None:
    """What could not be looked at below the root, if a person can mend that: it may be the reason."""
    below = (one for one in seen if one.layer < root and one.outcome is UNKNOWN)
    return next((one for one in below if one.mend), None)


def _sentences(*told: Observation | None) -> str:
    return "; ".join(one.detail for one in told if one is not None and one.detail)


def _root(
    found: _Found,
    kind: Kind,
    through: Observation | None,
    on_server: Observation | None,
    *,
    passes: bool | None,
    served: bool | None,
) -> tuple[Observation | None, Layer | None, Cause | None]:
    """The lowest fault that counts, with the layer it belongs to and its cause."""
    layers: tuple[Layer, ...] = BELOW_RUNTIME
    if passes:
        # A request went all the way: what fails on the way is a mistake of the probe.
        layers = ON_SERVER
    elif served:
        # The runtime works on the server: nothing that is odd there is a reason to repair it.
        layers = WAY
    for layer in layers if found.failed else ():
        lower = found.failed.get(layer)
        if lower is not None:
            return lower, layer, lower.cause
    if passes is False and through is not None:
        return _runtime_root(through, on_server, served=served)
    if passes and kind is CONTAINER:
        view = found.probes.get(SESSION)
        if view is not None and view.outcome is FAIL:
            return view, Layer.CONTAINER, view.cause
    return None, None, None


def _runtime_root(
    through: Observation, on_server: Observation | None, *, served: bool | None
) -> tuple[Observation, Layer, Cause | None]:
    """T failed and nothing below explains it: R decides whose fault it is."""
    if through.cause is Cause.RUNTIME_AUTH:
        # It answers, so it lives, whatever was seen from the server.
        return through, Layer.RUNTIME, through.cause
    if served is False and on_server is not None:
        return on_server, Layer.RUNTIME, on_server.cause
    if through.cause in (Cause.FORWARD_DENIED, Cause.WRONG_SERVER):
        return through, Layer.FORWARD, through.cause
    if served:
        return through, Layer.FORWARD, Cause.FORWARD_STALLED
    return through, Layer.RUNTIME, through.cause


@lru_cache(maxsize=256)
def _propagated(
    sound: frozenset[Layer], root: Layer | None, *, usable: bool
) -> tuple[tuple[Layer, Outcome], ...]:
    """Each layer's outcome as shown: a FAIL other than the root's layer becomes UNKNOWN."""
    if usable:
        sound |= {Layer.RUNTIME}
    return tuple(
        (layer, FAIL if layer is root else OK if layer in sound else UNKNOWN) for layer in Layer
    )
