"""What the container engine's answers mean: pure functions from its JSON to our records.

Nothing here talks to anybody. The answers come from the server and are not trusted: a field of the
wrong shape counts as absent, names and texts are cut and cleaned before anybody shows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from watchdogd.core.sight import ContainerSight
from watchdogd.core.words import ContainerStatus
from watchdogd.ports import ContainerAmbiguous, DeathNotice
from watchdogd.settings import ContainerSettings, Publish

LABEL = "watchdogd.target"
EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - read from the engine, never bound
TEXT_LIMIT = 300
EVENT_LIMIT = 65_536
"""Bytes of one event: the engine sends all labels of a container along."""
ASKED_SIGNALS = frozenset({"2", "9", "15", "SIGINT", "SIGKILL", "SIGTERM"})
"""Signals through the engine that say "somebody wants it to end"."""
POLICY_SECONDS = 10.0
"""Between its death and the engine's own restart a container can be seen as exited for a moment."""

LIVE = (ContainerStatus.RUNNING, ContainerStatus.PAUSED, ContainerStatus.RESTARTING)

Json = Mapping[str, Any]


def part(data: object, *keys: str) -> Any:
    """The value below those keys, ``None`` where there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def text(data: object, *keys: str) -> str:
    """The string below those keys, else empty."""
    value = part(data, *keys)
    return value if isinstance(value, str) else ""


def number(data: object, *keys: str) -> int | None:
    """The integer below those keys, else ``None``."""
    value = part(data, *keys)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def clean(words: str, limit: int = TEXT_LIMIT) -> str:
    """One printable line of at most ``limit`` characters."""
    line = "".join(c if c.isprintable() else " " for c in words[: 4 * limit])
    return " ".join(line.split())[:limit]


def moment(stamp: str) -> float | None:
    """Unix seconds of the engine's time stamp; ``None`` for its "never" and for garbage."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", stamp)
    if found is None or stamp.startswith("0001-"):
        return None
    try:
        whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
        return whole.timestamp() + float(found[2] or 0)
    except (ValueError, OverflowError):
        return None


def agreed_version(answer: object, wish: tuple[int, int] = (1, 41)) -> str:
    """The API version to speak: ``wish``, unless the engine is older, or too new for it."""
    newest, oldest = (_version(text(answer, key)) for key in ("ApiVersion", "MinAPIVersion"))
    chosen = max(oldest or wish, min(wish, newest or wish))
    return f"{chosen[0]}.{chosen[1]}"


def _version(words: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,2})\.(\d{1,3})", words)
    return (int(found[1]), int(found[2])) if found else None


# ---------------------------------------------------------------- which container is meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One container of the engine's list, in any state."""

    id: str
    name: str
    label: str
    """Value of our label; empty = not made by watchdogd."""
    status: ContainerStatus | None


@dataclass(frozen=True, slots=True)
class Binding:
    """One published TCP port."""

    host: str
    port: str
    inside: str
    """As ``8080/tcp``."""

    def covers(self, publish: Publish) -> bool:
        """True if whoever connects to ``publish`` comes out at that port of this container."""
        return (
            self.port == str(publish.address.port)
            and self.inside == f"{publish.container_port}/tcp"
            and self.host in (publish.address.host, *EVERY_ADDRESS)
        )

    def equals(self, publish: Publish) -> bool:
        """True if it covers ``publish`` and no other address."""
        return self.covers(publish) and self.host == publish.address.host


def rows(answer: object) -> tuple[Row, ...]:
    """The engine's list; what has no proper id is left out."""
    listed = answer if isinstance(answer, list) else []
    return tuple(row for item in listed if (row := _row(item)) is not None)


def _row(item: object) -> Row | None:
    ident, names = text(item, "Id"), part(item, "Names")
    if not re.fullmatch(r"[0-9a-f]{12,64}", ident):
        return None
    first = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    return Row(
        id=ident,
        name=proper_name(first, ident),
        label=text(item, "Labels", LABEL),
        status=status(text(item, "State")),
    )


def proper_name(name: str, ident: str) -> str:
    """The engine's name without its slash; the short id if it is not one the engine allows."""
    bare = name.removeprefix("/")
    return bare if re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}", bare) else ident[:12]


def status(word: str) -> ContainerStatus | None:
    """The engine's word, ``None`` if it is none of those that we know."""
    return ContainerStatus(word) if word in list(ContainerStatus) else None


def own_name(target: str, wanted: ContainerSettings) -> str:
    """The name that a container of this target has if watchdogd makes it."""
    return wanted.name or f"watchdogd-{target}"


def meant(found: Sequence[Row], known: str | None) -> Row | None:
    """The one among equal candidates.

    A live one holds the port, so it goes before those that ended; one that was never started (left
    by a second ``docker run`` that found the port taken) goes behind all. ``known``: the id that was
    meant before; it decides between several that ended. Raises ``ContainerAmbiguous``.
    """
    best = [row for row in found if _rank(row) == max(_rank(other) for other in found)]
    if len(best) > 1 and (before := [row for row in best if row.id == known]):
        return before[0]
    if len(best) > 1:
        raise ContainerAmbiguous(tuple(sorted(row.name for row in best)))
    return best[0] if best else None


def _rank(row: Row) -> int:
    if row.status in LIVE:
        return 2
    return 0 if row.status is ContainerStatus.CREATED else 1


def bindings(inspected: object) -> tuple[Binding, ...]:
    """The ports that the container was told to publish, whether it runs or not."""
    ports = part(inspected, "HostConfig", "PortBindings")
    return tuple(
        Binding(text(place, "HostIp"), text(place, "HostPort"), inside)
        for inside, places in (ports.items() if isinstance(ports, Mapping) else ())
        for place in (places if isinstance(places, list) else ())
        if isinstance(inside, str)
    )


# ---------------------------------------------------------------- how it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the engine's events say about the end of one run of a container."""

    by_person: bool | None = None
    """As ``ContainerSight.stopped_by_person``."""
    oom: bool = False


def ending(events: Iterable[Json], *, removal_is_automatic: bool = False) -> Ending:
    """Judge the events of one container's end.

    ``kill`` with signal 2, 9 or 15, ``stop`` and ``destroy`` come from somebody who asked for it;
    the kernel's out-of-memory killer, a crash and a signal from outside the engine leave ``die``
    alone. What was asked for before memory ran out explains nothing. ``removal_is_automatic``: it
    was run with ``--rm``, so ``destroy`` says nothing.
    """
    names: set[str] = set()
    asked = False
    for event in events:
        name = text(event, "Action")
        names.add(name)
        removed = name == "destroy" and not removal_is_automatic
        signalled = name == "kill" and _signal(event) in ASKED_SIGNALS
        asked = (asked and name != "oom") or name == "stop" or removed or signalled
    return Ending(
        by_person=True if asked else False if "die" in names else None, oom="oom" in names
    )


def death_notices(chunks: Iterable[bytes]) -> Iterator[DeathNotice]:
    """The engine's stream of ``die`` events, one JSON object a line. A line that is none of these, or
    has no proper id and time, is passed over; one without an end is given up."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if (found := _death(line)) is not None:
                yield found
        if len(rest) > EVENT_LIMIT:
            return


def _death(line: bytes) -> DeathNotice | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    ident, nanoseconds = text(event, "Actor", "ID"), number(event, "timeNano")
    known = re.fullmatch(r"[0-9a-f]{12,64}", ident) is not None
    if text(event, "Action") != "die" or not known or nanoseconds is None:
        return None
    return DeathNotice(at=nanoseconds / 1e9, container=ident)


def answered_at(date: str) -> float:
    """Unix seconds of an HTTP ``Date``; 0 if it is none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _signal(event: Json) -> str:
    return text(event, "Actor", "Attributes", "signal").upper()


def policy_at_work(inspected: object, ended: Ending, server_now: float | None) -> bool:
    """True if the engine is about to start the container by itself.

    A policy that is set but silent is off: after a signal through the engine it stays off until the
    next start, and ``inspect`` does not show that (measured). So exited for longer than
    ``POLICY_SECONDS`` means that the engine will do nothing.
    """
    state = text(inspected, "State", "Status")
    if state == ContainerStatus.RESTARTING:
        return True
    if state != ContainerStatus.EXITED or ended.by_person or not _policy_applies(inspected):
        return False
    finished = moment(text(inspected, "State", "FinishedAt"))
    return (
        finished is not None and server_now is not None and server_now - finished < POLICY_SECONDS
    )


def _policy_applies(inspected: object) -> bool:
    policy = text(inspected, "HostConfig", "RestartPolicy", "Name")
    if policy in ("always", "unless-stopped"):
        return True
    most = number(inspected, "HostConfig", "RestartPolicy", "MaximumRetryCount") or 0
    spent = most > 0 and (number(inspected, "RestartCount") or 0) >= most
    return policy == "on-failure" and number(inspected, "State", "ExitCode") != 0 and not spent


def sight(
    inspected: object,
    *,
    target: str,
    wanted: ContainerSettings,
    read_at: float,
    ended: Ending,
    server_now: float | None,
) -> ContainerSight:
    """The record of a container that exists. ``read_at``: ``run`` clock; ``server_now``: its clock."""
    ident, now = text(inspected, "Id"), status(text(inspected, "State", "Status"))
    over = now is not None and now not in LIVE
    published = bindings(inspected)
    return ContainerSight(
        read_at=read_at,
        id=ident,
        name=proper_name(text(inspected, "Name"), ident),
        status=now,
        started=_started(inspected),
        started_at=moment(_started(inspected)) or 0.0,
        finished_at=(moment(text(inspected, "State", "FinishedAt")) or 0.0) if over else 0.0,
        exit_code=number(inspected, "State", "ExitCode") if over else None,
        restart_count=number(inspected, "RestartCount") or 0,
        restart_policy=_policy(inspected),
        own_policy_at_work=policy_at_work(inspected, ended, server_now),
        adopted=text(inspected, "Config", "Labels", LABEL) != target,
        stopped_by_person=_stopped_by_person(now, ended) if over else None,
        oom=over and not ended.by_person and _killed_for_memory(inspected, ended),
        publish_as_configured=any(binding.equals(wanted.publish) for binding in published),
        error=clean(text(inspected, "State", "Error")),
        health="" if over else clean(text(inspected, "State", "Health", "Status"), 40),
    )


def _stopped_by_person(now: ContainerStatus | None, ended: Ending) -> bool | None:
    """Nobody stopped what never ran: it was only created, or its start failed."""
    return False if now is ContainerStatus.CREATED else ended.by_person


def _killed_for_memory(inspected: object, ended: Ending) -> bool:
    """The engine's flag, or an event before a SIGKILL: either alone was seen to be missing."""
    killed = number(inspected, "State", "ExitCode") == 137
    return part(inspected, "State", "OOMKilled") is True or (ended.oom and killed)


def _started(inspected: object) -> str:
    """Verbatim, but only if it is a time: it becomes part of the generation."""
    stamp = text(inspected, "State", "StartedAt")
    return stamp if moment(stamp) is not None else ""


def _policy(inspected: object) -> str:
    name = text(inspected, "HostConfig", "RestartPolicy", "Name")
    return name if name in ("always", "unless-stopped", "on-failure") else "no"
