"""Small behaving stand-ins for what a probe or remedy is given, and a ``Reach`` made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.fakes_clock import FakeClock
from watchdogd.core.model import Intent
from watchdogd.core.sight import (
    ContainerSight,
    Generation,
    HostSight,
    SessionSight,
)
from watchdogd.core.words import Cause, ContainerStatus, Kind, Remedy
from watchdogd.errors import Transient
from watchdogd.ports import (
    AskCanaries,
    CanaryFacts,
    Completed,
    ContainerEngine,
    Deadline,
    DeathNotice,
    ForwardFacts,
    GuardAnswer,
    GuardOrder,
    GuardResult,
    HttpAnswer,
    HttpEnd,
    HttpGet,
    Link,
    LinkFacts,
    LinkStatus,
    Reach,
    RouteFacts,
    Stream,
)
from watchdogd.settings import (
    Address,
    ContainerSettings,
    RuntimeSettings,
    Secret,
    SessionSettings,
    SshSettings,
    TargetSettings,
)

JSON = {"content-type": "application/json"}


class FakeLink:
    """A link that answers every command with what ``answer`` makes of it."""

    def __init__(
        self, clock: FakeClock, answer: Callable[[Sequence[str], bytes], Completed] | None = None
    ) -> None:
        self.clock = clock
        self.answer = answer or (lambda argv, stdin: Completed(0, b"", b""))
        self.living = True
        self.asked = 0
        self.last_received: float | None = None
        """``None``: it speaks all the time."""

    def open(self, to: Address, deadline: Deadline, first: bytes = b"") -> Stream:
        raise Transient(Cause.FORWARD_STALLED, "not in this test")

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        limit: int = 262_144,
    ) -> Completed:
        if not self.living:
            raise Transient(Cause.LINK_LOST, "the link is gone")
        return self.answer(argv, stdin)

    def stdio(self, argv: Sequence[str], deadline: Deadline) -> Stream:
        raise Transient(Cause.REMOTE_WEDGED, "not in this test")

    def ask(self) -> None:
        self.asked += 1

    def facts(self) -> LinkFacts:
        received = self.clock.run() if self.last_received is None else self.last_received
        return LinkFacts(connected_at=0.0, last_received_at=received, round_trip=None)

    def alive(self) -> bool:
        return self.living

    def close(self, deadline: Deadline) -> None:
        self.living = False


@dataclass
class FakeLinks:
    """Says of the link what the test set."""

    link: Link | None = None
    number: int | None = 1
    silent: bool = False
    dialing: bool = False
    failure: Cause | None = None
    failure_detail: str = ""
    failure_mend: str = ""
    failed_at: float | None = None
    bound: bool = True
    holder: str = ""

    def status(self) -> LinkStatus:
        return LinkStatus(
            link=self.link,
            number=self.number,
            silent=self.silent,
            dialing=self.dialing,
            failure=self.failure,
            failure_detail=self.failure_detail,
            failure_mend=self.failure_mend,
            failed_at=self.failed_at,
        )

    def current(self) -> Link:
        if self.link is None:
            raise Transient(Cause.LINK_LOST, "there is no link")
        return self.link

    def reconnect(self, deadline: Deadline, *, ordered: bool = False) -> None:
        raise Transient(Cause.HOST_UNREACHABLE, "not in this test")

    def reopen(self, deadline: Deadline) -> None:
        raise Transient(Cause.PORT_CONFLICT, "not in this test")

    def forward(self) -> ForwardFacts:
        return ForwardFacts(
            bound=self.bound, holder=self.holder, open_connections=0, sent_bytes=0, received_bytes=0
        )


@dataclass
class FakeTokens:
    """Two tokens in memory."""

    now: Secret | None = None
    pin: Secret = field(default_factory=lambda: Secret("b" * 48))
    configured: bool = False

    def current(self) -> Secret | None:
        return self.now

    def pinned(self) -> Secret:
        return self.pin

    def learn(self, token: Secret) -> None:
        if not self.configured:
            self.now = token


@dataclass
class FakeSessions:
    """tmux in memory: a session is its generation and whether its command runs."""

    clock: FakeClock
    running: dict[str, bool] = field(default_factory=dict)
    opened: list[tuple[str, tuple[str, ...], Mapping[str, str], bool]] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    ends_at_once: bool = False
    refuses: Exception | None = None

    def look(self, name: str, deadline: Deadline) -> SessionSight:
        if self.refuses is not None:
            raise self.refuses
        if name not in self.running:
            return SessionSight(read_at=self.clock.run(), exists=False, command_running=False)
        return SessionSight(
            read_at=self.clock.run(),
            exists=True,
            generation=f"{100 + len(self.opened)}:1",
            command_running=self.running[name],
        )

    def open(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        deadline: Deadline,
        *,
        keep: bool = False,
    ) -> None:
        if name in self.running:
            raise Transient(Cause.SESSION_MISSING, "duplicate session")
        self.opened.append((name, tuple(argv), env, keep))
        if keep or not self.ends_at_once:
            self.running[name] = not self.ends_at_once

    def kill(self, name: str, deadline: Deadline) -> None:
        del self.running[name]
        self.killed.append(name)


@dataclass
class FakeGuard:
    """Gives the answer that it was told to; an order that is carried out ends the session."""

    answer: GuardAnswer = field(default_factory=lambda: GuardAnswer(result=GuardResult.ACTED))
    sessions: FakeSessions | None = None
    orders: list[GuardOrder] = field(default_factory=list)

    def act(self, order: GuardOrder, deadline: Deadline) -> GuardAnswer:
        self.orders.append(order)
        acted = self.answer.result is GuardResult.ACTED
        if acted and self.sessions is not None and order.session:
            self.sessions.kill(order.session, deadline)
        return self.answer


@dataclass
class FakeEngine:
    """A container engine that has at most one container."""

    sight: ContainerSight
    log: bytes = b""
    refuses: Exception | None = None

    def look(self, target: str, wanted: ContainerSettings, deadline: Deadline) -> ContainerSight:
        if self.refuses is not None:
            raise self.refuses
        return self.sight

    def start(self, container_id: str, deadline: Deadline) -> None:
        raise Transient(Cause.CONTAINER_EXITED, "not in this test")

    def create(
        self, target: str, wanted: ContainerSettings, token_path: str, deadline: Deadline
    ) -> str:
        raise Transient(Cause.CONTAINER_MISSING, "not in this test")

    def restart(self, container_id: str, stop_seconds: int, deadline: Deadline) -> None:
        raise Transient(Cause.CONTAINER_EXITED, "not in this test")

    def log_tail(self, container_id: str, lines: int, deadline: Deadline) -> bytes:
        return self.log

    def deaths(self, since: float, seconds: float) -> Iterator[DeathNotice]:
        return iter(())

    def close(self) -> None:
        pass


class Jupyter:
    """Answers as a Jupyter server with this token would, or as ``override`` says."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.override: HttpAnswer | Exception | None = None
        self.asked: list[tuple[Address, str, bool]] = []

    def __call__(
        self, address: Address, path: str, *, token: Secret | None, deadline: Deadline
    ) -> HttpAnswer:
        self.asked.append((address, path, token is not None))
        if isinstance(self.override, Exception):
            raise self.override
        if self.override is not None:
            return self.override
        if path == "/api":
            return answered(200, b'{"version": "2.21.1"}')
        if self.token in (None, token.reveal() if token else ""):
            return answered(200, b'{"started": "2026-11-21T22:21:19Z", "kernels": 0}')
        return answered(403, b'{"message": "Forbidden", "reason": null}')


def answered(status: int, body: bytes = b"", **headers: str) -> HttpAnswer:
    return HttpAnswer(end=HttpEnd.ANSWERED, status=status, headers={**JSON, **headers}, body=body)


RUNNING = ContainerSight(
    read_at=0.0, id="c" * 64, name="colab", status=ContainerStatus.RUNNING, started="2026-11-21"
)


def target(kind: Kind = Kind.CONTAINER, *, command: str = "jupyter lab") -> TargetSettings:
    container = ContainerSettings(image="colab") if kind is Kind.CONTAINER else None
    session = SessionSettings(command="" if container else command)
    return TargetSettings(
        name="a100",
        ssh=SshSettings(host="abc.invalid"),
        runtime=RuntimeSettings(kind=kind, container=container, session=session),
    )


def no_canaries(deadline: Deadline, *, since: float | None = None) -> CanaryFacts:
    """None are configured."""
    return CanaryFacts()


def reach_with(
    clock: FakeClock,
    *,
    kind: Kind = Kind.CONTAINER,
    links: FakeLinks | None = None,
    http: HttpGet | None = None,
    server: HttpGet | None = None,
    route: RouteFacts | None = None,
    canaries: AskCanaries = no_canaries,
    tokens: FakeTokens | None = None,
    engine: ContainerEngine | None = None,
    sessions: FakeSessions | None = None,
    guard: FakeGuard | None = None,
    health: str = "",
) -> Reach:
    """A reach on which all is well, but for what is given."""
    facts = route or RouteFacts(routed=True, resolved=True, address="192.0.2.7")
    asked = Jupyter("a" * 48)
    return Reach(
        target=target(kind),
        clock=clock,
        links=links or FakeLinks(link=FakeLink(clock)),
        http=http or asked,
        ask_on_server=server or asked,
        route=lambda deadline: facts,
        canaries=canaries,
        tokens=tokens or FakeTokens(now=Secret("a" * 48)),
        engine=engine,
        sessions=sessions,
        guard=guard or FakeGuard(sessions=sessions),
        agent_health=lambda: health,
    )


def an_intent(remedy: Remedy, cause: Cause, generation: Generation | None = None) -> Intent:
    return Intent(
        key="k1",
        remedy=remedy,
        incident="i1",
        cause=cause,
        generation=generation or Generation(),
        decided=0.0,
        deadline_seconds=30.0,
        charged=False,
        seen=HostSight(read_at=0.0, processes=()),
    )
