"""What is asked of the server: over HTTP, its container engine, its tmux, its tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from watchdogd.core.sight import (
    ContainerSight,
    HostSight,
    SessionSight,
)
from watchdogd.core.words import Remedy
from watchdogd.ports.clock import Deadline
from watchdogd.settings import Address, ContainerSettings, Secret

OWN_ANSWER_HEADER = "x-watchdogd-forward"
"""Marks an answer (503) that our own forward gave in the runtime's place."""


class HttpEnd(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """The connect itself was refused."""
    CLOSED = "closed"
    """Connected, then ended or reset without a whole answer."""
    SILENT = "silent"
    """Connected, and nothing came by the deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back. ``body`` is capped and is only kept if it claims to be JSON."""

    end: HttpEnd
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names."""
    body: bytes = b""
    ours: bool = False
    """The answer is our own forward's 503, not the runtime's."""


class HttpGet(Protocol):
    """``GET`` with one total deadline, no redirects, no proxies, no cookies, no netrc."""

    def __call__(
        self, address: Address, path: str, *, token: Secret | None, deadline: Deadline
    ) -> HttpAnswer: ...


class EngineRefused(Exception):
    """The container engine could not be asked (permission, no client program, garbage): unknown, not missing."""

    def __init__(self, detail: str, mend: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.mend = mend


class ContainerAmbiguous(Exception):
    """Several containers could be meant."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(", ".join(names))
        self.names = names


@dataclass(frozen=True, slots=True)
class DeathNotice:
    """The engine's word that a container ended."""

    at: float
    """The engine's clock, Unix seconds."""
    container: str = ""
    """Its id; empty: nothing ended, the engine only listens."""


class ContainerEngine(Protocol):
    """Docker on the server, over the link. Raises ``Transient(CONTAINER_ENGINE_DOWN)`` if it does not
    run, ``EngineRefused`` if it cannot be asked, ``Transient(LINK_LOST)`` if the link is gone."""

    def look(self, target: str, wanted: ContainerSettings, deadline: Deadline) -> ContainerSight:
        """The container that is meant: by label, then name, then published port, in *all* states.

        ``ContainerSight(id=None)`` = there is none. Raises ``ContainerAmbiguous``.
        """
        ...

    def start(self, container_id: str, deadline: Deadline) -> None:
        """Raises ``Transient(CONTAINER_EXITED)`` with the engine's text if it does not start."""
        ...

    def create(
        self, target: str, wanted: ContainerSettings, token_path: str, deadline: Deadline
    ) -> str:
        """Create (not start) the container; returns its id.

        ``token_path``: the server's token file, mounted read-only, ``JUPYTER_TOKEN_FILE`` names it.
        Raises ``Transient(CONTAINER_MISSING)`` with ``mend`` if the image is missing.
        """
        ...

    def log_tail(self, container_id: str, lines: int, deadline: Deadline) -> bytes:
        """The last lines of its log, at most 256 KiB. For tokens and evidence; never logged."""
        ...

    def deaths(self, since: float, seconds: float) -> Iterator[DeathNotice]:
        """The containers of this engine that end from ``since`` on (its own clock, Unix seconds; 0:
        from now on), as they end, for at most about ``seconds``. First comes one without an id, as
        soon as the engine listens; the one at ``since`` itself may come again. Raises as said above;
        ``close`` ends it."""
        ...

    def close(self) -> None: ...


class GuardResult(StrEnum):
    """What became of an order, in the guard's words."""

    ACTED = "acted"
    FAILED = "failed"
    """The act was begun, and ended with an error."""
    LATE = "late"
    """The act was begun, and did not end in its time."""
    REPEAT = "repeat"
    """This very order was given before; ``detail`` is its result then, or ``unknown``."""
    BUSY = "busy"
    PAUSED = "paused"
    CHANGED = "changed"
    HEALED = "healed"
    VETO = "veto"
    UNREAD = "unread"
    BUDGET = "budget"
    MISSING = "missing"
    """The server lacks what the guard needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardOrder:
    """One destructive act, and the state of the server that it was decided on."""

    key: str
    remedy: Remedy
    place: Address
    """Where the runtime answers on the server: what the shared budget belongs to."""
    container: str = ""
    """Full id of the container to restart; empty: a session is ended."""
    session: str = ""
    run: str
    """The container's ``StartedAt``, or the session's first pane, as ``Sessions.look`` gives it."""
    seen: HostSight
    """The reading of the runtime's processes that it rests on."""
    per_6h: int
    per_24h: int
    ordered: bool = False
    """By a person: it is charged, and only the lock, ``PAUSE``, the identity and the key can stop it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardAnswer:
    """What the guard did. All but ACTED, FAILED, LATE and REPEAT mean: nothing at all."""

    result: GuardResult
    detail: str = ""


class Guard(Protocol):
    """The compare-and-swap on the server: the only way to end something that runs."""

    def act(self, order: GuardOrder, deadline: Deadline) -> GuardAnswer:
        """Act, if the server still is as ``order`` says and nobody forbids it there; at most once a key.

        Raises ``Transient`` as ``Link.run`` and ``EngineRefused`` if the answer makes no sense; the act may
        have been done then. Raises ``ValueError`` for an order that must not reach a shell.
        """
        ...


class Sessions(Protocol):
    """tmux on the server, over the link. Formats out, argv in, never attaches.

    Raises ``Transient`` as ``Link.run``; ``EngineRefused`` if tmux is not installed."""

    def look(self, name: str, deadline: Deadline) -> SessionSight: ...

    def open(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        deadline: Deadline,
        *,
        keep: bool = False,
    ) -> None:
        """A detached session that runs ``argv``; ``keep``: the dead pane stays for its exit status."""
        ...

    def kill(self, name: str, deadline: Deadline) -> None:
        """Take away the dead pane of a command that ended. What runs is ended by the ``Guard`` alone."""
        ...


class Tokens(Protocol):
    """The target's token: a 0600 file on the laptop."""

    def current(self) -> Secret | None:
        """The token to use now; ``None`` = none is known yet."""
        ...

    def pinned(self) -> Secret:
        """The token to pin into a runtime that we create; made (48 hex digits) if there is none."""
        ...

    def learn(self, token: Secret) -> None:
        """An adopted runtime's token, found in its log."""
        ...
