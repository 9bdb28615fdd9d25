"""``ports.ContainerEngine`` on docker-py: the only place that knows that library.

Every request is its own connection over the agent's own socket (``container_socket``), with a read
timeout taken from the caller's deadline. No request that deletes anything is ever made.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from watchdogd.adapters.container_facts import (
    LIVE,
    Binding,
    Ending,
    Json,
    Row,
    agreed_version,
    answered_at,
    bindings,
    clean,
    death_notices,
    ending,
    meant,
    moment,
    own_name,
    part,
    rows,
    sight,
    text,
)
from watchdogd.adapters.container_recipe import data_volumes, recipe
from watchdogd.adapters.container_socket import ContainerSocket
from watchdogd.core.sight import ContainerSight
from watchdogd.core.words import Cause
from watchdogd.errors import Transient
from watchdogd.ports import Clock, Deadline, DeathNotice, EngineRefused, Link
from watchdogd.settings import ContainerSettings

if TYPE_CHECKING:
    from docker import APIClient
    from docker.errors import APIError

T = TypeVar("T")

LOG_LIMIT = 262_144
END_EVENTS = ("kill", "stop", "die", "oom", "destroy")
BEFORE_END_SECONDS = 120.0
"""How long before its end somebody may have asked for it (a slow stop)."""
LATE_SECONDS = 10.0
"""After an end its reason may be told late: the kernel's word on memory comes on another way."""
READ_SHARE = 0.7
"""Part of the time left that a read may take; the rest is for asking the server what is wrong."""
OVERLAP = 0.001
"""Seconds: a time of the engine's in nanoseconds is not kept whole in a float."""
LISTEN_SECONDS = 15.0
"""For the engine to begin to tell its events."""
VERSION_ARGV = ("docker", "version", "--format", "{{.Server.Version}}")

Diagnose = Callable[[Deadline], None]
"""Asks the server why the engine did not answer; raises what it finds, returns if it finds nothing."""


def open_container_engine(current: Callable[[], Link], folder: str, clock: Clock) -> DockerEngine:
    """The engine of one target's server, over whatever link ``current`` gives at each call.

    ``folder``: for the agent's own socket, made 0700. Raises ``OSError`` if that cannot be made.
    """
    socket = ContainerSocket(folder, current, clock)
    return DockerEngine(
        socket.url, lambda deadline: diagnose(current(), deadline), clock, socket.close
    )


class DockerEngine:
    """Implements ``ports.ContainerEngine``. Any number of threads may use it.

    It remembers, for each target, which container was meant last, and for each container its
    published ports, which never change. Losing that costs requests, never a wrong answer.
    """

    def __init__(
        self,
        url: str,
        diagnose: Diagnose,
        clock: Clock,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._url, self._diagnose, self._clock, self._closed = url, diagnose, clock, closed
        self._version: str | None = None
        self._known: dict[str, Known] = {}
        self._bindings: dict[str, tuple[Binding, ...]] = {}

    def look(self, target: str, wanted: ContainerSettings, deadline: Deadline) -> ContainerSight:
        """As the port says. Two requests for a container that runs, up to six for one that does not."""
        with self._asking(deadline) as api:
            row = self._meant(api, target, wanted)
            if row is None:
                return self._missing(api, target, wanted)
            inspected = api.inspect_container(row.id)
            self._known[target] = Known(row.id, part(inspected, "HostConfig", "AutoRemove") is True)
            over = text(inspected, "State", "Status") not in LIVE
            server_now = _server_now(api) if over else None
            return sight(
                inspected,
                target=target,
                wanted=wanted,
                read_at=self._clock.run(),
                ended=self._ending(api, inspected, server_now) if over else Ending(),
                server_now=server_now,
            )

    def start(self, container_id: str, deadline: Deadline) -> None:
        """As the port says; one that runs already is no error."""
        with self._asking(deadline, _failed_start) as api:
            api.start(container_id)

    def create(
        self, target: str, wanted: ContainerSettings, token_path: str, deadline: Deadline
    ) -> str:
        """As the port says; never pulls."""
        name = own_name(target, wanted)
        with self._asking(deadline, lambda error: _failed_create(error, wanted)) as api:
            config = recipe(target, wanted, token_path)
            made: object = api.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
        return text(made, "Id")

    def log_tail(self, container_id: str, lines: int, deadline: Deadline) -> bytes:
        """As the port says."""
        with self._asking(deadline) as api:
            # Not streamed: docker-py takes the timeout off a stream.
            log = api.logs(container_id, stdout=True, stderr=True, tail=lines)
        return bytes(log)[-LOG_LIMIT:]

    def deaths(self, since: float, seconds: float) -> Iterator[DeathNotice]:
        """As the port says. Not ``api.events``: that has no timeout."""
        from docker.errors import DockerException

        filters = {"type": ["container"], "event": ["die"]}
        params = {"filters": json.dumps(filters)} | (
            {"since": f"{since - OVERLAP:.9f}"} if since else {}
        )
        begun = False
        try:
            with self._client(Deadline.after(self._clock, LISTEN_SECONDS)) as api:
                url = f"{api.base_url}/v{api.api_version}/events"
                with api.get(
                    url, params=params, stream=True, timeout=(LISTEN_SECONDS, seconds)
                ) as answer:
                    answer.raise_for_status()
                    begun = True
                    yield DeathNotice(at=answered_at(answer.headers.get("Date", "")))
                    yield from death_notices(answer.iter_content(chunk_size=None))
        except (DockerException, OSError, ValueError) as error:
            if not begun:
                raise Transient(
                    Cause.REMOTE_WEDGED, f"no events of the container engine ({error})"
                ) from error

    def close(self) -> None:
        """Ends the socket below."""
        self._closed()

    # ------------------------------------------------------------ reading

    def _meant(self, api: APIClient, target: str, wanted: ContainerSettings) -> Row | None:
        found = rows(api.containers(all=True))
        known = self._known.get(target)
        self._bindings = {row.id: b for row in found if (b := self._bindings.get(row.id))}
        by_label = [row for row in found if row.label == target]
        by_name = [row for row in found if row.name == own_name(target, wanted)]
        by_port = by_label or by_name or [r for r in found if self._holds_port(api, r, wanted)]
        return meant(by_label or by_name or by_port, known.id if known else None)

    def _holds_port(self, api: APIClient, row: Row, wanted: ContainerSettings) -> bool:
        """Asked of each container once: the engine's own filter knows only running ones (measured)."""
        if row.label:
            return False  # of another target
        if row.id not in self._bindings:
            self._bindings[row.id] = bindings(api.inspect_container(row.id))
        return any(binding.covers(wanted.publish) for binding in self._bindings[row.id])

    def _missing(self, api: APIClient, target: str, wanted: ContainerSettings) -> ContainerSight:
        known = self._known.get(target)
        removed = Ending()
        if known is not None:
            events = self._events(api, 0.0, _server_now(api), known.id)
            removed = ending(events, removal_is_automatic=known.auto_remove)
        return ContainerSight(
            read_at=self._clock.run(),
            stopped_by_person=removed.by_person,
            image_present=_exists(api.inspect_image, wanted.image),
            volumes_present=known is None
            or all(_exists(api.inspect_volume, name) for name in data_volumes(wanted)),
        )

    def _ending(self, api: APIClient, inspected: object, now: float | None) -> Ending:
        started, finished = (
            moment(text(inspected, "State", key)) for key in ("StartedAt", "FinishedAt")
        )
        if started is None or finished is None:
            return Ending()
        since = max(started, finished - BEFORE_END_SECONDS)
        # The engine answers at ``until``: a second is waited for, what is later is read if it is there.
        until = max(finished + 1.0, min(finished + LATE_SECONDS, now or 0.0))
        return ending(self._events(api, since, until, text(inspected, "Id")))

    def _events(
        self, api: APIClient, since: float, until: float | None, container: str
    ) -> list[Json]:
        """Bounded in time; the engine keeps the last 256, until it is restarted.

        Not ``api.events``: that has no timeout.
        """
        if until is None:
            return []
        filters = {"type": ["container"], "event": list(END_EVENTS), "container": [container]}
        answer = api.get(
            f"{api.base_url}/v{api.api_version}/events",
            params={
                "since": f"{since:.9f}",
                "until": f"{until:.9f}",
                "filters": json.dumps(filters),
            },
            timeout=api.timeout,
        )
        answer.raise_for_status()
        return [json.loads(line) for line in answer.content.splitlines() if line.strip()]

    # ------------------------------------------------------------ asking

    @contextmanager
    def _asking(
        self, deadline: Deadline, translate: Callable[[APIError], Exception] | None = None
    ) -> Iterator[APIClient]:
        """A client for one call; its errors leave as those of the port."""
        from docker.errors import APIError, DockerException

        try:
            with self._client(deadline) as api:
                yield api
        except APIError as error:
            if b"client version" in (error.response.content if error.response is not None else b""):
                self._version = None  # the engine was replaced by a newer one
            raise (translate or _refused)(error) from error
        except (DockerException, OSError, ValueError) as error:
            self._version = None
            self._diagnose(deadline)
            raise Transient(
                Cause.REMOTE_WEDGED,
                f"the container engine gave no whole answer in time ({type(error).__name__})",
            ) from error

    @contextmanager
    def _client(self, deadline: Deadline) -> Iterator[APIClient]:
        if self._version is None:
            with self._session("1.24", deadline) as api:
                self._version = agreed_version(api.version(api_version=False))
        with self._session(self._version, deadline) as api:
            yield api

    @contextmanager
    def _session(self, version: str, deadline: Deadline) -> Iterator[APIClient]:
        from docker import APIClient

        patience = max(0.1, READ_SHARE * deadline.remaining())
        api = APIClient(base_url=self._url, version=version, timeout=patience)  # type: ignore[arg-type]
        api.trust_env = False  # a proxy of the laptop has no business here
        api.headers["Connection"] = "close"  # or each request leaves a session open on the server
        try:
            yield api
        finally:
            api.close()


@dataclass(frozen=True, slots=True)
class Known:
    """The container that was meant last."""

    id: str
    auto_remove: bool
    """Run with ``--rm``."""


def _exists(inspect: Callable[[str], object], name: str) -> bool:
    from docker.errors import NotFound

    try:
        inspect(name)
    except NotFound:
        return False
    return True


def _server_now(api: APIClient) -> float | None:
    return moment(text(api.info(), "SystemTime"))


# ---------------------------------------------------------------- what went wrong


def _words(error: APIError) -> str:
    return clean(str(error.explanation or "the container engine refused"))


def _refused(error: APIError) -> Exception:
    return EngineRefused(_words(error))


def _failed_start(error: APIError) -> Exception:
    words = _words(error)
    if error.status_code == 404 and "no such container" in words.lower():
        return Transient(Cause.CONTAINER_MISSING, words)
    return Transient(Cause.CONTAINER_EXITED, f"it does not start: {words}", mend=_start_mend(words))


def _start_mend(words: str) -> str:
    if "could not select device driver" in words or "nvidia-container" in words:
        return (
            "install the NVIDIA Container Toolkit on the server and restart Docker,"
            ' or set gpus = "none"'
        )
    if "port is already allocated" in words or "address already in use" in words:
        return "on the server, see who holds the port: docker ps; ss -ltnp"
    return ""


def _failed_create(error: APIError, wanted: ContainerSettings) -> Exception:
    from docker.errors import ImageNotFound

    words = _words(error)
    if isinstance(error, ImageNotFound) or "no such image" in words.lower():
        return Transient(
            Cause.CONTAINER_MISSING,
            f"the image {wanted.image} is not on the server",
            mend=f"on the server: docker pull {shlex.quote(wanted.image)}",
        )
    if error.status_code == 409:
        return Transient(Cause.CONTAINER_AMBIGUOUS, f"its name is taken: {words}")
    return Transient(Cause.CONTAINER_MISSING, f"it cannot be created: {words}")


def diagnose(link: Link, deadline: Deadline) -> None:
    """Ask the server's own client program how the engine is.

    Raises ``EngineRefused`` (no program, no permission), ``Transient(CONTAINER_ENGINE_DOWN)``, or
    what the link raises; returns if the engine answers.
    """
    done = link.run(VERSION_ARGV, deadline=deadline, limit=2048)
    if done.status == 0:
        return
    words = clean((done.stderr or done.stdout).decode(errors="replace"))
    low = words.lower()
    if done.status in (126, 127):
        raise EngineRefused(
            "there is no docker program on the server", mend="on the server: apt install docker.io"
        )
    if "permission denied" in low:
        raise EngineRefused(
            "the login may not use the container engine",
            mend='on the server: sudo usermod -aG docker "$USER"; the next login has the right',
        )
    if "connect to the docker daemon" in low or "failed to connect to the docker api" in low:
        raise Transient(
            Cause.CONTAINER_ENGINE_DOWN,
            "the container engine does not run",
            mend="on the server: sudo systemctl start docker",
        )
    raise EngineRefused(f"`docker version` ended with {done.status}: {words}")
