"""The configuration as frozen records: what ``loading.py`` makes and everybody else reads.

Durations are seconds, sizes bytes, addresses ``Address``. The names are those of the TOML file; the
defaults are those of the documented configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from watchdogd.core.model import Policy
from watchdogd.core.words import Kind, Mode


class Secret:
    """A text that must not be shown: ``repr`` and ``str`` give ``***``; ``reveal`` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Callers never log, format or store it outside a 0600 file."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Address:
    """Host (a literal address) and TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Canary:
    """A page with a known body, which tells this network from a captive portal."""

    url: str
    """Begins with ``http://``, without a fragment."""
    body: str
    """What it answers, white space at both ends left out."""

    def __str__(self) -> str:
        return f"{self.url}#{quote(self.body)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """``[agent]``."""

    listen: Address = Address("127.0.0.1", 9788)
    allow_remote: bool = False
    """``listen`` may be something else than loopback."""
    allowed_hosts: tuple[str, ...] = ()
    canaries: tuple[Canary, ...] = ()
    state_dir: str = ""
    """Absolute; the platform's state folder unless set."""
    log_format: str = "auto"
    """``auto``, ``console`` or ``json``."""
    log_level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """``[targets.NAME.ssh]``. ``None`` = whatever ssh itself would use."""

    host: str
    port: int | None = None
    user: str | None = None
    identity_file: str | None = None
    """Absolute, ``~`` expanded."""
    known_hosts: str | None = None
    """Absolute, ``~`` expanded."""
    engine: str = "auto"
    """``auto``, ``sshtunnel`` or ``openssh``."""
    keepalive: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSettings:
    """``[targets.NAME.forward]``."""

    local: Address = Address("127.0.0.1", 9000)
    remote: Address = Address("127.0.0.1", 9000)
    hold: float = 30.0
    objective: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """``host:port:container_port`` of ``runtime.container.publish``."""

    address: Address
    container_port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.container_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """``[targets.NAME.runtime.container]``."""

    image: str
    name: str = ""
    """Empty: ``watchdogd-TARGET`` when one must be created."""
    publish: Publish = field(
        default_factory=lambda: Publish(address=Address("127.0.0.1", 9000), container_port=8080)
    )
    gpus: str | tuple[str, ...] = "all"
    """``all``, ``none`` or device ids."""
    volumes: tuple[str, ...] = ()
    """``source:destination[:options]`` each, as for ``docker run -v``."""
    env: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    shm_size: int = 8 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """``[targets.NAME.runtime.session]``."""

    name: str = "colab_session"
    """Empty with ``kind = "container"``: no viewer."""
    command: str = ""
    """``kind = "session"``: run by the server's shell inside tmux."""

    @property
    def last_words(self) -> str:
        """What a person does to see why the command ended. Quoted for zsh; the name has no quotes itself."""
        return f"read its last words on the server: tmux attach -t '={self.name}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """``[targets.NAME.runtime]``."""

    kind: Kind = Kind.CONTAINER
    token_file: str | None = None
    """Absolute. ``None``: the agent makes a token and keeps it."""
    container: ContainerSettings | None = None
    """Set exactly when ``kind`` is ``container``."""
    session: SessionSettings = SessionSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """``[targets.NAME.probe]``."""

    interval: float = 15.0
    suspect_interval: float = 5.0
    timeout: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealSettings:
    """``[targets.NAME.heal]``."""

    hung_after: float = 600.0
    destructive_per_6h: int = 2
    destructive_per_24h: int = 3
    cooldown: float = 1800.0
    start_grace: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """``[targets.NAME.training]``: paths on the server, or in the container."""

    progress_file: str = ""
    checkpoints: str = ""
    """A pattern as the shell knows it."""
    log_file: str = ""
    stall_after: float = 1800.0
    resume_command: tuple[str, ...] = ()
    """Run on this machine, without a shell, once after a verified repair."""

    @property
    def watched(self) -> bool:
        """Is there anything to look at?"""
        return bool(self.progress_file or self.checkpoints or self.log_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """``[targets.NAME]``: everything that is known about one target before it is looked at."""

    name: str
    """Lower-case letters, digits, ``-`` and ``_``, 1 to 32 characters: also a label and a folder name."""
    ssh: SshSettings
    mode: Mode = Mode.AUTO
    forward: ForwardSettings = ForwardSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    probe: ProbeSettings = ProbeSettings()
    heal: HealSettings = HealSettings()
    training: TrainingSettings = TrainingSettings()

    def policy(self, *, observe: bool = False) -> Policy:
        """The numbers for the core. ``observe`` (``run --dry-run``) overrides the mode."""
        return Policy(
            mode=Mode.OBSERVE if observe else self.mode,
            kind=self.runtime.kind,
            view_session=self.runtime.kind is Kind.CONTAINER and bool(self.runtime.session.name),
            interval=self.probe.interval,
            suspect_interval=self.probe.suspect_interval,
            timeout=self.probe.timeout,
            keepalive=self.ssh.keepalive,
            hung_after=self.heal.hung_after,
            destructive_per_6h=self.heal.destructive_per_6h,
            destructive_per_24h=self.heal.destructive_per_24h,
            cooldown=self.heal.cooldown,
            start_grace=self.heal.start_grace,
            gpus=self.may_use_gpus,
            watches_training=self.training.watched,
            watches_progress=bool(self.training.progress_file),
            resumes=bool(self.training.resume_command),
            stall_after=self.training.stall_after,
        )

    @property
    def may_use_gpus(self) -> bool:
        """Was the runtime given GPUs, or can nobody tell (a command in tmux)?"""
        container = self.runtime.container
        return self.runtime.kind is Kind.SESSION or (
            container is not None and container.gpus != "none"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """``[notify]``."""

    urls_file: str | None = None
    """Absolute. Of it and ``urls_command`` one at most."""
    urls_command: tuple[str, ...] = ()
    """Run on this machine, without a shell."""
    heartbeat_url: Secret | None = None

    @property
    def tells(self) -> bool:
        """Are there people to be told?"""
        return bool(self.urls_file or self.urls_command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A whole, valid configuration."""

    agent: AgentSettings
    targets: Mapping[str, TargetSettings]
    notify: NotifySettings = NotifySettings()
    files: tuple[str, ...] = ()
    """The files that it was read from, in order."""
