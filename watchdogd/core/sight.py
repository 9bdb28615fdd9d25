"""What was read on the server, and the identity that it belongs to. ``None`` = could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from watchdogd.core.words import ContainerStatus, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The identity that evidence belongs to. ``None`` = that part is not known."""

    boot_id: str | None = None
    """The server's ``/proc/sys/kernel/random/boot_id``."""
    container: str | None = None
    """Full container id, or the tmux pane's process id and start for ``kind = "session"``."""
    started: str | None = None
    """The container's ``StartedAt``, verbatim."""

    def differs(self, other: Generation) -> bool:
        """True if a part that both know is not the same."""
        if other is NOTHING_KNOWN:
            return False
        return (
            _unlike(self.boot_id, other.boot_id)
            or _unlike(self.container, other.container)
            or _unlike(self.started, other.started)
        )

    def merged(self, newer: Generation) -> Generation:
        """What is known after ``newer`` was read: its parts win, a part it lacks is kept."""
        return Generation(
            boot_id=newer.boot_id or self.boot_id,
            container=newer.container or self.container,
            started=newer.started or self.started,
        )


def _unlike(one: str | None, other: str | None) -> bool:
    return one != other and one is not None and other is not None


NOTHING_KNOWN = Generation()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCpu:
    """CPU used so far by one process of the runtime that is *not* the runtime server itself."""

    pid: int
    started: int
    """Start time in clock ticks since the server's boot: with ``pid`` the identity of the process."""
    cpu_seconds: float
    kernel: str = ""
    """Id of the kernel that this process is, if its arguments tell that it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSight:
    """What one script read on the server. ``None`` = that field could not be read."""

    read_at: float
    """``run`` clock."""
    boot_id: str | None = None
    uptime_seconds: float | None = None
    load_per_core: float | None = None
    disk_free_bytes: int | None = None
    inodes_free_ratio: float | None = None
    pressure_ratio: float | None = None
    """Worst share of the last 60 s in which *all* work on the server waited (PSI ``full avg60``)."""
    engine_started_at: float | None = None
    """Unix seconds by the server's clock: when the container engine's one daemon was started."""
    io_bytes: int | None = None
    """Block I/O of the container's cgroup since its start, both ways."""
    processes: tuple[ProcessCpu, ...] | None = None
    """Processes of the container (or of the session's pane) other than the runtime server."""
    servers: tuple[tuple[int, int], ...] = ()
    """Process id and start of the runtime server's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSight:
    """What the container engine said about the one container that is meant."""

    read_at: float
    id: str | None = None
    """``None`` = no container exists in any state."""
    name: str = ""
    status: ContainerStatus | None = None
    started: str = ""
    """``State.StartedAt``, verbatim: with ``id`` the generation."""
    started_at: float = 0.0
    """The same as Unix seconds, by the engine's clock; 0 if it is none."""
    finished_at: float = 0.0
    """When it ended last, as Unix seconds by the engine's clock; 0 if it is not known."""
    exit_code: int | None = None
    restart_count: int = 0
    restart_policy: str = "no"
    """``no``, ``always``, ``unless-stopped`` or ``on-failure``."""
    own_policy_at_work: bool = False
    """The engine's own restart policy will start it, or is doing so: leave it to that."""
    adopted: bool = False
    """Not made by watchdogd (no label)."""
    stopped_by_person: bool | None = None
    """From the engine's events: True = stop, kill by signal 2, 9 or 15, or rm without OOM;
    False = its death was seen and nobody asked for it; None = the events do not tell."""
    oom: bool = False
    """It is not running because its process 1 was killed for memory."""
    image_present: bool | None = None
    volumes_present: bool | None = None
    """False: a data volume of an earlier container of this target is gone."""
    publish_as_configured: bool | None = None
    error: str = ""
    """``State.Error``, capped: why the last start failed."""
    health: str = ""
    """What the engine makes of the image's own health command, ``unhealthy`` say. Shown, never used: a
    slow engine blames the container with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSight:
    """What tmux said about the configured session."""

    read_at: float
    exists: bool | None = None
    generation: str | None = None
    """``pid:start`` of the pane's process."""
    panes: tuple[int, ...] = ()
    """Process ids of all panes that are not dead: what ends with the session."""
    command_running: bool | None = None
    """``kind = "session"``: is something running in it (a dead pane kept on purpose is not)."""


class GpuTool(StrEnum):
    """What became of asking ``nvidia-smi``."""

    OK = "ok"
    NONE = "none"
    """The server has no such program: no GPU of that kind can be in use."""
    MISMATCH = "mismatch"
    """Driver and library are of two versions: what runs goes on, and could not start again."""
    FAILED = "failed"
    """It ended with an error, or does not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU of the server."""

    index: int
    uuid: str
    utilization: float | None = None
    """0 to 1."""
    memory_used: int | None = None
    """Bytes."""
    memory_total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that holds memory of a GPU."""

    gpu: str
    """The device's ``uuid``."""
    pid: int
    """As the server's own processes are numbered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSight:
    """What ``nvidia-smi`` said on the server."""

    read_at: float
    tool: GpuTool
    devices: tuple[GpuDevice, ...] = ()
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSight:
    """What the runtime says of its kernels. ``busy`` can be stale (a kernel killed by SIGKILL stays so)."""

    read_at: float
    kernels: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    connections: int = 0
    """Of browsers, over all kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSight:
    """What the configured signs of a training run showed. Ages are by the server's own clock."""

    read_at: float
    progress_mark: str = ""
    """Changes with each step; empty if there is no progress file, or it cannot be read."""
    progress_age: float | None = None
    """Seconds; negative if the file is dated in the future."""
    step: float | None = None
    total: float | None = None
    phase: str = ""
    checkpoint_mark: str = ""
    """Changes with the newest match."""
    checkpoint_age: float | None = None
    log_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The server-side facts of one round. A part that was not read is ``None``."""

    host: HostSight | None = None
    container: ContainerSight | None = None
    session: SessionSight | None = None
    gpu: GpuSight | None = None
    kernels: KernelSight | None = None
    training: TrainingSight | None = None

    def over(self, older: Sight) -> Sight:
        """The newest of each part: this round's, and the older one where it read none."""
        return Sight(
            host=self.host or older.host,
            container=self.container or older.container,
            session=self.session or older.session,
            gpu=self.gpu or older.gpu,
            kernels=self.kernels or older.kernels,
            training=self.training or older.training,
        )

    def generation(self, kind: Kind) -> Generation:
        """The identity that this round's evidence belongs to, known parts only."""
        if self.host is None and self.container is None and self.session is None:
            return NOTHING_KNOWN
        boot_id = self.host.boot_id if self.host else None
        if kind is Kind.SESSION and self.session is not None:
            return Generation(boot_id=boot_id, container=self.session.generation)
        if kind is Kind.CONTAINER and self.container is not None:
            started = self.container.started or None
            return Generation(boot_id=boot_id, container=self.container.id, started=started)
        return Generation(boot_id=boot_id)
